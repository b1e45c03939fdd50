"""Runs that died for reasons outside come back by themselves; those that died by themselves end."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg
import pytest
from dagster import DagsterEventType, DagsterRunStatus
from dagster._core.execution.plan.objects import StepFailureData
from dagster_shared.error import SerializableErrorInfo

from lerobot_pipelines.cli.status_text import headline, lost_rows
from lerobot_pipelines.defs import cursor as cursors
from lerobot_pipelines.defs import lost_runs, naming
from lerobot_pipelines.pipeline.lost import read_lost
from lerobot_pipelines.pipeline.status import StatusReader
from lerobot_pipelines_tests.defs.bucket import Bucket
from lerobot_pipelines_tests.defs.daemon import Daemon, partitions_of

EPISODE, PARTITION = "block/episode_1", "block~episode_1"


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as stored:
        yield stored


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lost_runs, "PAUSE_S", 0.0)


class Launcher(Daemon):
    """Runs stay as they are made until the test lets them start, fail or be cancelled."""

    is_down = True

    def start(self, run: dg.DagsterRun) -> None:
        if not self.is_down:
            super().start(run)

    def end(
        self, run: dg.DagsterRun, kind: DagsterEventType = DagsterEventType.RUN_FAILURE
    ) -> None:
        self.instance.report_dagster_event(dg.DagsterEvent(kind.value, run.job_name), run.run_id)

    def fail_step(self, run: dg.DagsterRun, reason: str | None) -> None:
        """As a step fails that raised a fault that may pass (None), or any other."""
        told = {"reason": dg.MetadataValue.text(reason or "")}
        from dagster._core.execution.plan.objects import UserFailureData

        data = StepFailureData(
            error=SerializableErrorInfo("failed", [], "Transient"),
            user_failure_data=UserFailureData("x", "failed", told) if reason else None,
        )
        event = dg.DagsterEvent(
            DagsterEventType.STEP_FAILURE.value, run.job_name, event_specific_data=data
        )
        self.instance.report_dagster_event(event, run.run_id)
        self.end(run)


@pytest.fixture
def launcher(bucket: Bucket, instance: dg.DagsterInstance) -> Launcher:
    return Launcher(bucket, instance)


def unfinished(daemon: Daemon) -> list[dg.DagsterRun]:
    return [run for run in daemon.instance.get_runs() if not run.is_finished]


@pytest.mark.parametrize("kind", [DagsterEventType.RUN_FAILURE, DagsterEventType.RUN_CANCELED])
def test_a_run_that_never_started_comes_back_however_often(
    launcher: Launcher, no_pause: None, kind: DagsterEventType
) -> None:
    launcher.bucket.put(EPISODE)
    launcher.end(launcher.tick()[0], kind)
    for _ in range(lost_runs.MOST_ATTEMPTS + 3):
        runs = launcher.tick()
        assert partitions_of(runs) == [PARTITION]
        assert launcher.tick() == []  # it is queued
        launcher.end(runs[0], kind)


def test_a_lost_run_waits_for_dagsters_own_retry_and_monitor_says_so(launcher: Launcher) -> None:
    launcher.bucket.put(EPISODE)
    launcher.end(launcher.tick()[0])
    assert launcher.tick() == []
    status = StatusReader(launcher.bucket.workspace).read(0)
    assert [one.key for one in status.lost] == [EPISODE]
    assert "1 run lost, will be requested again" in headline(status, None)
    assert lost_rows(status)[0][:2] == [EPISODE, "run lost, will be requested again"]


def test_what_came_back_is_not_shown_as_lost(launcher: Launcher, no_pause: None) -> None:
    launcher.bucket.put(EPISODE)
    launcher.end(launcher.tick()[0])
    launcher.tick()
    assert read_lost(launcher.bucket.workspace) == ()


def test_a_backfill_that_was_cancelled_leaves_nothing_behind(
    launcher: Launcher, no_pause: None
) -> None:
    """Its runs carry none of our tags; some cover ranges."""
    keys = [f"block/episode_{number}" for number in range(6)]
    for key in keys:
        launcher.bucket.put(key)
    for run in launcher.tick():
        launcher.instance.delete_run(run.run_id)
    partitions = launcher.instance.get_dynamic_partitions("demo_episodes")
    job = launcher.repository.get_job("demo_all")
    tags = [
        {naming.RANGE_START_TAG: partitions[0], naming.RANGE_END_TAG: partitions[3]},
        *({"dagster/partition": one} for one in partitions[4:]),
    ]
    selected = frozenset({naming.asset_key("demo", naming.RAW)})
    runs = [
        launcher.instance.create_run_for_job(job, tags=one, asset_selection=selected)
        for one in tags
    ]
    launcher.cursors.clear()
    assert launcher.tick() == []  # all are under way
    for run in runs:
        launcher.end(run, DagsterEventType.RUN_CANCELED)
    runs = [*launcher.tick(), *launcher.tick()]
    assert sorted(partitions_of(runs)) == sorted(partitions)


def test_a_launcher_that_is_down_is_tried_with_one_run_a_tick(
    launcher: Launcher, no_pause: None
) -> None:
    keys = [f"block/episode_{number:02d}" for number in range(lost_runs.MOST_UNLAUNCHED + 5)]
    for key in keys:
        launcher.bucket.put(key)
    for run in launcher.tick():
        launcher.end(run)
    for _ in range(3):
        runs = launcher.tick()
        assert len(runs) == 1
        launcher.end(runs[0])
    launcher.is_down = False
    launcher.finish(launcher.tick())
    runs = launcher.tick()
    assert len(runs) == len(keys) - 1
    launcher.finish(runs)
    assert launcher.tick() == [] and unfinished(launcher) == []


def test_an_episode_that_kills_its_worker_ends_and_a_store_that_is_away_does_not_count(
    launcher: Launcher, no_pause: None
) -> None:
    launcher.is_down = False
    launcher.bucket.put(EPISODE)
    runs = launcher.tick()
    for reason in (None, None, "StoreRejected", None, None, None):
        launcher.fail_step(runs[0], reason)
        runs = launcher.tick()
        assert partitions_of(runs) == [PARTITION]
    for _ in range(lost_runs.MOST_ATTEMPTS - 1):
        launcher.end(runs[0])
        runs = launcher.tick()
        assert partitions_of(runs) == [PARTITION]
    launcher.end(runs[0])
    assert launcher.tick() == []


def test_a_run_that_was_made_and_never_submitted_does_not_block_its_episode(
    launcher: Launcher, no_pause: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon or code server that died in the middle of a tick leaves such a run."""
    launcher.bucket.put(EPISODE)
    run = launcher.tick()[0]
    assert run.status is DagsterRunStatus.NOT_STARTED
    assert launcher.tick() == [] and unfinished(launcher) != []
    monkeypatch.setattr(lost_runs, "UNSUBMITTED_AFTER_S", -1.0)
    assert launcher.tick() == []  # it is called lost
    monkeypatch.setattr(lost_runs, "UNSUBMITTED_AFTER_S", 300.0)
    runs = launcher.tick()
    assert partitions_of(runs) == [PARTITION]
    assert [one.run_id for one in unfinished(launcher)] == [runs[0].run_id]


