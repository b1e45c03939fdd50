"""Every failed run leaves one line of JSON that a log collector can count."""

from __future__ import annotations

import dagster as dg
import pytest

from lerobot_pipelines.defs.failure_sensor import failure_line
from lerobot_pipelines.defs.faults import failure_of
from lerobot_pipelines.errors import Reason, Refused


def line_of(instance: dg.DagsterInstance, error: Exception) -> dict[str, str | None]:
    @dg.op
    def failing() -> None:
        raise error

    @dg.job
    def demo_episode() -> None:
        failing()

    result = demo_episode.execute_in_process(
        instance=instance,
        raise_on_error=False,
        tags={"lerobot_pipelines/dataset": "demo", "dagster/partition": "block~1"},
    )
    context = dg.build_run_status_sensor_context(
        sensor_name="run_failures",
        dagster_event=result.get_run_failure_event(),
        dagster_instance=instance,
        dagster_run=result.dagster_run,
    ).for_run_failure()
    return failure_line(context)


def test_a_refusal_is_told_with_its_reason(instance: dg.DagsterInstance) -> None:
    refused = Refused(Reason.GAP, "cam_left has a hole of 2 s")
    line = line_of(instance, failure_of(refused))
    assert line["reason"] == "gap"
    assert line["message"] == "[gap] cam_left has a hole of 2 s"
    assert (line["dataset"], line["episode"], line["step"]) == ("demo", "block~1", "failing")


def test_an_unforeseen_error_is_told_with_its_message(instance: dg.DagsterInstance) -> None:
    line = line_of(instance, ValueError("unforeseen"))
    assert line["reason"] == "error"
    assert "unforeseen" in str(line["message"])


def test_a_run_without_a_failed_step_lost_its_worker(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dg.RunFailureSensorContext, "get_step_failure_events", lambda self: [])
    assert line_of(instance, ValueError("x"))["reason"] == "worker_lost"
