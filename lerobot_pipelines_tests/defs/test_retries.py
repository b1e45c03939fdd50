"""An operator's retry starts one run, whatever the sensor requested or the cursor remembers."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg
import pytest

from lerobot_pipelines.defs.runs import runs_tagged
from lerobot_pipelines.pipeline.artifacts import episode_keys
from lerobot_pipelines.pipeline.retries import list_retries, request_retry
from lerobot_pipelines_tests.defs.daemon import Daemon, partitions_of

EPISODE, PARTITION = "block/episode_1", "block~episode_1"


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """A schedule's context reaches its instance through a reference: one in memory has none."""
    with dg.instance_for_test() as stored:
        yield stored


def refused(daemon: Daemon) -> None:
    """One run, which ended with a refusal."""
    daemon.bucket.put(EPISODE)
    runs = daemon.tick()
    daemon.bucket.refuse(EPISODE)
    daemon.finish(runs, convert=False)


def test_a_refused_episode_is_left_alone_until_a_retry_and_then_run_once(daemon: Daemon) -> None:
    refused(daemon)
    assert daemon.tick() == [] and daemon.rescan() == []
    assert request_retry(daemon.bucket.workspace, EPISODE)
    runs = daemon.tick()
    assert partitions_of(runs) == [PARTITION]
    assert daemon.tick() == [] and daemon.rescan() == []  # it is running
    daemon.bucket.convert(EPISODE)
    daemon.finish(runs)
    assert daemon.tick() == [] and daemon.rescan() == []
    assert runs_tagged(daemon.instance, dataset="demo") == 2


def test_a_retry_survives_a_daemon_that_dies_before_it_stores_its_cursor(daemon: Daemon) -> None:
    refused(daemon)
    request_retry(daemon.bucket.workspace, EPISODE)
    assert partitions_of(daemon.tick(store_cursor=False)) == [PARTITION]
    assert daemon.tick() == []


def test_a_second_retry_is_a_second_run(daemon: Daemon) -> None:
    refused(daemon)
    for _ in range(2):
        request_retry(daemon.bucket.workspace, EPISODE)
        runs = daemon.tick()
        assert partitions_of(runs) == [PARTITION]
        daemon.bucket.refuse(EPISODE)
        daemon.finish(runs, convert=False)


def test_a_retry_whose_run_was_lost_is_the_rescans_business(daemon: Daemon) -> None:
    refused(daemon)
    request_retry(daemon.bucket.workspace, EPISODE)
    daemon.finish(daemon.tick(), convert=False)
    assert daemon.tick() == []
    assert partitions_of(daemon.rescan()) == [PARTITION]


def test_an_episode_that_failed_a_check_is_tried_again_too(daemon: Daemon) -> None:
    daemon.bucket.put(EPISODE)
    runs = daemon.tick()
    daemon.bucket.convert(EPISODE, passed=False)
    daemon.finish(runs, convert=False)
    assert daemon.tick() == []
    assert request_retry(daemon.bucket.workspace, EPISODE)
    assert partitions_of(daemon.tick()) == [PARTITION]


def test_a_converted_episode_is_left_alone(daemon: Daemon) -> None:
    daemon.bucket.put(EPISODE)
    daemon.finish(daemon.tick())
    workspace = daemon.bucket.workspace
    assert not request_retry(workspace, EPISODE)
    assert list(list_retries(workspace)) == []
    assert workspace.storage.head(episode_keys(workspace, EPISODE).record) is not None


def test_a_retry_of_an_episode_that_left_the_bucket_starts_nothing(daemon: Daemon) -> None:
    refused(daemon)
    request_retry(daemon.bucket.workspace, EPISODE)
    daemon.bucket.remove(EPISODE)
    assert daemon.tick() == []
