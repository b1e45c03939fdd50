"""One step over the episodes of a run, most often one.

A run over several episodes materialises each that succeeds, whatever the others do, and fails at
the end naming those that did not; Dagster then skips that run's later steps for all of them. What
was skipped has no verdict, so the rescan asks for it again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.datasets.records import CheckResult
from lerobot_pipelines.defs.faults import (
    RETRY_PAUSES_S,
    dagster_failures,
    refusal_metadata,
    worth_retrying,
)
from lerobot_pipelines.defs.naming import DATASET_TAG
from lerobot_pipelines.defs.resources import PipelineResource
from lerobot_pipelines.errors import ContentChanged, Refused
from lerobot_pipelines.pipeline.keys import decode_key
from lerobot_pipelines.pipeline.workspace import Workspace

DATA_VERSION_TAG = "dagster/data_version"

Metadata = Mapping[str, dg.MetadataValue]


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a step shows of one episode. ``data_version`` changes exactly when its output does."""

    metadata: Metadata
    data_version: str
    checks: Sequence[CheckResult] = ()


Step = Callable[[Workspace, str], StepResult]


def materialize_episodes(
    context: dg.AssetExecutionContext,
    pipeline: PipelineResource,
    config: DatasetConfig,
    step: Step,
    *,
    lists_members: bool = False,
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Run ``step`` for every partition of this run.

    ``lists_members``: the step reads the bucket's listing itself, see ``dagster_failures``.
    """
    with dagster_failures(retry_changed=lists_members):
        workspace = pipeline.workspace(config)
        if context.has_partition_key:
            result = step(workspace, decode_key(context.partition_key))
            return dg.MaterializeResult(
                metadata=result.metadata,
                data_version=dg.DataVersion(result.data_version),
                check_results=[check_result(check) for check in result.checks],
                tags={DATASET_TAG: config.dataset.name},
            )
        return _each_of_many(context, workspace, step, retry_changed=lists_members)


def _each_of_many(
    context: dg.AssetExecutionContext, workspace: Workspace, step: Step, *, retry_changed: bool
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    results, errors = _attempts(context, workspace, step, retry_changed=retry_changed)
    if not errors:
        for partition, result in results.items():
            context.add_asset_metadata(result.metadata, partition_key=partition)
            _report_checks(context, partition, result)
        return dg.MaterializeResult(check_results=_over_all(results))
    for partition, result in results.items():
        context.log_event(
            dg.AssetMaterialization(
                asset_key=context.asset_key,
                partition=partition,
                metadata=result.metadata,
                tags={DATA_VERSION_TAG: result.data_version},
            )
        )
    raise _failure_of_many(errors, len(results))


def _attempts(
    context: dg.AssetExecutionContext, workspace: Workspace, step: Step, *, retry_changed: bool
) -> tuple[dict[str, StepResult], dict[str, Exception]]:
    """What came of each partition, and what went wrong with the others.

    Only those whose fault may pass are tried again, after the pauses of ``RETRIES``: a retry of
    the whole step would repeat the good ones and the poison as well.
    """
    results: dict[str, StepResult] = {}
    errors: dict[str, Exception] = {}
    pending = list(context.partition_keys)
    for pause_s in (0.0, *RETRY_PAUSES_S):
        if not pending:
            break
        time.sleep(pause_s)
        for partition in pending:
            try:
                results[partition] = step(workspace, decode_key(partition))
                errors.pop(partition, None)
            except Exception as error:
                context.log.error(f"{partition}: {error}")
                errors[partition] = error
        pending = [
            partition
            for partition, error in errors.items()
            if worth_retrying(error) or (retry_changed and isinstance(error, ContentChanged))
        ]
    return {p: results[p] for p in context.partition_keys if p in results}, errors


def _report_checks(context: dg.AssetExecutionContext, partition: str, result: StepResult) -> None:
    """One evaluation per episode: a step over several can yield only one of its own per check."""
    for check in result.checks:
        evaluated = check_result(check)
        context.instance.report_runless_asset_event(
            dg.AssetCheckEvaluation(
                asset_key=context.asset_key,
                check_name=check.name,
                passed=check.passed,
                severity=evaluated.severity,
                description=evaluated.description,
                metadata=evaluated.metadata,
                blocking=True,
                partition=partition,
            )
        )


def _failure_of_many(errors: Mapping[str, Exception], good: int) -> dg.Failure:
    rows = [
        dg.TableRecord({"episode": partition, "reason": _reason(error), "message": str(error)})
        for partition, error in errors.items()
    ]
    first_partition, first = next(iter(errors.items()))
    return dg.Failure(
        description=f"{len(errors)} of {len(errors) + good} episodes failed; "
        f"first {first_partition}: {first}",
        metadata={
            **refusal_metadata(_reason(first), str(first)),
            "episodes": dg.MetadataValue.table(rows),
        },
        allow_retries=False,
    )


def _reason(error: Exception) -> str:
    return str(error.reason) if isinstance(error, Refused) else type(error).__name__


def check_result(check: CheckResult) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=check.name,
        passed=check.passed,
        severity=(
            dg.AssetCheckSeverity.ERROR if check.severity == "error" else dg.AssetCheckSeverity.WARN
        ),
        description=check.description or None,
        metadata={name: _value(value) for name, value in check.values.items()},
    )


def _value(value: Any) -> Any:
    return value if isinstance(value, (bool, int, float, str, dict, list)) else str(value)


def _over_all(results: Mapping[str, StepResult]) -> list[dg.AssetCheckResult]:
    """One verdict per check over several episodes: a broken promise of any of them breaks it."""
    by_name: dict[str, list[tuple[str, CheckResult]]] = {}
    for partition, result in results.items():
        for check in result.checks:
            by_name.setdefault(check.name, []).append((partition, check))
    merged = []
    for found in by_name.values():
        broken = [(partition, check) for partition, check in found if not check.passed]
        worst = next((c for _, c in broken if c.severity == "error"), (broken or found)[0][1])
        episodes = [partition for partition, _ in broken]
        merged.append(
            check_result(worst.model_copy(update={"values": {"broken_episodes": episodes}}))
        )
    return merged
