"""Older keys with a counterpart are that counterpart; the others say what took their place."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from lerobot_pipelines.config import load_config, override
from lerobot_pipelines.config.hashing import alignment_hash
from lerobot_pipelines.config.schema import DatasetConfig, Format
from lerobot_pipelines_tests.config.loading import Loader

ARM = """\
robot: {arms: [{name: a_slave}, {name: a_master}], joints_per_arm: 6}
cameras: [{name: cam, role: base, target_fps: 25}]
"""


def load(
    loader: Loader, text: str, overrides: dict[str, object] | None = None
) -> tuple[DatasetConfig, str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        config = load_config(loader.write(ARM + text), overrides)
    return config, " ".join(str(one.message) for one in caught)


def bucket(section: str) -> str:
    return f"s3: {{bucket: rec, {section}}}\n"


@pytest.mark.parametrize(
    ("section", "down", "up"),
    [
        ("download: {parallel_downloads: 8}", 8, None),
        ("download: {batch_size: 100}", 100, None),
        ("download: {batch_size: 1000}", 256, None),
        ("download: {batch_size: 100, concurrent: 4}", 4, None),
        ("upload: {parallel_uploads: 4}", 16, 4),
        ("upload: {max_workers: 3}, download: {max_workers: 5}", 5, 3),
    ],
)
def test_numbers_of_transfers_are_those_of_threads(
    loader: Loader, section: str, down: int, up: int | None
) -> None:
    storage = load(loader, bucket(section))[0].storage
    assert (storage.transfer_threads, storage.upload_threads) == (down, up)
    assert storage.threads_up == (up or down)


def test_a_temporary_folder_is_this_machines_folder(
    loader: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = bucket('download: {temp_dir: "${LEROBOT_TEMP_DIR}"}')
    monkeypatch.delenv("LEROBOT_TEMP_DIR", raising=False)
    assert load(loader, text)[0].storage.cache_dir is None
    monkeypatch.setenv("LEROBOT_TEMP_DIR", "/fast/tmp")
    assert load(loader, text)[0].storage.cache_dir == "/fast/tmp"
    monkeypatch.chdir(loader.folder)
    relative = load(loader, bucket("download: {temp_dir: ./tmp}"))[0].storage.cache_dir
    assert relative == str(loader.folder / "tmp")


def test_the_cache_folder_of_the_configuration_is_used(loader: Loader, tmp_path: Path) -> None:
    from lerobot_pipelines.pipeline.workspace import open_workspace

    config = load(loader, f"storage: {{url: {tmp_path}, cache_dir: {tmp_path}/fast}}\n")[0]
    assert open_workspace(config).cache_dir == tmp_path / "fast"
    assert open_workspace(config, cache_dir=tmp_path / "own").cache_dir == tmp_path / "own"


@pytest.mark.parametrize("section", ["redis", "worker"])
def test_the_number_of_workers_is_kept(loader: Loader, section: str) -> None:
    from lerobot_pipelines.defs.pools import wanted_limits

    config, said = load(loader, bucket("") + f"{section}: {{max_workers: 3, poll_interval: 1}}\n")
    assert config.workers == 3
    assert f"{section}: has no effect here: Dagster's run queue took its place" in said
    assert wanted_limits({"one": config}, cores=16)["encode"] == 3


def test_a_section_that_is_all_mapped_says_nothing(loader: Loader) -> None:
    assert "worker" not in load(loader, bucket("") + "worker: {max_workers: 3}\n")[1]


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ("scanner: {incremental_key: a}", "compares all folders with the known partitions"),
        ("download: {retries: 3}", "retried with back-off"),
        ("scanner: {max_keys: 1000}", "chooses this by itself"),
    ],
)
def test_what_has_no_counterpart_says_what_took_its_place(
    loader: Loader, section: str, words: str
) -> None:
    assert words in load(loader, bucket(section))[1]


def test_an_older_file_gives_v21_and_says_so_in_one_line(loader: Loader) -> None:
    config, said = load(loader, "input: {data_path: /in}\n")
    assert config.dataset.formats == (Format.V21,)
    assert "data/chunk-000/episode_000000.parquet" in said
    assert "\n" not in said
    both, said = load(loader, "input: {data_path: /in}\ndataset: {formats: [v2.1, v3.0]}\n")
    assert both.dataset.formats == (Format.V21, Format.V30)
    assert "v2.1" not in said
    asked, said = load(loader, "input: {data_path: /in}\n", {"dataset.formats": ["v3.0"]})
    assert asked.dataset.formats == (Format.V30,)
    assert said == ""


def test_todays_files_keep_their_formats(loader: Loader) -> None:
    config, said = load(loader, "dataset: {name: own, fps: 25}\nstorage: {url: /b}\n")
    assert config.dataset.formats == (Format.V30,)
    assert said == ""


@pytest.mark.parametrize(
    ("alignment", "key", "value"),
    [
        ("{strategy: window}", "window_ms", 20),
        ("{strategy: window, window_ms: 33}", "window_ms", 33),
        ("{strategy: chunking}", "chunk_size", 10),
        ("{strategy: nearest}", "window_ms", 40),  # not used: hashes stay as they were
        ("{strategy: nearest}", "chunk_size", 50),
    ],
)
def test_defaults_of_a_strategy_are_the_older_ones(
    loader: Loader, alignment: str, key: str, value: float
) -> None:
    config, said = load(loader, f"input: {{data_path: /in}}\nalignment: {alignment}\n")
    assert getattr(config.alignment, key) == value
    given = f"alignment.{key} is {value}" in said
    assert given == (key in ("window_ms", "chunk_size") and value in (20, 10))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"alignment.strategy": "window"}, 20),
        ({"alignment.strategy": "window", "alignment.window_ms": 35}, 35),
        ({"alignment.strategy": "linear"}, 40),
    ],
)
def test_a_strategy_asked_for_has_the_older_defaults_too(
    loader: Loader, asked: dict[str, object], expected: float
) -> None:
    text = "input: {data_path: /in}\nalignment: {strategy: chunking, chunk_size: 7}\n"
    at_once = load(loader, text, asked)[0]
    later = override(load(loader, text)[0], asked)
    for config in (at_once, later):
        assert config.alignment.window_ms == expected
        assert config.alignment.chunk_size == 7
    assert alignment_hash(at_once) == alignment_hash(later)


def test_settings_on_request_change_no_hash(loader: Loader) -> None:
    plain = load(loader, "input: {data_path: /in}\ndataset: {formats: v3.0}\n")[0]
    assert plain.alignment.on_request.window_ms == 20
    without = override(plain, {"alignment.on_request.window_ms": None})
    assert alignment_hash(without) == alignment_hash(plain)


def test_pattern_and_its_folder_are_meant_from_the_working_directory(
    loader: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = loader.folder / "elsewhere"
    (elsewhere / "in").mkdir(parents=True)
    monkeypatch.chdir(elsewhere)
    text = 'input: {data_path: ./in}\noutput: {pattern: "./sets/{episode_id}_{strategy}"}\n'
    storage = load(loader, text)[0].storage
    assert (storage.url, storage.raw_prefix) == (elsewhere.as_uri(), "in")
    assert storage.converted_prefix == "sets"


def test_an_input_beside_the_file_is_found_and_said(
    loader: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = loader.folder / "elsewhere"
    elsewhere.mkdir()
    (loader.folder / "in").mkdir()
    monkeypatch.chdir(elsewhere)
    text = "input: {data_path: ./in}\noutput: {base_path: ./out}\n"
    config, said = load(loader, text)
    assert config.storage.url == loader.folder.as_uri()
    assert config.storage.raw_prefix == "in"
    assert config.storage.converted_prefix == "elsewhere/out"  # never beside the file unasked
    assert f"{elsewhere / 'in'} is not there, {loader.folder / 'in'} is meant" in said


def test_an_input_that_is_nowhere_names_both_places(
    loader: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = loader.folder / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    _, said = load(loader, "input: {data_path: ./in}\n")
    assert (
        f"neither {elsewhere / 'in'} (from the working directory) nor {loader.folder / 'in'}"
        in said
    )


def test_results_that_lie_beside_the_file_already_go_on_there(
    loader: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    (loader.folder / "out").mkdir()
    (loader.folder / "elsewhere").mkdir()
    monkeypatch.chdir(loader.folder / "elsewhere")
    config, said = load(loader, "input: {data_path: /in}\noutput: {base_path: ./out}\n")
    assert config.storage.converted_prefix.endswith(f"{loader.folder.name}/out")
    assert f"goes on in {loader.folder / 'out'}" in said


@pytest.mark.parametrize("key", ["output.base_path", "input.data_path"])
def test_older_keys_can_be_overridden(loader: Loader, key: str) -> None:
    text = "input: {data_path: /a/in}\noutput: {base_path: /a/out}\n"
    storage = load(loader, text, {key: "/b/other"})[0].storage
    assert "b/other" in (storage.raw_prefix, storage.converted_prefix)
