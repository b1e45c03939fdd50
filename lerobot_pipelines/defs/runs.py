"""Questions about runs and backfills that the sensors ask Dagster's own storage."""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg
from dagster import DagsterRun, DagsterRunStatus, RunsFilter

from lerobot_pipelines.defs import naming

UNFINISHED = (
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.MANAGED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
)
# More than fit the queue of one machine for hours; bounds the cost of a tick.
MOST_UNFINISHED = 2000


def unfinished_runs(instance: dg.DagsterInstance, dataset: str) -> list[DagsterRun]:
    """Runs that convert episodes of the dataset or write it: queued, starting or started.

    Runs from the UI and from backfills carry none of our tags, so the assets they select decide.
    """
    runs = instance.get_runs(RunsFilter(statuses=list(UNFINISHED)), limit=MOST_UNFINISHED)
    return [run for run in runs if _concerns(run, dataset)]


def is_backfilling(instance: dg.DagsterInstance, dataset: str) -> bool:
    """Whether a backfill that includes episodes of the dataset is under way."""
    from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus

    active = BulkActionsFilter(
        statuses=[
            BulkActionStatus.REQUESTED,
            BulkActionStatus.CANCELING,
            BulkActionStatus.FAILING,
        ]
    )
    return any(
        _holds(backfill.asset_selection or (), dataset)
        for backfill in instance.get_backfills(filters=active)
    )


def busy_partitions(runs: Iterable[DagsterRun]) -> set[str]:
    """The episodes that the runs name one by one; ranges show as their two ends."""
    tags = ("dagster/partition", naming.RANGE_START_TAG, naming.RANGE_END_TAG, naming.EPISODE_TAG)
    return {run.tags[tag] for run in runs for tag in tags if tag in run.tags}


def latest_requested(instance: dg.DagsterInstance, dataset: str, partition: str) -> str | None:
    """The fingerprint that the newest run requested for the episode by us was meant for."""
    found = instance.get_runs(
        RunsFilter(tags={naming.DATASET_TAG: dataset, naming.EPISODE_TAG: partition}), limit=1
    )
    return found[0].tags.get(naming.FINGERPRINT_TAG) if found else None


def was_requested(instance: dg.DagsterInstance, run_key: str) -> bool:
    return instance.get_runs_count(RunsFilter(tags={"dagster/run_key": run_key})) > 0


def runs_tagged(instance: dg.DagsterInstance, **tags: str) -> int:
    """How many runs, in any state, carry all the tags (keywords are constants of ``naming``)."""
    names = {
        "dataset": naming.DATASET_TAG,
        "episode": naming.EPISODE_TAG,
        "fingerprint": naming.FINGERPRINT_TAG,
        "configuration": naming.CONFIGURATION_TAG,
        "finished": naming.FINISHED_TAG,
    }
    return instance.get_runs_count(RunsFilter(tags={names[key]: tags[key] for key in tags}))


def _concerns(run: DagsterRun, dataset: str) -> bool:
    if run.tags.get(naming.DATASET_TAG) == dataset:
        return True
    return _holds(run.asset_selection or (), dataset)


def _holds(keys: Iterable[dg.AssetKey], dataset: str) -> bool:
    return any(len(key.path) > 1 and key.path[0] == dataset for key in keys)
