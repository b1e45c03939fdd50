"""The service's file and its strategy files: one configuration each, in a store of objects and
beside one another, as they are and migrated."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from lerobot_pipelines.config import load_config
from lerobot_pipelines_tests.migration.repository import Repository, record, text
from lerobot_pipelines_tests.migration.running import assert_rows, ran
from lerobot_pipelines_tests.s3_server import ACCESS_KEY_VARIABLE, SECRET_KEY_VARIABLE, S3Server

pytestmark = pytest.mark.filterwarnings("ignore::lerobot_pipelines.errors.PipelineWarning")

ROBOT = text("chunking.yaml")
# Further strategy files beside chunking.yaml: what their section ``alignment`` holds.
OTHERS: dict[str, dict[str, Any]] = {"nearest": {}, "window": {"window_ms": 30}}


@pytest.fixture
def pair(owned: Repository) -> Repository:
    for strategy, settings in OTHERS.items():
        owned.strategy_file("chunking.yaml", strategy, settings)
    return owned


def test_migrated_files_are_the_same_datasets(pair: Repository) -> None:
    """What the older files converted is found done by the files that ``config migrate`` writes."""
    recording = record(pair.root / "data", "episode_0001", ROBOT, seed=2)
    where = ("--input", "data", "--output", "out")
    ran("convert", "-c", "config/storage.yaml", *where)
    files = [f"config/strategies/{name}.yaml" for name in ("chunking", *OTHERS)]
    ran("config", "migrate", "config/storage.yaml", *files, "-o", "configs")
    migrated = {
        load_config(path).alignment.strategy.value: path
        for path in (pair.root / "configs").glob("*.yaml")
    }
    assert sorted(migrated) == sorted(("chunking", *OTHERS))
    again = ran("convert", migrated["chunking"], *where, "--json").json()
    assert [one["status"] for one in again["episodes"]] == ["unchanged"]
    ran("convert", migrated["window"], *where)
    (window,) = (pair.root / "out").glob("*/episode_0001_window")
    assert_rows(window, recording, ROBOT, "window", **OTHERS["window"])


@pytest.fixture
def in_store(
    pair: Repository, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, list[str], Any]:
    """A recording that lies in the bucket, what names that server, and the bucket."""
    monkeypatch.setenv("BOS_ACCESS_KEY", os.environ[ACCESS_KEY_VARIABLE])
    monkeypatch.setenv("BOS_SECRET_KEY", os.environ[SECRET_KEY_VARIABLE])
    recording = record(pair.root / "taken", "episode_0001", ROBOT, seed=3)
    bucket, client = s3_server.new_bucket(), s3_server.client()
    for file in recording.rglob("*.*"):
        key = f"raw_datas/episode_0001/{file.relative_to(recording).as_posix()}"
        client.upload_file(str(file), bucket, key)
    settings = {
        "url": f"s3://{bucket}",
        "endpoint": s3_server.endpoint,
        "region": "us-east-1",
        "addressing_style": "path",
    }
    return (
        recording,
        [word for key, value in settings.items() for word in ("--set", f"storage.{key}={value}")],
        (client, bucket),
    )


def test_the_service_works_in_its_bucket(
    in_store: tuple[Path, list[str], Any], pair: Repository
) -> None:
    recording, there, (client, bucket) = in_store
    ran("publish", "-e", "episode_0001", "-s", "local", "--strategy", "chunking", *there)
    assert "1 " in ran("scanner", "--once", "--full-scan", *there).stdout
    ran("convert", "-c", "config/storage.yaml", *there)
    status = ran("monitor", "--json", *there).json()
    assert (status["converted"], status["pending"], status["refused"]) == (1, 0, 0)
    listed = client.list_objects_v2(Bucket=bucket, Prefix="converted_datas/")["Contents"]
    for one in listed:
        if "/.ledger/" not in one["Key"]:
            place = pair.root / "fetched" / one["Key"]
            place.parent.mkdir(parents=True, exist_ok=True)
            client.download_file(bucket, one["Key"], str(place))
    assert_rows(pair.root / "fetched", recording, ROBOT)
    assert any("episode_0001_chunking/" in one["Key"] for one in listed)
