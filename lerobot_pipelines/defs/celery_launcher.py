"""Dagster's Celery run launcher, which also notices a worker that is gone.

Celery keeps a task "started" for ever when the machine that executes it dies, and Dagster's run
monitoring believes it: the run would hold its place in the queue and in pools until its maximum
runtime. Here the workers themselves are asked. Named in ``dagster.yaml`` (see ``deploy/celery``);
needs the extra ``celery``, and is imported only there.
"""

from __future__ import annotations

import time
from typing import Any

import dagster as dg
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG

# A living worker answers in milliseconds, from a process that executes no runs itself.
ANSWER_S = 5.0
DEFAULT_LOST_AFTER_S = 30


class WatchfulCeleryRunLauncher(CeleryRunLauncher):  # type: ignore[misc]
    """Fails a started run that no worker has been executing for ``lost_after_seconds``.

    Run retries then start it again, from the steps that remain. Should the worker live after all
    (cut off from Redis, not from the bucket), an episode is converted twice at the same time; its
    artifacts name what they were made from, so one of the two results is used as a whole.
    """

    def __init__(self, lost_after_seconds: int = DEFAULT_LOST_AFTER_S, **config: Any) -> None:
        super().__init__(**config)
        self._lost_after_s = lost_after_seconds
        # Only the daemon asks, and one that starts anew just waits again.
        self._missing_since: dict[str, float] = {}

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        lost_after = dg.Field(
            dg.IntSource,
            default_value=DEFAULT_LOST_AFTER_S,
            is_required=False,
            description="A run that no worker has been executing for so long has lost its worker.",
        )
        return {**super().config_type(), "lost_after_seconds": lost_after}

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        task_id = run.tags.get(DAGSTER_CELERY_TASK_ID_TAG)
        if task_id is None:
            # The daemon died between handing the task over and noting its name.
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        task = self.celery.backend.get_task_meta(task_id)
        if task["status"] == "FAILURE":  # the process that executed it died, the worker lives
            self._missing_since.pop(run.run_id, None)
            return CheckRunHealthResult(WorkerStatus.FAILED, "the run's process died")
        started_by = task["result"] if task["status"] == "STARTED" else None
        host = started_by["hostname"] if isinstance(started_by, dict) else None
        if self._is_executed(task_id, host):
            self._missing_since.pop(run.run_id, None)
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return self._missing(run.run_id, host)

    def _is_executed(self, task_id: str, host: str | None) -> bool:
        """Whether that worker, or any if it is not known which, works on the task."""
        inspect = self.celery.control.inspect(
            destination=[host] if host else None, timeout=ANSWER_S, limit=1 if host else None
        )
        answers = inspect.query_task(task_id) or {}
        return any(task_id in tasks for tasks in answers.values())

    def _missing(self, run_id: str, host: str | None) -> CheckRunHealthResult:
        now = time.monotonic()
        missing_s = now - self._missing_since.setdefault(run_id, now)
        if missing_s < self._lost_after_s:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        del self._missing_since[run_id]
        return CheckRunHealthResult(
            WorkerStatus.FAILED,
            f"the worker {host or '(unknown)'} is gone: none has been executing this run for "
            f"{missing_s:.0f} s",
        )
