"""What run monitoring hears about a run on a Celery worker that works, died, or cannot be seen."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
from dagster._core.launcher import WorkerStatus

pytest.importorskip("dagster_celery", reason="the extra celery is not installed")

from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG

from lerobot_pipelines.defs import celery_launcher
from lerobot_pipelines.defs.celery_launcher import WatchfulCeleryRunLauncher

HOST = "lerobot-pipelines@one"
LOST_AFTER_S = 30


class Workers:
    """Stands for the living workers and the tasks that each executes; the rest is Celery's own."""

    def __init__(self) -> None:
        self.tasks: dict[str, set[str]] = {HOST: set()}
        self.now_s = 0.0

    def inspect(self, destination: list[str] | None, **options: Any) -> Workers:
        self._asked = destination or list(self.tasks)
        return self

    def query_task(self, task_id: str) -> dict[str, dict[str, Any]] | None:
        answers = {
            host: {task_id: ["active", {}]} if task_id in self.tasks[host] else {}
            for host in self._asked
            if host in self.tasks
        }
        return answers or None


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Workers:
    workers = Workers()
    monkeypatch.setattr(celery_launcher.time, "monotonic", lambda: workers.now_s)
    return workers


@pytest.fixture
def launcher(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> Iterator[WatchfulCeleryRunLauncher]:
    launcher = WatchfulCeleryRunLauncher(
        lost_after_seconds=LOST_AFTER_S,
        default_queue="dagster",
        broker="memory://",
        backend="cache+memory://",
    )
    monkeypatch.setattr(launcher.celery.control, "inspect", workers.inspect)
    yield launcher


def started_run(launcher: WatchfulCeleryRunLauncher, workers: Workers) -> dg.DagsterRun:
    """A run that the worker has begun, as Celery records it."""
    task_id = str(uuid.uuid4())
    state = {"pid": 1, "hostname": HOST}
    launcher.celery.backend.store_result(task_id, state, "STARTED")
    workers.tasks[HOST].add(task_id)
    tags = {DAGSTER_CELERY_TASK_ID_TAG: task_id}
    return dg.DagsterRun("demo_episode", str(uuid.uuid4()), tags=tags)


def test_a_run_that_its_worker_executes_is_healthy(
    launcher: WatchfulCeleryRunLauncher, workers: Workers
) -> None:
    run = started_run(launcher, workers)
    for workers.now_s in (0.0, 10.0, 1000.0):
        assert launcher.check_run_worker_health(run).status is WorkerStatus.RUNNING


@pytest.mark.parametrize("machine", ["lost", "started anew"])
def test_a_run_whose_worker_is_gone_fails_after_the_time_of_grace(
    launcher: WatchfulCeleryRunLauncher, workers: Workers, machine: str
) -> None:
    run = started_run(launcher, workers)
    workers.tasks = {} if machine == "lost" else {HOST: set()}
    for workers.now_s in (0.0, LOST_AFTER_S - 1.0):
        assert launcher.check_run_worker_health(run).status is WorkerStatus.RUNNING
    workers.now_s = LOST_AFTER_S + 1.0
    health = launcher.check_run_worker_health(run)
    assert health.status is WorkerStatus.FAILED
    assert HOST in str(health.msg)


def test_a_worker_that_is_silent_for_a_moment_keeps_its_run(
    launcher: WatchfulCeleryRunLauncher, workers: Workers
) -> None:
    run = started_run(launcher, workers)
    living, workers.tasks = workers.tasks, {}
    launcher.check_run_worker_health(run)
    workers.tasks, workers.now_s = living, 20.0
    launcher.check_run_worker_health(run)
    workers.tasks, workers.now_s = {}, 40.0
    assert launcher.check_run_worker_health(run).status is WorkerStatus.RUNNING


def test_a_run_whose_process_died_fails_at_once(
    launcher: WatchfulCeleryRunLauncher, workers: Workers
) -> None:
    run = started_run(launcher, workers)
    launcher.celery.backend.store_result(
        run.tags[DAGSTER_CELERY_TASK_ID_TAG], RuntimeError("killed"), "FAILURE"
    )
    assert launcher.check_run_worker_health(run).status is WorkerStatus.FAILED


def test_a_run_that_redis_forgot_is_healthy_as_long_as_some_worker_executes_it(
    launcher: WatchfulCeleryRunLauncher, workers: Workers
) -> None:
    run = started_run(launcher, workers)
    launcher.celery.backend.forget(run.tags[DAGSTER_CELERY_TASK_ID_TAG])
    for workers.now_s in (0.0, 1000.0):
        assert launcher.check_run_worker_health(run).status is WorkerStatus.RUNNING


def test_a_run_without_a_task_is_left_to_its_maximum_runtime(
    launcher: WatchfulCeleryRunLauncher,
) -> None:
    run = dg.DagsterRun("demo_episode", str(uuid.uuid4()))
    assert launcher.check_run_worker_health(run).status is WorkerStatus.RUNNING
