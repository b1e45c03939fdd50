"""An episode under way is never requested twice, however its runs are cut and however many wait."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import dagster as dg
import pytest
from dagster import DagsterRunStatus
from hypothesis import given, settings
from hypothesis import strategies as st

from lerobot_pipelines.config.schema import (
    DatasetConfig,
    DatasetSection,
    ScannerConfig,
    StorageConfig,
)
from lerobot_pipelines.defs import bucket_sensor, lost_runs, naming, rescan
from lerobot_pipelines.defs import runs as run_questions
from lerobot_pipelines.defs.cursor import BucketCursor
from lerobot_pipelines_tests.defs.bucket import Bucket
from lerobot_pipelines_tests.defs.daemon import Daemon


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as stored:
        yield stored


def episodes_of(daemon: Daemon, runs: list[dg.DagsterRun]) -> Counter[str]:
    ordered = daemon.instance.get_dynamic_partitions("demo_episodes")
    return Counter(one for run in runs for one in run_questions.partitions_of(run, ordered))


def unfinished(daemon: Daemon) -> list[dg.DagsterRun]:
    return [run for run in daemon.instance.get_runs() if not run.is_finished]


@pytest.mark.parametrize("per_run", [1, 3, 10, 100])
def test_queued_ranges_are_not_requested_again_by_ticks_a_lost_cursor_or_a_rescan(
    make_bucket: Callable[..., Bucket], instance: dg.DagsterInstance, per_run: int
) -> None:
    daemon = Daemon(make_bucket(episodes_per_run=per_run, max_requests_per_tick=12), instance)
    for number in range(25):
        daemon.bucket.put(f"block/episode_{number:05d}")
    for tick in range(6):
        if tick in (1, 4):
            daemon.cursors.clear()
        daemon.tick()
    assert daemon.rescan() == []
    counts = episodes_of(daemon, unfinished(daemon))
    assert len(counts) == 25 and set(counts.values()) == {1}


def test_with_thousands_queued_none_is_requested_twice(
    bucket: Bucket, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs of other datasets, and the newest of this one, are all that a bounded look would see."""
    daemon = Daemon(bucket, instance)
    partitions = [f"block~episode_{number:05d}" for number in range(2300)]
    instance.add_dynamic_partitions("demo_episodes", partitions)
    for partition in partitions:
        tags = {"dagster/partition": partition, naming.DATASET_TAG: "demo"}
        instance.run_storage.add_run(
            dg.DagsterRun(
                job_name="demo_episode",
                run_id=str(uuid4()),
                tags=tags,
                status=DagsterRunStatus.NOT_STARTED,
            )
        )
    for number in (0, 1, 150, 2299):
        bucket.put(f"block/episode_{number:05d}")
    for _ in range(2):
        assert daemon.tick() == [] and daemon.rescan() == []
        daemon.cursors.clear()


@pytest.mark.parametrize("first", ["sensor", "rescan", "both"])
@pytest.mark.parametrize("per_run", [1, 4])
def test_sensor_and_rescan_at_the_same_moment_share_the_work(
    make_bucket: Callable[..., Bucket], instance: dg.DagsterInstance, first: str, per_run: int
) -> None:
    """Neither sees a run of the other: both decide before anything is submitted."""
    bucket = make_bucket(episodes_per_run=per_run)
    daemon = Daemon(bucket, instance)
    for number in range(8):
        bucket.put(f"block/episode_{number}")

    added: list[str] = []

    def by_sensor() -> list[dg.RunRequest]:
        tick = bucket_sensor.evaluate(bucket.workspace, instance, BucketCursor())
        added.extend(tick.added)
        return tick.requests

    def by_rescan() -> list[dg.RunRequest]:
        return rescan.evaluate(bucket.workspace, instance, [], seed="0")

    if first == "both":
        with ThreadPoolExecutor(2) as pool:
            found = [one.result() for one in (pool.submit(by_sensor), pool.submit(by_rescan))]
    elif first == "sensor":
        found = [by_sensor(), by_rescan()]
    else:
        found = [by_rescan(), by_sensor()]
    asked = Counter(
        one.partition_key or tag
        for requests in found
        for one in requests
        for tag in ([one.tags[naming.RANGE_START_TAG]] if not one.partition_key else [""])
    )
    assert asked and set(asked.values()) == {1}
    instance.add_dynamic_partitions("demo_episodes", added)
    daemon._submit("demo_episode", [one for requests in found for one in requests])
    for _ in range(2):
        daemon.tick()
    assert set(episodes_of(daemon, unfinished(daemon)).values()) == {1}


STEPS = st.lists(
    st.sampled_from(["put", "tick", "forget", "rescan", "convert", "lose", "cancel"]),
    min_size=5,
    max_size=25,
)


@settings(max_examples=12, deadline=None)
@given(steps=STEPS, per_run=st.sampled_from([1, 2, 5]))
def test_whatever_happens_in_whatever_order(steps: list[str], per_run: int) -> None:
    with (
        TemporaryDirectory() as folder,
        dg.instance_for_test() as instance,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(lost_runs, "PAUSE_S", 0.0)
        config = DatasetConfig(
            dataset=DatasetSection(name="demo"),
            storage=StorageConfig(
                url=Path(folder).as_uri(),
                scanner=ScannerConfig(quiet_period_s=0.0, episodes_per_run=per_run),
            ),
        )
        daemon = Daemon(Bucket(config, Path(folder)), instance)
        put = 0
        for step in steps:
            if step == "put":
                daemon.bucket.put(f"block/episode_{put}")
                put += 1
            elif step == "tick":
                daemon.tick()
            elif step == "forget":
                daemon.cursors.clear()
            elif step == "rescan":
                daemon.rescan()
            else:
                _end_one(daemon, step)
            assert set(episodes_of(daemon, unfinished(daemon)).values()) <= {1}
        for _ in range(4):
            daemon.tick()
            while unfinished(daemon):
                _end_one(daemon, "convert")
        assert daemon.tick() == []
        records = daemon.bucket.root / "work" / "demo" / "records"
        assert len(list(records.glob("*.json"))) == put


def _end_one(daemon: Daemon, how: str) -> None:
    for run in unfinished(daemon)[:1]:
        if how == "convert":
            for partition in episodes_of(daemon, [run]):
                daemon.bucket.convert(partition.replace("~", "/"))
        kind = {"convert": "PIPELINE_SUCCESS", "lose": "PIPELINE_FAILURE"}
        event = dg.DagsterEvent(kind.get(how, "PIPELINE_CANCELED"), run.job_name)
        daemon.instance.report_dagster_event(event, run.run_id)
