"""What the daemon does with ticks, in this process: adds partitions, creates runs once per key."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import dagster as dg
from dagster import DagsterEventType

from lerobot_pipelines.defs.assemble import build_defs
from lerobot_pipelines.defs.resources import PipelineResource
from lerobot_pipelines_tests.defs.bucket import Bucket


class Daemon:
    """``cursors`` hold what each sensor stored; ``last`` is the newest result of a sensor."""

    def __init__(self, bucket: Bucket, instance: dg.DagsterInstance) -> None:
        self.bucket = bucket
        self.instance = instance
        self.cursors: dict[str, str | None] = {}
        self.repository = build_defs({"demo": bucket.config}).get_repository_def()
        self.last: dg.SensorResult | None = None

    @property
    def skip_message(self) -> str:
        assert self.last is not None and self.last.skip_reason is not None
        return self.last.skip_reason.skip_message or ""

    def tick(
        self, sensor: str = "demo_bucket", *, store_cursor: bool = True
    ) -> list[dg.DagsterRun]:
        definition = self.repository.get_sensor_def(sensor)
        with dg.build_sensor_context(
            self.instance,
            cursor=self.cursors.get(sensor),
            repository_def=self.repository,
            resources={"pipeline": PipelineResource()},
        ) as context:
            result = definition(context)
        assert isinstance(result, dg.SensorResult)
        self.last = result
        for request in result.dynamic_partitions_requests or ():
            self.instance.add_dynamic_partitions(
                request.partitions_def_name, list(request.partition_keys)
            )
        if store_cursor:
            self.cursors[sensor] = result.cursor
        assert definition.job_name is not None
        return self._submit(definition.job_name, result.run_requests or ())

    def rescan(self, when: datetime | None = None) -> list[dg.DagsterRun]:
        schedule = self.repository.get_schedule_def("demo_rescan")
        with dg.build_schedule_context(
            self.instance,
            scheduled_execution_time=when or datetime.now(UTC),
            repository_def=self.repository,
            resources={"pipeline": PipelineResource()},
        ) as context:
            outcome = schedule(context)
        requests = outcome if isinstance(outcome, list) else []
        return self._submit("demo_episode", requests)

    def start(self, run: dg.DagsterRun) -> None:
        """As the worker says it of a run that it begins."""
        self.instance.report_dagster_event(
            dg.DagsterEvent(DagsterEventType.RUN_START.value, run.job_name), run.run_id
        )

    def finish(self, runs: Sequence[dg.DagsterRun], *, convert: bool = True) -> None:
        """End the runs: with a verdict as after a conversion, or failed as after a crash."""
        for run in runs:
            if convert and "dagster/partition" in run.tags:
                self.bucket.convert(run.tags["dagster/partition"].replace("~", "/"))
            kind = DagsterEventType.RUN_SUCCESS if convert else DagsterEventType.RUN_FAILURE
            self.instance.report_dagster_event(
                dg.DagsterEvent(kind.value, run.job_name), run.run_id
            )

    def _submit(self, job: str, requests: Iterable[dg.RunRequest]) -> list[dg.DagsterRun]:
        runs = []
        for request in requests:
            tags = {**request.tags, "dagster/run_key": request.run_key or ""}
            if self.instance.get_runs(
                dg.RunsFilter(tags={"dagster/run_key": tags["dagster/run_key"]})
            ):
                continue
            if request.partition_key:
                tags["dagster/partition"] = request.partition_key
            run = self.instance.create_run_for_job(self.repository.get_job(job), tags=tags)
            self.start(run)
            runs.append(run)
        return runs


def partitions_of(runs: Sequence[dg.DagsterRun]) -> list[str]:
    return [run.tags["dagster/partition"] for run in runs]
