"""Every failed run leaves one structured line in the log, whoever started it."""

from __future__ import annotations

import json
import logging

import dagster as dg

from lerobot_pipelines.defs import naming

logger = logging.getLogger("lerobot_pipelines.runs")

SENSOR_NAME = "run_failures"


@dg.run_failure_sensor(
    name=SENSOR_NAME,
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=15,
    description="Writes one line of JSON for each failed run: job, episode, step, reason, message.",
)
def run_failures(context: dg.RunFailureSensorContext) -> None:
    line = json.dumps(failure_line(context), ensure_ascii=False, sort_keys=True)
    context.log.error(line)
    logger.error(line)


def failure_line(context: dg.RunFailureSensorContext) -> dict[str, str | None]:
    """What failed. A run without a failed step lost its worker (killed, out of memory, gone)."""
    run = context.dagster_run
    steps = context.get_step_failure_events()
    line: dict[str, str | None] = {
        "event": "run_failed",
        "run_id": run.run_id,
        "job": run.job_name,
        "dataset": run.tags.get(naming.DATASET_TAG),
        "episode": run.tags.get("dagster/partition") or run.tags.get(naming.RANGE_START_TAG),
        "step": None,
        "reason": "worker_lost",
        "message": context.failure_event.message,
        "next_attempt": "run retry" if run.tags.get("dagster/will_retry") == "true" else None,
    }
    if not steps:
        return line
    data = steps[0].step_failure_data
    metadata = data.user_failure_data.metadata if data.user_failure_data else {}
    reason = metadata.get("reason")
    described = data.user_failure_data.description if data.user_failure_data else None
    error = data.error
    while error is not None and error.cause is not None:
        error = error.cause  # Dagster wraps what the step raised
    message = described or (error.message.strip() if error else None)
    return line | {
        "step": steps[0].step_key,
        "reason": str(reason.value) if reason is not None else "error",
        "message": message or context.failure_event.message,
    }
