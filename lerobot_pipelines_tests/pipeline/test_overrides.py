"""``overrides.json``: holds for its episode alone, is content like any other, is not trusted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lerobot_pipelines.config.schema import DatasetConfig, StorageConfig
from lerobot_pipelines.datasets.records import EpisodeRecord
from lerobot_pipelines.pipeline.artifacts import episode_keys, read_artifact
from lerobot_pipelines.pipeline.convert import ConvertSummary, EpisodeOutcome, convert_dataset
from lerobot_pipelines.recorder import publish_episode
from lerobot_pipelines_tests.fleet import fleet_config, record, workspace_of

PLAIN, OTHER = "block/episode_1", "block/episode_2"


class Fleet:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config: DatasetConfig = fleet_config(StorageConfig(url=(folder / "b").as_uri()))
        self.recording = record(folder / "disk")

    def publish(self, key: str, **settings: Any) -> None:
        publish_episode(key, self.recording, config=self.config, **settings)

    def write_overrides(self, key: str, text: str) -> None:
        (self.folder / "b/raw" / key / "overrides.json").write_text(text)

    def convert(self) -> dict[str, EpisodeOutcome]:
        self.summary: ConvertSummary = convert_dataset(self.config)
        return {outcome.key: outcome for outcome in self.summary.episodes}

    def record_of(self, key: str) -> EpisodeRecord:
        workspace = workspace_of(self.config, self.folder)
        return read_artifact(workspace, episode_keys(workspace, key).record, EpisodeRecord)


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


def test_they_hold_for_one_episode_and_both_are_in_the_dataset(fleet: Fleet) -> None:
    fleet.publish(PLAIN)
    fleet.publish(OTHER, strategy="window", task="pick up the cup", overrides={"window_ms": 90})
    assert {one.status for one in fleet.convert().values()} == {"converted"}
    plain, other = fleet.record_of(PLAIN), fleet.record_of(OTHER)
    assert (plain.provenance["strategy"], plain.segments[0].tasks) == (
        "nearest",
        ("pick up the block",),
    )
    assert (other.provenance["strategy"], other.segments[0].tasks) == (
        "window",
        ("pick up the cup",),
    )
    assert plain.frames_sha256 != other.frames_sha256
    (update,) = fleet.summary.datasets
    assert (update.episodes, update.stale, update.skipped) == (2, (), {})


def test_they_are_content_changed_ones_convert_again_and_equal_ones_do_not(fleet: Fleet) -> None:
    fleet.publish(PLAIN)
    fleet.publish(OTHER, strategy="window")
    fleet.convert()
    assert {one.status for one in fleet.convert().values()} == {"unchanged"}
    fleet.publish(OTHER, strategy="hold")
    outcomes = fleet.convert()
    assert (outcomes[PLAIN].status, outcomes[OTHER].status) == ("unchanged", "converted")
    fleet.publish(OTHER)
    assert fleet.convert()[OTHER].status == "converted"
    assert fleet.record_of(OTHER).frames_sha256 == fleet.record_of(PLAIN).frames_sha256


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "overrides.json"),
        ("[]", "overrides.json"),
        ('{"alignment": {"strategy": "best"}}', "alignment.strategy"),
        ('{"alignment": {"rate_tolerance": 0.9}}', "rate_tolerance cannot be set"),
        ('{"alignment": {"tolerance_ms": 1e999}}', "tolerance_ms"),
        ('{"storage": {"url": "s3://elsewhere"}}', "storage"),
        ('{"task": ""}', "one line"),
        (json.dumps({"task": "x" * 2000}), "longer than"),
        (" " * 70_000 + "{}", "larger than"),
    ],
)
def test_bad_ones_are_refused_by_name_and_cost_nobody_else(
    fleet: Fleet, text: str, words: str
) -> None:
    fleet.publish(PLAIN)
    fleet.publish(OTHER)
    fleet.write_overrides(OTHER, text)
    outcomes = fleet.convert()
    assert outcomes[PLAIN].status == "converted"
    assert (outcomes[OTHER].status, outcomes[OTHER].reason) == ("refused", "bad_config")
    assert words in outcomes[OTHER].message and OTHER in outcomes[OTHER].message
    fleet.write_overrides(OTHER, '{"task": "put it down"}')
    assert fleet.convert()[OTHER].status == "converted"


def test_other_dimensions_than_the_datasets_are_refused_and_say_what_to_do(fleet: Fleet) -> None:
    fleet.publish(PLAIN)
    fleet.write_overrides(PLAIN, '{"alignment": {"strategy": "chunking", "chunk_size": 5}}')
    outcome = fleet.convert()[PLAIN]
    assert outcome.reason == "bad_config"
    assert "{episode_id}" in outcome.message


def test_no_variable_of_the_machine_can_be_read(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROBOT_SECRET", "do not tell")
    fleet.publish(PLAIN)
    fleet.write_overrides(PLAIN, '{"task": "say ${ROBOT_SECRET}", "alignment": {"causal": true}}')
    assert fleet.convert()[PLAIN].status == "converted"
    assert fleet.record_of(PLAIN).segments[0].tasks == ("say ${ROBOT_SECRET}",)


def test_two_settings_of_one_episode_are_refused(fleet: Fleet) -> None:
    fleet.publish(PLAIN, task="one")
    joints = fleet.folder / "b/raw" / PLAIN / "joints/overrides.json"
    joints.write_text('{"task": "two"}')
    outcome = fleet.convert()[PLAIN]
    assert outcome.reason == "bad_config" and "remove one" in outcome.message
