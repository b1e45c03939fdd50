"""Names that anybody may have put into the bucket neither leave the work folder nor stop it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import dagster as dg
import pytest
from botocore.exceptions import ClientError

from lerobot_pipelines.defs import bucket_sensor, rescan
from lerobot_pipelines.defs.cursor import BucketCursor
from lerobot_pipelines.pipeline.convert import convert_dataset
from lerobot_pipelines.pipeline.discovery import list_names
from lerobot_pipelines.pipeline.status import StatusReader
from lerobot_pipelines.recorder import publish_episode
from lerobot_pipelines.storage import open_storage
from lerobot_pipelines_tests.fleet import fleet_config, record, workspace_of
from lerobot_pipelines_tests.s3_server import S3Server

SOUND = ("block/sound", "block/with space, and [brackets]", "抓取/一")
# As parts of an episode's path. Ceph holds all of these, moto all without a line break.
HOSTILE = (
    "../../../outside",
    "..",
    "/absolute",
    "//",
    "line\nbreak",
    "\x1b[31mred",
    "nul\x01",
    "n" * 300,
    "/".join(["deep"] * 60),
    "%ff%fe",
    "~tilde",
    "-rf",
    "a,b...c",
    "\u202egnp.exe",
)


@pytest.fixture
def bucket(
    s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[object, str]:
    monkeypatch.setenv("LEROBOT_PIPELINES_CACHE", str(tmp_path / "work/cache"))
    name = s3_server.new_bucket()
    config = fleet_config(
        s3_server.config(name), storage={"scanner": {"quiet_period_s": 0.0}, "sources": []}
    )
    recording = record(tmp_path / "disk")
    for key in SOUND:
        publish_episode(key, recording, config=config)
    client = s3_server.client()
    arm = (tmp_path / "disk/joints/block/episode_1/left.parquet").read_bytes()
    for number, hostile in enumerate(HOSTILE):
        for path in (
            f"raw/joints/{hostile}/left.parquet",
            f"raw/{hostile}/episode/joints/left.parquet",
            f"raw/images/block/{hostile}/cam/{number}.jpg",
            f"raw/block/sound/joints/{hostile}.parquet",
            f"raw/block/sound/images/cam/{hostile}.jpg",
        ):
            if len(path.encode()) <= 1024:
                with contextlib.suppress(ClientError):  # a server may refuse some
                    client.put_object(Bucket=name, Key=path, Body=arm)
    return config, name


def tree(folder: Path) -> set[str]:
    return {
        os.path.join(root, name)
        for root, folders, names in os.walk(folder)
        for name in (*folders, *names)
    }


def test_they_are_named_and_cost_the_others_nothing(
    bucket: tuple[object, str], tmp_path: Path
) -> None:
    config, _ = bucket
    before = tree(tmp_path)
    summary = convert_dataset(config)  # type: ignore[arg-type]
    converted = {one.key for one in summary.episodes if one.status == "converted"}
    assert converted >= {SOUND[1], SOUND[2]}
    # Joints called "..", in an otherwise sound episode, are left out of it.
    assert {one.status for one in summary.episodes if one.key == SOUND[0]} <= {
        "converted",
        "refused",
    }
    new = {path for path in tree(tmp_path) - before if not path.startswith(f"{tmp_path}/work")}
    assert new == set()
    assert not (tmp_path.parent / "outside").exists()
    status = StatusReader(workspace_of(config, tmp_path / "work")).read(0)  # type: ignore[arg-type]
    assert status.reasons["bad_name"] >= 4
    assert status.converted == len(converted) and status.pending == 0


MAX_TICKS = 20


def test_the_sensor_and_the_rescan_go_on(bucket: tuple[object, str], tmp_path: Path) -> None:
    config, _ = bucket
    workspace = workspace_of(config, tmp_path / "work")  # type: ignore[arg-type]
    with dg.DagsterInstance.ephemeral() as instance:
        cursor = BucketCursor()
        wanted = {"block~sound", "block~with=20space=2C=20and=20=5Bbrackets=5D"}
        requested: set[str | None] = set()
        ticks = 0
        # What a tick does not come to in its time is the next one's: on a busy machine, a few.
        while not requested >= wanted and ticks < MAX_TICKS:
            tick = bucket_sensor.evaluate(workspace, instance, cursor)
            ticks += 1
            requested |= {request.partition_key for request in tick.requests}
            for partition in tick.added:
                assert len(partition) <= 200 and partition.isascii() and partition.isprintable()
                assert "..." not in partition and "," not in partition and "\n" not in partition
            instance.add_dynamic_partitions("fleet_episodes", tick.added)
        assert requested >= wanted
        assert len(tick.bad_names) >= 4
        report: list[str] = []
        rescan.evaluate(workspace, instance, report, seed="1")
        assert any("left out" in line for line in report)


def test_the_walk_with_and_without_known_episodes_finds_the_same(
    bucket: tuple[object, str],
) -> None:
    config, _ = bucket
    storage = open_storage(config.storage)  # type: ignore[attr-defined]
    names = list_names(storage, config)  # type: ignore[arg-type]
    again = list_names(storage, config, known=frozenset(names.keys))  # type: ignore[arg-type]
    assert again == names
