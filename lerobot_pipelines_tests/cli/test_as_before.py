"""Command lines of earlier systems: options, a configuration in a known place, bare names."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lerobot_pipelines.cli.episodes import pick
from lerobot_pipelines.cli.program import ALIASES, COMMANDS
from lerobot_pipelines.config import dump_config
from lerobot_pipelines.config.schema import StorageConfig
from lerobot_pipelines_tests.cli.calling import call
from lerobot_pipelines_tests.fleet import fleet_config, record


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with ``config/storage.yaml`` and recordings of two robots."""
    storage = StorageConfig.model_validate(
        {
            "url": (tmp_path / "bucket").as_uri(),
            "sources": ("robot_1", "robot_2"),
            "scanner": {"quiet_period_s": 0.0},
        }
    )
    (tmp_path / "config").mkdir()
    (tmp_path / "config/storage.yaml").write_text(dump_config(fleet_config(storage)))
    for key in ("robot_1/block/episode_0001", "robot_1/block/episode_0002"):
        record(tmp_path / "bucket/raw", key, layout="episode")
    record(tmp_path / "bucket/raw", "robot_2/block/episode_0001", layout="episode")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LEROBOT_PIPELINES_CONFIG", raising=False)
    return tmp_path


def test_the_known_place_is_used_and_a_variable_counts_before_it(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call("scan", "--once", "--json").json()["dataset"] == "fleet"
    other = place / "other.yaml"
    text = (place / "config/storage.yaml").read_text()
    other.write_text(text.replace("name: fleet", "name: elsewhere", 1))
    monkeypatch.setenv("LEROBOT_PIPELINES_CONFIG", str(other))
    assert call("monitor", "--json").json()["dataset"] == "elsewhere"
    assert call("monitor", "-c", "config/storage.yaml", "--json").json()["dataset"] == "fleet"


def test_without_any_configuration_the_places_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LEROBOT_PIPELINES_CONFIG", raising=False)
    for words in (["monitor"], ["convert"], ["watch"], ["scanner", "--once"]):
        outcome = call(*words)
        assert outcome.code == 2
        assert "LEROBOT_PIPELINES_CONFIG" in outcome.stderr
        assert "./config/storage.yaml" in outcome.stderr


def test_a_configuration_given_twice_is_a_mistake(place: Path) -> None:
    outcome = call("monitor", "config/storage.yaml", "-c", "config/storage.yaml")
    assert (outcome.code, "given twice" in outcome.stderr) == (2, True)


def test_a_bare_name_is_enough_where_one_episode_has_it(place: Path) -> None:
    done = call("convert", "-c", "config/storage.yaml", "-e", "episode_0002", "--max-workers", "1")
    assert done.code == 0, done.stderr
    assert "robot_1/block/episode_0002  converted" in done.stdout
    ambiguous = call("convert", "-e", "episode_0001")
    assert ambiguous.code == 2
    assert "robot_1/block/episode_0001, robot_2/block/episode_0001" in ambiguous.stderr
    only = call("convert", "-e", "episode_0001", "-s", "robot_2", "--json")
    assert [one["key"] for one in only.json()["episodes"]] == ["robot_2/block/episode_0001"]
    unknown = call("convert", "--episode-id", "episode_001")
    assert unknown.code == 2
    assert "did you mean robot_" in unknown.stderr
    nobody = call("convert", "-s", "robot_3")
    assert (nobody.code, "robot_1, robot_2" in nobody.stderr) == (2, True)


def test_a_source_alone_converts_that_robot(place: Path) -> None:
    done = call("convert", "-s", "robot_1", "--json").json()
    assert [one["key"] for one in done["episodes"]] == [
        "robot_1/block/episode_0001",
        "robot_1/block/episode_0002",
    ]


def test_scanner_once_counts_and_starts_nothing(place: Path) -> None:
    assert call("convert", "-e", "episode_0002").code == 0
    for options in ([], ["--full-scan"]):
        looked = call("scanner", "-c", "config/storage.yaml", "--interval", 300, "--once", *options)
        assert (looked.code, looked.stdout) == (0, "fleet: 1 converted, 2 new\n")
    assert not (place / ".dagster_home").exists()
    only = call("scanner", "--once", "-s", "robot_2")
    assert only.stdout == "fleet: 1 new\n" or "1 gone" in only.stdout


def test_publish_hands_over_what_is_in_the_bucket(place: Path) -> None:
    published = call("publish", "-e", "episode_0002", "-s", "robot_1", "--strategy", "window")
    assert published.code == 0, published.stderr
    settings = place / "bucket/raw/robot_1/block/episode_0002/overrides.json"
    assert json.loads(settings.read_text()) == {"alignment": {"strategy": "window"}}
    again = call("publish", "-e", "episode_0002", "--strategy", "window", "--json").json()
    assert (again["changed"], again["retried"]) == (False, False)
    # The strategy that all have is nothing of its own: the episode stays the content it was.
    same = call("publish", "-e", "episode_0001", "-s", "robot_2", "--strategy", "nearest", "--json")
    assert same.json()["changed"] is False
    missing = call("publish", "-e", "episode_0007")
    assert (missing.code, "episode_0007" in missing.stderr) == (2, True)
    nothing = call("publish")
    assert (nothing.code, "RECORDING" in nothing.stderr) == (2, True)


def test_a_store_as_a_source_means_where_the_bucket_is(place: Path) -> None:
    looked = call("publish", "-e", "episode_0002", "-s", "local")
    assert looked.code == 0
    assert "names a kind of store, not a robot" in looked.stderr


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["convrt"], "convert"),
        (["moniter"], "monitor"),
        (["scaner"], "scanner"),
        (["wach"], "watch"),
        (["convert", "--strateg", "x"], "--strategy"),
        (["monitor", "--refesh", "3"], "--refresh"),
        (["worker", "--max-worker", "3"], "--max-workers"),
        (["config", "chek"], "check"),
    ],
)
def test_a_mistyped_word_gets_a_suggestion(words: list[str], meant: str) -> None:
    outcome = call(*words)
    assert outcome.code == 2
    assert meant in outcome.stderr
    assert "Traceback" not in outcome.stderr


