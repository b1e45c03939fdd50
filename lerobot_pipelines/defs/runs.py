"""Questions about runs and backfills that the sensors ask Dagster's own storage.

Each costs the same however many runs are queued, or were ever: only those of the episodes in
question are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import dagster as dg
from dagster import DagsterEventType, DagsterRun, DagsterRunStatus, RunRecord, RunsFilter

from lerobot_pipelines.defs import naming
from lerobot_pipelines.errors import StoreRejected

UNFINISHED = (
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.MANAGED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
)
UNSUCCESSFUL = (DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED)
PARTITION_TAG = "dagster/partition"
# More than fit the queue of one machine for hours; nothing is decided by what lies behind.
MAX_UNFINISHED = 2000
MAX_EARLIER = 12
# SQLite takes some 30,000 variables in a statement, its planner fewer with pleasure.
CHUNK = 200


def unfinished_runs(
    instance: dg.DagsterInstance, dataset: str, limit: int = MAX_UNFINISHED
) -> list[DagsterRun]:
    """The newest runs that convert episodes of the dataset or write it.

    Runs from the UI and from backfills carry none of our tags, so the assets they select decide.
    ``limit``: how many of ours, and of all, are read.
    """
    ours = {naming.DATASET_TAG: dataset}
    runs = [
        *instance.get_runs(RunsFilter(statuses=list(UNFINISHED), tags=ours), limit=limit),
        *instance.get_runs(RunsFilter(statuses=list(UNFINISHED)), limit=limit),
    ]
    return list({run.run_id: run for run in runs if concerns(run, dataset)}.values())


def is_updating(instance: dg.DagsterInstance, dataset: str) -> bool:
    """Whether a run that writes the dataset is queued or in progress."""
    job = RunsFilter(statuses=list(UNFINISHED), job_name=naming.update_job(dataset))
    return instance.get_runs_count(job) > 0


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


def under_way(
    instance: dg.DagsterInstance,
    dataset: str,
    partitions: Iterable[str],
    ordered: Sequence[str],
) -> set[str]:
    """Those of the partitions that a run converts or is queued to, alone or in a range.

    ``ordered``: all partitions of the dataset in the order in which they were added, which is what
    a range goes by.
    """
    wanted = list(dict.fromkeys(partitions))
    found = {
        run.tags[PARTITION_TAG]
        for run in _tagged(instance, PARTITION_TAG, wanted)
        if concerns(run, dataset)
    }
    if wanted:
        found |= _in_ranges(instance, dataset, ordered).intersection(wanted)
    return found


def partitions_of(run: DagsterRun, ordered: Sequence[str]) -> list[str]:
    """The episodes that a run is about; see ``under_way``."""
    if PARTITION_TAG in run.tags:
        return [run.tags[PARTITION_TAG]]
    ends = [run.tags.get(tag) for tag in (naming.RANGE_START_TAG, naming.RANGE_END_TAG)]
    first, last = ends
    if first is None or last is None:
        return []
    try:
        return list(ordered[ordered.index(first) : ordered.index(last) + 1])
    except ValueError:  # a partition was deleted since
        return [first, last]


def _in_ranges(instance: dg.DagsterInstance, dataset: str, ordered: Sequence[str]) -> set[str]:
    known = instance.get_run_tags([naming.RANGE_START_TAG])
    starts = sorted(set(ordered).intersection(*(values for _, values in known))) if known else []
    return {
        partition
        for run in _tagged(instance, naming.RANGE_START_TAG, starts)
        if concerns(run, dataset)
        for partition in partitions_of(run, ordered)
    }


def _tagged(instance: dg.DagsterInstance, tag: str, values: Sequence[str]) -> Iterator[DagsterRun]:
    """The unfinished runs whose tag has one of these values."""
    for start in range(0, len(values), CHUNK):
        chunk = list(values[start : start + CHUNK])
        yield from instance.get_runs(RunsFilter(statuses=list(UNFINISHED), tags={tag: chunk}))


def latest_requested(
    instance: dg.DagsterInstance, dataset: str, partition: str
) -> RunRecord | None:
    """The newest run that was requested for the episode by us."""
    tags = {naming.DATASET_TAG: dataset, naming.EPISODE_TAG: partition}
    found = instance.get_run_records(RunsFilter(tags=tags), limit=1)
    return found[0] if found else None


def last_created_s(instance: dg.DagsterInstance, partition: str) -> float:
    """When the newest run for a partition of this name was made, in seconds since 1970, or 0."""
    found = instance.get_run_records(RunsFilter(tags={PARTITION_TAG: partition}), limit=1)
    return seconds_of(found[0].create_timestamp) if found else 0.0


def seconds_of(moment: datetime) -> float:
    """Since 1970; Dagster's storages give UTC, with or without saying so."""
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def requested_among(instance: dg.DagsterInstance, run_keys: Sequence[str]) -> set[str]:
    """Those of the run keys that runs in any state have."""
    found: set[str] = set()
    for start in range(0, len(run_keys), CHUNK):
        chunk = list(run_keys[start : start + CHUNK])
        runs = instance.get_runs(RunsFilter(tags={"dagster/run_key": chunk}))
        found.update(run.tags["dagster/run_key"] for run in runs)
    return found


