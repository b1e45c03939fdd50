"""The full rescan: what it requests, what it only reports, when it stops asking."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from lerobot_pipelines.defs import rescan
from lerobot_pipelines.pipeline import lifecycle
from lerobot_pipelines.storage.local_versions import TEMPORARY_PREFIX
from lerobot_pipelines_tests.defs.bucket import Bucket
from lerobot_pipelines_tests.defs.daemon import Daemon, partitions_of

EPISODE = "block/episode_1"
PARTITION = "block~episode_1"


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """A schedule's context reaches its instance through a reference: one in memory has none."""
    with dg.instance_for_test() as stored:
        yield stored


def report_of(daemon: Daemon) -> str:
    lines: list[str] = []
    rescan.evaluate(daemon.bucket.workspace, daemon.instance, lines, seed="0")
    return "\n".join(lines)


def test_an_episode_the_sensor_never_saw_is_requested(daemon: Daemon) -> None:
    daemon.bucket.put(EPISODE)
    assert partitions_of(daemon.rescan()) == [PARTITION]
    assert daemon.instance.get_dynamic_partitions("demo_episodes") == [PARTITION]


def test_an_episode_whose_run_is_queued_is_not_requested_twice(daemon: Daemon) -> None:
    daemon.bucket.put(EPISODE)
    assert len(daemon.tick()) == 1
    assert daemon.rescan() == []


def test_a_run_that_failed_for_good_is_requested_again_but_not_for_ever(daemon: Daemon) -> None:
    daemon.bucket.put(EPISODE)
    daemon.finish(daemon.tick(), convert=False)
    requested = 0
    for hour in range(10):
        runs = daemon.rescan(datetime.now(UTC) + timedelta(hours=hour))
        requested += len(runs)
        daemon.finish(runs, convert=False)
    assert requested == rescan.MOST_ATTEMPTS - 1  # the sensor's own was the first
    assert "came to no verdict in 5 runs" in report_of(daemon)


def test_converted_and_refused_episodes_are_left_alone(daemon: Daemon) -> None:
    for number in (1, 2):
        daemon.bucket.put(f"block/episode_{number}")
    daemon.bucket.convert("block/episode_1")
    daemon.bucket.refuse("block/episode_2")
    assert daemon.rescan() == []


def test_a_refused_episode_comes_back_when_the_configuration_changed(daemon: Daemon) -> None:
    daemon.bucket.put(EPISODE)
    daemon.bucket.refuse(EPISODE, config_hash="of another configuration")
    assert partitions_of(daemon.rescan()) == [PARTITION]


def test_an_episode_kept_out_by_a_check_comes_back_when_the_configuration_changed(
    daemon: Daemon,
) -> None:
    daemon.bucket.put(EPISODE)
    daemon.bucket.convert(EPISODE, passed=False)
    assert daemon.rescan() == []
    daemon.bucket.convert(EPISODE, passed=False, config_hash="of another configuration")
    assert partitions_of(daemon.rescan()) == [PARTITION]


def test_stale_episodes_are_reported_for_a_backfill_and_not_requested(daemon: Daemon) -> None:
    daemon.bucket.put(EPISODE)
    daemon.bucket.convert(EPISODE, config_hash="of another configuration")
    assert daemon.rescan() == []
    assert "1 episodes are of another configuration; a backfill" in report_of(daemon)


def test_an_episode_gone_from_the_bucket_is_reported_and_kept(daemon: Daemon) -> None:
    daemon.bucket.put(EPISODE)
    daemon.finish(daemon.tick())
    daemon.bucket.remove(EPISODE)
    assert daemon.rescan() == []
    assert f"no longer in the bucket and stay in the dataset: {EPISODE}" in report_of(daemon)
    assert daemon.instance.get_dynamic_partitions("demo_episodes") == [PARTITION]


def test_one_rescan_requests_no_more_than_a_tick_may_and_says_so(
    make_bucket: Callable[..., Bucket], instance: dg.DagsterInstance
) -> None:
    daemon = Daemon(make_bucket(max_requests_per_tick=2), instance)
    for number in range(3):
        daemon.bucket.put(f"block/episode_{number}")
    assert len(daemon.rescan()) == 2
    assert len(daemon.rescan()) == 1


def test_a_rescan_cut_short_by_time_looks_elsewhere_next_time(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rescan, "LOOKING_BUDGET_S", -1.0)
    for number in range(4):
        daemon.bucket.put(f"block/episode_{number}")
    found = set()
    for hour in range(30):
        found.update(
            partitions_of(daemon.rescan(datetime(2030, 1, 1, tzinfo=UTC) + timedelta(hours=hour)))
        )
    assert len(found) == 4


def test_a_rescan_removes_what_nobody_needs_and_says_how_much(daemon: Daemon) -> None:
    storage = daemon.bucket.workspace.storage
    work = storage.local_path("work")
    assert work is not None
    work.mkdir(parents=True, exist_ok=True)
    remains = work / f"{TEMPORARY_PREFIX}0123456789abcdef"
    remains.write_bytes(b"half an upload")
    assert "removed" not in report_of(daemon)
    forty_days_ns = 40 * lifecycle.DAY_NS
    with pytest.MonkeyPatch.context() as later:
        later.setattr(lifecycle, "_store_time_ns", lambda _: time.time_ns() + forty_days_ns)
        assert "removed 1 unfinished objects that nobody needs" in report_of(daemon)
    assert not remains.exists()
