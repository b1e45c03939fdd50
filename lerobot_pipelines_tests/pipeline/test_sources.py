"""Several robots in one bucket: told apart in keys, records and counts, never in tasks."""

from __future__ import annotations

from pathlib import Path

import pytest

from lerobot_pipelines.config.schema import StorageConfig
from lerobot_pipelines.datasets.records import EpisodeRecord
from lerobot_pipelines.pipeline.artifacts import episode_keys, read_artifact
from lerobot_pipelines.pipeline.convert import convert_dataset
from lerobot_pipelines.pipeline.discovery import list_episode_keys, task_of
from lerobot_pipelines.recorder import publish_episode
from lerobot_pipelines.recordings.layout import METADATA_NAME
from lerobot_pipelines.storage import open_storage
from lerobot_pipelines_tests.fleet import fleet_config, record, workspace_of


def test_episodes_of_several_sources_are_one_dataset(tmp_path: Path) -> None:
    storage = StorageConfig(url=(tmp_path / "b").as_uri(), sources=("robot_1", "site/robot_2"))
    config = fleet_config(storage)
    recording = record(tmp_path / "disk")
    for metadata in (tmp_path / "disk").rglob(METADATA_NAME):
        metadata.unlink()
    wanted = {
        "robot_1/pick_up/a": ("robot_1", "pick up"),
        "robot_1/take_7": ("robot_1", "take 7"),
        "site/robot_2/pick_up/a": ("site/robot_2", "pick up"),
    }
    for key, (source, _) in wanted.items():
        publish_episode(key.removeprefix(f"{source}/"), recording, config=config, source=source)
    # Another robot of the same bucket, which this dataset does not take.
    store = open_storage(storage)
    store.write("raw/robot_3/joints/pick_up/a/left.parquet", b"x")
    assert list(list_episode_keys(store, config)) == sorted(wanted)
    summary = convert_dataset(config)
    assert summary.ok and summary.datasets[0].episodes == len(wanted)
    workspace = workspace_of(config, tmp_path)
    for key, (source, task) in wanted.items():
        found = read_artifact(workspace, episode_keys(workspace, key).record, EpisodeRecord)
        assert (found.source, found.segments[0].tasks) == (source, (task,))


@pytest.mark.parametrize(
    ("key", "source", "task"),
    [
        ("robot_1/episode_1", "robot_1", "episode 1"),
        ("robot_1/pick_up/episode_1", "robot_1", "pick up"),
        ("robot_1/pick_up/episode_1", None, "pick up"),
        ("a/b/pick/episode_1", "a/b", "pick"),
        ("a/b/take.bag", "a/b", "take"),
    ],
)
def test_the_source_is_no_task(key: str, source: str | None, task: str) -> None:
    assert task_of(key, source) == task
