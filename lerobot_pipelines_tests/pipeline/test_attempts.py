"""Two attempts at one episode at once: neither deletes or overwrites what the other one names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lerobot_pipelines.config import override
from lerobot_pipelines.config.schema import DatasetConfig, StorageConfig
from lerobot_pipelines.datasets.reading import sha256_of
from lerobot_pipelines.datasets.records import EpisodeRecord
from lerobot_pipelines.errors import Transient
from lerobot_pipelines.pipeline import metadata
from lerobot_pipelines.pipeline.aligned import align_episode, read_aligned
from lerobot_pipelines.pipeline.artifacts import episode_keys, read_artifact
from lerobot_pipelines.pipeline.dataset import update_datasets
from lerobot_pipelines.pipeline.metadata import describe_episode
from lerobot_pipelines.pipeline.raw import scan_episode
from lerobot_pipelines.pipeline.videos import encode_episode
from lerobot_pipelines.pipeline.workspace import Workspace
from lerobot_pipelines.recorder import publish_episode
from lerobot_pipelines_tests.fleet import fleet_config, record, workspace_of

KEY = "block/episode_1"


@pytest.fixture(params=["local", "s3"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> DatasetConfig:
    storage = StorageConfig(url=(tmp_path / "bucket").as_uri())
    if request.param == "s3":
        server = request.getfixturevalue("s3_server")
        storage = server.config(server.new_bucket())
    config = fleet_config(storage)
    publish_episode(KEY, record(tmp_path / "disk", KEY), config=config)
    return config


def assert_whole(workspace: Workspace, verdict: EpisodeRecord, folder: Path) -> None:
    """All that the verdict names is there and is what it says."""
    parts = [(verdict.frames_key, verdict.frames_sha256)]
    parts += [(v.key, v.sha256) for segment in verdict.segments for v in segment.videos.values()]
    for key, sha256 in parts:
        workspace.storage.download(key, folder / "part")
        assert sha256_of(folder / "part") == sha256


def test_a_verdict_between_the_videos_and_the_verdict_of_another_attempt_spares_them(
    config: DatasetConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = workspace_of(override(config, {"video.crf": 45}), tmp_path)
    other = workspace_of(config, tmp_path)
    for step in (scan_episode, align_episode, encode_episode):
        step(one, KEY)
    check: Callable[..., object] = metadata.check_episode

    def while_the_other_encodes(*arguments: object) -> object:
        monkeypatch.setattr(metadata, "check_episode", check)
        encode_episode(other, KEY)
        return check(*arguments)

    monkeypatch.setattr(metadata, "check_episode", while_the_other_encodes)
    first = describe_episode(one, KEY)
    assert_whole(one, first, tmp_path)
    second = describe_episode(other, KEY)
    assert_whole(other, second, tmp_path)
    assert_whole(one, first, tmp_path)
    assert first.segments != second.segments
    updates = update_datasets(other)
    assert {update.episodes for update in updates} == {1}


def test_rows_of_another_attempt_do_not_take_the_place_of_those_that_a_verdict_names(
    config: DatasetConfig, tmp_path: Path
) -> None:
    workspace = workspace_of(config, tmp_path)
    for step in (scan_episode, align_episode, encode_episode):
        step(workspace, KEY)
    verdict = describe_episode(workspace, KEY)
    averaged = {"alignment.strategy": "window", "alignment.window_ms": 60}
    other = workspace_of(override(config, averaged), tmp_path)
    align_episode(other, KEY)
    assert read_aligned(other, KEY)[0].frames_key != verdict.frames_key
    assert_whole(workspace, verdict, tmp_path)
    updates = update_datasets(workspace)
    assert {update.episodes for update in updates} == {1}


def test_no_verdict_is_given_on_a_video_that_is_not_there(
    config: DatasetConfig, tmp_path: Path
) -> None:
    workspace = workspace_of(config, tmp_path)
    for step in (scan_episode, align_episode, encode_episode):
        step(workspace, KEY)
    (segment,) = read_artifact(
        workspace, episode_keys(workspace, KEY).videos, metadata.VideosIndex
    ).segments
    lost = next(iter(segment.values())).key
    workspace.storage.delete(lost)
    with pytest.raises(Transient, match=f"{lost} of episode {KEY} is missing"):
        describe_episode(workspace, KEY)
    assert workspace.storage.head(episode_keys(workspace, KEY).record) is None
