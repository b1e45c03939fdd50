"""Single keys set from outside, with the same checks as the file itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from lerobot_pipelines.config import load_config, override, shipped_configs
from lerobot_pipelines.config.schema import DatasetConfig, Format, Strategy, TimelineKind
from lerobot_pipelines.errors import ConfigError
from lerobot_pipelines_tests.config.loading import SOUND, Loader


@pytest.fixture(scope="module")
def demo() -> DatasetConfig:
    return load_config(shipped_configs()["demo"])


def fault_of(config: DatasetConfig, overrides: dict[str, object]) -> str:
    with pytest.raises(ConfigError) as caught:
        override(config, overrides)
    (fault,) = caught.value.details["faults"]
    assert str(fault).startswith("override ")
    return str(fault)


def test_overriding_changes_the_key_and_nothing_else(demo: DatasetConfig) -> None:
    changed = override(demo, {"alignment.strategy": "window", "video.crf": 30})
    assert changed.alignment.strategy is Strategy.WINDOW
    assert changed.video.crf == 30
    assert override(changed, {"alignment.strategy": "nearest", "video.crf": 23}) == demo


def test_a_number_is_taken_as_a_preset(demo: DatasetConfig) -> None:
    changed = override(demo, {"video.codec": "av1", "video.preset": 12})
    assert changed.video.preset == "12"
    assert "known are" in fault_of(demo, {"video.preset": 12})


def test_overriding_nothing_is_the_same_configuration() -> None:
    for path in shipped_configs().values():
        config = load_config(path)
        assert override(config, {}) == config


def test_overrides_while_loading_and_afterwards_are_the_same() -> None:
    path, changes = (
        shipped_configs()["demo"],
        {"dataset.formats": ["v2.1"], "cameras[1].role": "sync"},
    )
    assert load_config(path, changes) == override(load_config(path), changes)


def test_entries_of_lists_are_reached_by_number_and_by_name(demo: DatasetConfig) -> None:
    changed = override(
        demo,
        {
            "cameras[2].target_fps": 28,
            "cameras.cam_left.offset_ms": -5,
            "streams.left_slave.tolerance_ms": 7,
            "streams.1.strategy": "linear",
        },
    )
    assert changed.cameras[2].target_fps == 28
    assert changed.cameras[1].offset_ms == -5
    assert changed.stream("left_slave").tolerance_ms == 7
    assert changed.streams[1].strategy is Strategy.LINEAR


def test_features_are_reached_by_their_names_with_dots(demo: DatasetConfig) -> None:
    changed = override(
        demo,
        {
            "features.observation.state.names_key": "motors",
            "features.observation.state.slave": None,
            "features.observation.effort": ["left_slave[0:2]"],
            "features.action.parts[0].slice": "0:7",
        },
    )
    assert changed.features["observation.state"].names_key == "motors"
    assert "observation.state.slave" not in changed.features
    assert changed.features["observation.effort"].parts[0].slice == "0:2"
    assert changed.features["action"].parts[0].slice == "0:7"


def test_values_are_read_as_in_a_file(demo: DatasetConfig) -> None:
    changed = override(
        demo,
        {
            "dataset.formats": ("v3.0",),
            "dataset.fps": "25",
            "alignment.timeline": "uniform",
            "filtering.max_timestamp_gap_ms": None,
            "storage.scanner": {"interval_s": 7},
        },
    )
    assert changed.dataset.formats == (Format.V30,)
    assert changed.alignment.timeline is TimelineKind.UNIFORM
    assert changed.filtering.max_timestamp_gap_ms is None
    assert changed.storage.scanner.interval_s == 7


def test_a_sections_keys_may_be_given_where_the_file_has_no_such_section(loader: Loader) -> None:
    assert loader.load(SOUND, {"video.crf": 30}).video.crf == 30
    assert loader.load(SOUND + "video:\n", {"video.crf": 30}).video.crf == 30


def test_relative_places_start_at_the_current_folder(
    demo: DatasetConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    expected = (tmp_path / "bucket").as_uri()
    assert override(demo, {"storage.url": "bucket"}).storage.url == expected
    loaded = load_config(shipped_configs()["demo"], {"storage.url": "./bucket"})
    assert loaded.storage.url == expected


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("alignment.stratgy", "window", 'did you mean "strategy"?'),
        ("alignmet.strategy", "window", 'did you mean "alignment"?'),
        ("video.crf", "good", 'must be a whole number, not "good"'),
        ("video.crf", 52, "h264 knows 0 to 51"),
        ("cameras.cam_hig.role", "base", 'did you mean "cam_high"?'),
        ("cameras[9].role", "base", "there is no entry 9, there are 3"),
        ("cameras[x].role", "base", "is not a key"),
        ("dataset.fps.x", 1, "what lies before it holds no keys"),
        ("streams.left_slave.file", "../x", 'holds the part ".."'),
    ],
)
def test_faulty_overrides_name_the_key(
    demo: DatasetConfig, key: str, value: object, words: str
) -> None:
    assert words in fault_of(demo, {key: value})


def test_an_override_that_repairs_the_file_counts(loader: Loader) -> None:
    assert loader.load(SOUND + "video: {crf: 60}\n", {"video.crf": 20}).video.crf == 20


def test_an_override_makes_up_for_a_variable_that_is_not_set(loader: Loader) -> None:
    text = loader.changed(storage="{url: '${EXAMPLE_ABSENT}'}")
    assert loader.load(text, {"storage.url": "/b"}).storage.url == "file:///b"


def test_an_override_wins_over_older_keys(loader: Loader) -> None:
    text = loader.changed(dataset="{name: example}") + "video: {fps: 30}\n"
    assert loader.load(text, {"dataset.fps": 25}).dataset.fps == 25


def test_variables_are_filled_in_and_not_shown(
    demo: DatasetConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXAMPLE_TASK", "pick up")
    assert override(demo, {"dataset.task": "${EXAMPLE_TASK}"}).dataset.task == "pick up"
    monkeypatch.setenv("EXAMPLE_SECRET", "hunter2-very-secret")
    assert "hunter2" not in fault_of(demo, {"video.preset": "${EXAMPLE_SECRET}"})
    monkeypatch.delenv("EXAMPLE_SECRET")
    assert "EXAMPLE_SECRET is not set" in fault_of(demo, {"dataset.task": "${EXAMPLE_SECRET}"})


def test_a_dollar_that_was_resolved_stays(loader: Loader) -> None:
    config = loader.load(loader.changed(dataset='{name: example, fps: 25, task: "$${X}"}'))
    assert override(config, {"video.crf": 30}).dataset.task == "${X}"
