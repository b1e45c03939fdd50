"""What nobody needs leaves the bucket; what a dataset may need never does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lerobot_pipelines.config.schema import DatasetConfig, StorageConfig
from lerobot_pipelines.pipeline import lifecycle
from lerobot_pipelines.pipeline.artifacts import FailureRecord, episode_keys, write_artifact
from lerobot_pipelines.pipeline.convert import convert_dataset
from lerobot_pipelines.pipeline.lifecycle import DAY_NS, Kind, clean_up
from lerobot_pipelines.pipeline.retries import request_retry
from lerobot_pipelines.pipeline.withdrawing import take_out
from lerobot_pipelines.pipeline.workspace import Workspace
from lerobot_pipelines.recorder import publish_episode
from lerobot_pipelines.storage.local_versions import TEMPORARY_PREFIX
from lerobot_pipelines_tests.fleet import fleet_config, record, workspace_of

CONVERTED = ("block/episode_1", "block/episode_2")


@pytest.fixture(params=["local", "s3"])
def bucket(request: pytest.FixtureRequest, tmp_path: Path) -> StorageConfig:
    if request.param == "local":
        return StorageConfig(url=(tmp_path / "bucket").as_uri())
    server = request.getfixturevalue("s3_server")
    config = server.config(server.new_bucket())
    assert isinstance(config, StorageConfig)
    return config


@pytest.fixture
def workspace(bucket: StorageConfig, tmp_path: Path) -> Workspace:
    """Two episodes in the dataset."""
    config = fleet_config(bucket)
    for seed, key in enumerate(CONVERTED):
        publish_episode(key, record(tmp_path / "disk", key, seed=seed), config=config)
    assert convert_dataset(config).ok
    return workspace_of(config, tmp_path)


@pytest.fixture(autouse=True)
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of this was forty days ago."""
    monkeypatch.setattr(lifecycle, "_store_time_ns", lambda _: time.time_ns() + 40 * DAY_NS)


def there(workspace: Workspace) -> set[str]:
    return {info.key for info in workspace.storage.list()}


def refuse(workspace: Workspace, key: str) -> str:
    """As a refusal after the alignment leaves it; the key of the artifact."""
    keys = episode_keys(workspace, key)
    failure = FailureRecord(key=key, stage="encoded_videos", reason="gap", message="a hole")
    write_artifact(workspace, keys.failure, failure)
    workspace.storage.write(keys.rows("0" * 64), b"rows")
    return keys.rows("0" * 64)


def removed(workspace: Workspace, **options: object) -> set[tuple[str, str]]:
    return {(one.kind, one.key) for one in clean_up(workspace, **options)}  # type: ignore[arg-type]


def test_nothing_that_a_dataset_may_need_is_removed(workspace: Workspace, tmp_path: Path) -> None:
    before = there(workspace)
    assert removed(workspace) == set()
    assert there(workspace) == before
    # Also where the recording is gone: the episode stays in the dataset, which may be rewritten.
    for info in list(workspace.storage.list("raw")):
        workspace.storage.delete(info.key)
    assert removed(workspace) == set()
    workspace.storage.delete(episode_keys(workspace, CONVERTED[0]).record)
    assert removed(workspace) == set()  # the dataset still holds it
    assert convert_dataset(workspace.config).datasets[0].episodes == 2
    take_out(workspace, CONVERTED[0])
    assert convert_dataset(workspace.config).datasets[0].episodes == 1
    kinds = {kind for kind, _ in removed(workspace)}
    assert kinds == {Kind.GONE}
    assert convert_dataset(workspace.config).datasets[0].episodes == 1


def test_each_kind_goes_after_its_days_and_not_before(workspace: Workspace, tmp_path: Path) -> None:
    publish_episode("block/bad", record(tmp_path / "disk", "block/bad"), config=workspace.config)
    refused = refuse(workspace, "block/bad")
    gone = refuse(workspace, "block/gone")
    lonely = episode_keys(workspace, "block/lonely").failure
    refuse(workspace, "block/lonely")
    workspace.storage.delete(episode_keys(workspace, "block/lonely").rows("0" * 64))
    keys = episode_keys(workspace, CONVERTED[0])
    superseded = keys.video("observation.images.cam", 0, "f" * 64)
    workspace.storage.write(superseded, b"an earlier attempt")
    old_rows = [keys.rows("f" * 64), f"{keys.folder}/aligned.parquet"]
    for rows in old_rows:
        workspace.storage.write(rows, b"of an earlier attempt and version")
    expected = {
        (Kind.REFUSED, refused),
        (Kind.GONE, gone),
        (Kind.GONE, episode_keys(workspace, "block/gone").failure),
        (Kind.GONE, lonely),
        *((Kind.SUPERSEDED, one) for one in (superseded, *old_rows)),
    }
    before = there(workspace)
    assert removed(workspace, dry_run=True) == set()  # by this machine's clock it is all new
    for name in ("refused_days", "gone_days", "superseded_days"):
        for days in (None, 41):
            others = {one for one in expected if one[0] != name.partition("_")[0]}
            assert set(_judged(workspace, **{name: days})) == others
    assert there(workspace) == before
    assert removed(workspace, after="block~bad") == expected
    assert there(workspace) == before - {key for _, key in expected}
    assert episode_keys(workspace, "block/bad").failure in there(workspace)


def _judged(workspace: Workspace, **days: int | None) -> Iterator[tuple[str, str]]:
    """What would be removed with these settings, nothing of it done."""
    storage = workspace.config.storage
    settings = storage.lifecycle.model_copy(update=days)
    config = workspace.config.model_copy(
        update={"storage": storage.model_copy(update={"lifecycle": settings})}
    )
    changed = Workspace(config, workspace.storage, workspace.cache_dir)
    now_ns = time.time_ns() + 40 * DAY_NS
    return ((one.kind, one.key) for one in lifecycle._removals(changed, now_ns, ""))


def test_a_refused_episode_that_shall_be_tried_again_keeps_its_artifacts(
    workspace: Workspace, tmp_path: Path
) -> None:
    publish_episode("block/bad", record(tmp_path / "disk", "block/bad"), config=workspace.config)
    refuse(workspace, "block/bad")
    assert request_retry(workspace, "block/bad")
    assert removed(workspace) == set()


def test_remains_of_broken_uploads_go(workspace: Workspace, request: pytest.FixtureRequest) -> None:
    local = workspace.storage.local_path("work")
    if local is not None:
        remains = local / f"{TEMPORARY_PREFIX}0123456789abcdef"
        remains.write_bytes(b"half")
        key = f"work/{remains.name}"
    else:
        client = request.getfixturevalue("s3_server").client()
        bucket, key = workspace.storage.url.removeprefix("s3://"), "raw/half.bag"
        client.create_multipart_upload(Bucket=bucket, Key=key)
    assert removed(workspace) == {(Kind.UNFINISHED, key)}
    assert removed(workspace) == set()


def test_the_days_of_a_configuration_change_no_episode(workspace: Workspace) -> None:
    from lerobot_pipelines.config.hashing import dataset_hash

    changed: DatasetConfig = fleet_config(
        workspace.config.storage, storage={"lifecycle": {"refused_days": None}}
    )
    assert dataset_hash(changed) == dataset_hash(workspace.config)