@pytest.mark.parametrize("name", sorted(ALIASES))
def test_aliases_teach_as_commands_do(name: str) -> None:
    assert name not in COMMANDS
    text = call(name, "--help").stdout
    assert "watch" in text and "Example" in text and "Exit codes" in text


def test_an_option_of_all_commands_is_told_its_place() -> None:
    outcome = call("watch", "--log-file", "x.log")
    assert outcome.code == 2
    assert "stands before the command: lerobot-pipelines --log-file" in outcome.stderr


KEYS = st.lists(
    st.sampled_from(["a", "b", "episode_1", "episode_11", "x.bag", "x.mcap"]),
    min_size=1,
    max_size=4,
).map("/".join)


@settings(max_examples=150, deadline=None)
@given(st.sets(KEYS, max_size=8), KEYS, st.sampled_from([None, "a", "b"]))
def test_a_name_stands_for_the_only_episode_that_ends_so(
    keys: set[str], name: str, source: str | None
) -> None:
    """Against a slow reading of the words in the help."""
    mine = [key for key in keys if source is None or (key.split("/")[0] == source and "/" in key)]
    words = name.split("/")
    found = set()
    for key in mine:
        for end in (key, key.removesuffix(".bag"), key.removesuffix(".mcap")):
            if end.split("/")[-len(words) :] == words:
                found.add(key)
    expected = name if name in mine else next(iter(found)) if len(found) == 1 else None
    try:
        assert pick(name, keys, source) == expected
    except click.UsageError as error:
        assert expected is None
        assert all(key in error.message for key in found)
