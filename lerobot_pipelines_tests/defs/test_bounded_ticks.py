"""A tick reads a bounded number of objects, whatever lies in the bucket, and comes to all of it.

Each flood is one that somebody who may write to the bucket can make, on purpose or by accident.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from lerobot_pipelines.config.schema import (
    DatasetConfig,
    DatasetSection,
    ScannerConfig,
    StorageConfig,
)
from lerobot_pipelines.defs import bucket_sensor, dataset_sensor, rescan, wishes
from lerobot_pipelines.defs import cursor as cursors
from lerobot_pipelines.defs.cursor import BucketCursor
from lerobot_pipelines.defs.dataset_sensor import DatasetCursor
from lerobot_pipelines.pipeline import known_failures
from lerobot_pipelines.pipeline.artifacts import FailureRecord, episode_keys, write_artifact
from lerobot_pipelines.pipeline.keys import encode_key
from lerobot_pipelines.pipeline.retries import list_retries
from lerobot_pipelines.pipeline.sightings import look_at_all
from lerobot_pipelines.pipeline.workspace import Workspace, open_workspace
from lerobot_pipelines_tests.defs.bucket import Bucket
from lerobot_pipelines_tests.defs.daemon import Daemon, partitions_of
from lerobot_pipelines_tests.fleet import WatchedStorage
from lerobot_pipelines_tests.s3_server import S3Server

COUNT = 600  # more than any bound on what a tick looks at


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as stored:
        yield stored


class Flood:
    """A bucket in any store, and a count of what is read of it."""

    def __init__(self, storage: StorageConfig, folder: Path) -> None:
        scanner = ScannerConfig(quiet_period_s=0.0)
        self.config = DatasetConfig(
            dataset=DatasetSection(name="demo"),
            storage=storage.model_copy(update={"scanner": scanner}),
        )
        self.reads = 0
        inner = open_workspace(self.config, cache_dir=folder)
        watched: Any = WatchedStorage(inner.storage, self._count)
        self.workspace = Workspace(self.config, watched, folder)

    def _count(self, name: str, key: str) -> None:
        self.reads += name == "read"

    def refuse(self, key: str) -> None:
        failure = FailureRecord(key=key, stage="raw_episodes", reason="gap", message="a hole")
        write_artifact(self.workspace, episode_keys(self.workspace, key).failure, failure)

    def put(self, key: str) -> None:
        for place in (f"joints/{key}/left_slave.parquet", f"images/{key}/cam_high/1000000.jpg"):
            self.workspace.storage.write(f"raw/{place}", b"x")

    def fill(self, work: Any, keys: list[str]) -> None:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, keys))


@pytest.fixture(params=["local", "s3"])
def flood(request: pytest.FixtureRequest, s3_server: S3Server, tmp_path: Path) -> Flood:
    if request.param == "local":
        return Flood(StorageConfig(url=(tmp_path / "bucket").as_uri()), tmp_path / "cache")
    return Flood(s3_server.config(s3_server.new_bucket()), tmp_path / "cache")


def test_refusals_are_read_once_and_a_bounded_number_a_tick(
    flood: Flood, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset_sensor, "READING_BUDGET_S", 0.0)
    flood.fill(flood.refuse, [f"block/bad_{number:05d}" for number in range(COUNT)])
    cursor, events, ticks = DatasetCursor(), list[dg.AssetMaterialization](), 0
    while not events and ticks < COUNT:
        before = flood.reads
        events = dataset_sensor.refusal_events(flood.workspace, cursor)
        assert flood.reads - before <= known_failures.READ_AT_ONCE
        ticks += 1
    assert flood.reads == COUNT
    assert events[0].metadata["refused"].value == COUNT
    flood.refuse("block/one_more")
    assert dataset_sensor.refusal_events(flood.workspace, cursor)
    assert flood.reads == COUNT + 1


def test_refusals_that_cannot_be_read_are_lines_of_the_list(flood: Flood) -> None:
    flood.refuse("block/good")
    for number, data in enumerate((b"", b"\xff\xfe", b'{"key": 1}', b"[" * 10_000)):
        flood.workspace.storage.write(f"work/demo/failures/block~bad_{number}.json", data)
    flood.workspace.storage.write("work/demo/failures/no key.json", b"{}")
    event = dataset_sensor.refusal_events(flood.workspace, DatasetCursor())[0]
    assert event.metadata["refused"].value == 6
    table: Any = event.metadata["episodes"]
    rows = {record.data["episode"]: record.data["reason"] for record in table.records}
    assert rows["block/good"] == "gap" and rows["block/bad_0"] == "corrupt_artifact"


def test_wishes_are_not_opened_and_all_have_their_turn(
    flood: Flood, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wishes, "WISHES_LOOKED_AT", 7)
    keys = [f"block/bad_{number:05d}" for number in range(30)]
    flood.fill(flood.put, keys)
    flood.fill(flood.refuse, keys)
    for key in keys:
        place = episode_keys(flood.workspace, key).retry
        flood.workspace.storage.write(place, os.urandom(8).hex().encode())
    before = flood.reads
    assert len(list(list_retries(flood.workspace))) == 30
    assert flood.reads == before
    partitions = [encode_key(key) for key in keys]
    instance.add_dynamic_partitions("demo_episodes", partitions)
    cursor, asked = BucketCursor(), list[str | None]()
    monkeypatch.setattr(bucket_sensor, "KNOWN_LOOKED_AT", 0)
    for _ in range(5):
        tick = bucket_sensor.evaluate(flood.workspace, instance, cursor)
        assert len(tick.requests) <= 7
        asked += [request.partition_key for request in tick.requests]
        cursor = BucketCursor.parse(cursor.dump())
    assert sorted(map(str, asked[:30])) == partitions


def test_bad_names_are_told_once_and_in_few_lines(
    bucket: Bucket, instance: dg.DagsterInstance, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(COUNT):
        name = os.fsencode(bucket.root) + b"/raw/joints/block/ep_\xff_%05d" % number
        os.makedirs(name)
    bucket.put("block/good")
    tick = bucket_sensor.evaluate(bucket.workspace, instance, BucketCursor())
    assert len(tick.bad_names) >= 1
    lines: list[str] = []

    class Context:
        class log:
            warning = staticmethod(lines.append)

    cursor: BucketCursor = BucketCursor()
    told = []
    for _ in range(3):
        lines.clear()
        context: Any = Context
        bucket_sensor._report_bad_names(context, tick, cursor)
        cursor = BucketCursor.parse(cursor.dump())
        told.append(len(lines))
    assert 1 <= told[0] <= bucket_sensor.MAX_NAMED + 1 and told[1:] == [0, 0]
    report: list[str] = []
    rescan.evaluate(bucket.workspace, instance, report, seed="1")
    assert len(report) < 2 * rescan.MOST_NAMED + 5
    assert [request.partition_key for request in tick.requests] == ["block~good"]


@pytest.mark.parametrize(("levels", "width"), [(40, 2), (5, 25)])
def test_a_lattice_of_links_costs_a_tick_its_time_and_hides_nothing(
    bucket: Bucket, instance: dg.DagsterInstance, levels: int, width: int
) -> None:
    raw = bucket.root / "raw"
    for level in range(levels):
        (raw / f"a_{level}").mkdir(parents=True)
        for number in range(width if level + 1 < levels else 0):
            (raw / f"a_{level}" / f"link_{number}").symlink_to(raw / f"a_{level + 1}")
    bucket.put("block/good")
    daemon = Daemon(bucket, instance)
    taken: list[str] = []
    for _ in range(20):  # on a busy machine a walk goes on in the next tick
        began = time.process_time()
        taken += partitions_of(daemon.tick())
        assert time.process_time() - began < 5.0
        if taken:
            break
    assert taken == ["block~good"]


def test_what_never_settles_keeps_nobody_else_waiting(
    tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two hundred folders that are written to for ever, and one that arrives among them."""
    monkeypatch.setattr(cursors, "MOST_UNSETTLED", 20)
    monkeypatch.setattr(bucket_sensor, "NEW_LOOKED_AT", 25)
    config = DatasetConfig(
        dataset=DatasetSection(name="demo"),
        storage=StorageConfig(url=tmp_path.as_uri(), scanner=ScannerConfig(quiet_period_s=0.05)),
    )
    bucket = Bucket(config, tmp_path)
    daemon = Daemon(bucket, instance)
    moving = [f"block/moving_{number:04d}" for number in range(100)]
    for key in moving:
        bucket.put(key)
    bucket.put("block/good")
    taken: list[str] = []
    for tick in range(60):
        for key in moving:
            file = bucket.root / f"raw/joints/{key}/left_slave.parquet"
            file.write_bytes(b"%d" % tick)
        time.sleep(0.06)
        taken += partitions_of(daemon.tick())
        assert len(daemon.cursors["demo_bucket"] or "") < 60_000
        if "block~good" in taken:
            break
    assert "block~good" in taken
    assert len(taken) == 1