def test_pauses_grow_and_end() -> None:
    from lerobot_pipelines.defs.runs import Attempts

    pauses = [lost_runs.next_attempt_s(Attempts(n, 0, n, 1000.0)) - 1000.0 for n in range(1, 9)]
    assert pauses[:4] == [60.0, 120.0, 240.0, 480.0]
    assert pauses[-1] == lost_runs.MAX_PAUSE_S
    assert lost_runs.next_attempt_s(Attempts(30, 0, 0, 1000.0)) == 1060.0
    ended = Attempts(5, lost_runs.MOST_ATTEMPTS, 0, 1000.0)
    assert lost_runs.next_attempt_s(ended) == 1000.0 + lost_runs.GIVEN_UP_S


def test_more_than_the_cursor_holds_all_come_back(
    launcher: Launcher, no_pause: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cursors, "MOST_LOST", 3)
    monkeypatch.setattr(lost_runs, "MAX_READ", 4)
    keys = {f"block/episode_{number:02d}" for number in range(20)}
    for key in keys:
        launcher.bucket.put(key)
    for run in launcher.tick():
        launcher.end(run)
    launcher.is_down = False
    launcher.cursors.clear()
    came_back: list[str] = []
    for _ in range(100):  # on a busy machine one a tick
        runs = launcher.tick()
        came_back += partitions_of(runs)
        launcher.finish(runs)
        if len(came_back) >= len(keys):
            break
    assert sorted(came_back) == sorted(key.replace("/", "~") for key in keys)


def test_a_run_that_succeeded_is_never_asked_for_again(launcher: Launcher, no_pause: None) -> None:
    launcher.is_down = False
    launcher.bucket.put(EPISODE)
    first = launcher.tick()
    launcher.end(first[0])
    launcher.finish(launcher.tick())
    assert launcher.tick() == []
    statuses = {run.status for run in launcher.instance.get_runs()}
    assert statuses == {DagsterRunStatus.FAILURE, DagsterRunStatus.SUCCESS}