def runs_tagged(instance: dg.DagsterInstance, **tags: str) -> int:
    """How many runs, in any state, carry all the tags (keywords are constants of ``naming``)."""
    return instance.get_runs_count(RunsFilter(tags=_named(tags)))


@dataclass(frozen=True, slots=True)
class Attempts:
    """The runs so far for one content: all; those that ended by themselves (killed their worker,
    or met an error that is not of the kind that passes); those that ended for other reasons after
    they had started; and when the newest ended (seconds since 1970, 0 if none did)."""

    runs: int
    own_faults: int
    outside_faults: int
    last_end_s: float


def attempts_tagged(instance: dg.DagsterInstance, **tags: str) -> Attempts:
    """Of the runs that carry all the tags; reads the newest ``MAX_EARLIER``."""
    filters = RunsFilter(tags=_named(tags))
    records = instance.get_run_records(filters, limit=MAX_EARLIER)
    runs = len(records)
    if runs == MAX_EARLIER:
        runs = instance.get_runs_count(filters)
    ended = [one for one in records if one.dagster_run.status in UNSUCCESSFUL]
    own = sum(is_own_fault(instance, one) for one in ended)
    started = sum(one.start_time is not None for one in ended)
    last_end_s = max((seconds_of(one.update_timestamp) for one in ended), default=0.0)
    return Attempts(runs, own, started - own, last_end_s)


def is_own_fault(instance: dg.DagsterInstance, record: RunRecord) -> bool:
    """Whether the run may have ended by what it did, not for reasons that lie outside.

    A run that never started or was cancelled says nothing of its episode, nor does one whose
    store, network or disk failed it. One that lost its worker may have taken it down (memory).
    """
    if record.start_time is None or record.dagster_run.status is not DagsterRunStatus.FAILURE:
        return False
    failed = instance.all_logs(record.dagster_run.run_id, of_type=DagsterEventType.STEP_FAILURE)
    for entry in failed:
        event = entry.dagster_event
        described = event.step_failure_data.user_failure_data if event else None
        reason = described.metadata.get("reason") if described else None
        # What passes reaches Dagster as it was raised, see ``faults``.
        if described is None or (reason and reason.value == StoreRejected.__name__):
            return False
    return True


def never_started(instance: dg.DagsterInstance, dataset: str, newest: int) -> bool:
    """Whether that many of the newest ended runs of the dataset's episodes all died unlaunched."""
    ended = RunsFilter(
        statuses=[*UNSUCCESSFUL, DagsterRunStatus.SUCCESS],
        job_name=naming.episode_job(dataset),
    )
    records = instance.get_run_records(ended, limit=newest)
    return len(records) == newest and all(one.start_time is None for one in records)


def concerns(run: DagsterRun, dataset: str) -> bool:
    if (tagged := run.tags.get(naming.DATASET_TAG)) is not None:
        return tagged == dataset
    return _holds(run.asset_selection or (), dataset)


def _named(tags: dict[str, str]) -> dict[str, str]:
    names = {
        "dataset": naming.DATASET_TAG,
        "episode": naming.EPISODE_TAG,
        "fingerprint": naming.FINGERPRINT_TAG,
        "configuration": naming.CONFIGURATION_TAG,
        "finished": naming.FINISHED_TAG,
    }
    return {names[key]: value for key, value in tags.items()}


def _holds(keys: Iterable[dg.AssetKey], dataset: str) -> bool:
    return any(len(key.path) > 1 and key.path[0] == dataset for key in keys)