def test_a_bucket_full_of_unreadable_folders_is_told_in_few_lines(
    bucket: Bucket, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lerobot_pipelines.pipeline import listing

    for number in range(50):
        bucket.put(f"block/episode_{number:03d}")

    def failing(*_: object, **__: object) -> object:
        raise OSError("input/output error")

    monkeypatch.setattr(listing, "look", failing)
    tick = bucket_sensor.evaluate(bucket.workspace, instance, BucketCursor())
    assert len(tick.errors) == 50
    report: list[str] = []
    rescan.evaluate(bucket.workspace, instance, report, seed="1")
    assert len(report) <= rescan.MOST_NAMED + 2


def test_looks_that_are_out_of_time_end_after_a_beginning_that_is_whole(flood: Flood) -> None:
    """The first key is always among them, so that every call comes to something."""
    keys = [f"block/{name}" for name in ("a", "a-b", "a.b", "b")] + [
        f"block/episode_{number:03d}" for number in range(60)
    ]
    flood.fill(flood.put, keys)
    left, calls = list(keys), 0
    while left:
        seen = [one.key for one in look_at_all(flood.workspace, left, time.time_ns(), until_s=0.0)]
        assert seen and seen == left[: len(seen)]
        left, calls = left[len(seen) :], calls + 1
    assert calls > 10
