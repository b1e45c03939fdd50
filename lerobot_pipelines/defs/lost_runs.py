"""Runs that ended without a verdict, for reasons outside, are requested again within minutes.

A launcher that is down, a worker that was killed, a store that was away, a backfill that somebody
cancelled: none of it says anything of the episode. The runs that ended are read from Dagster's
storage, in order and a bounded number a tick; the episodes wait in the sensor's cursor.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

import dagster as dg
from dagster import DagsterRunStatus, RunRecord, RunsFilter

from lerobot_pipelines.defs import naming, runs
from lerobot_pipelines.defs.cursor import BucketCursor

BACKFILL_TAG = "dagster/backfill"
# Dagster's own retries of a run whose worker died start within seconds: theirs is the first turn.
PAUSE_S = 60.0
# Doubled with every run that started and ended so.
MAX_PAUSE_S = 1800.0
# An episode that takes its worker down (out of memory, say) five times needs a person. Until one
# comes it is tried again now and then: it may have been the machine all the same.
MOST_ATTEMPTS = 5
GIVEN_UP_S = 6 * 3600.0
# What ended before is the rescan's business, should the cursor be lost.
HISTORY_S = 7 * 24 * 3600.0
MAX_READ = 200
# Dagster submits a run in the second in which it makes it. A daemon or code server that dies in
# between leaves one that nobody will ever submit, and that looks as if it were under way.
UNSUBMITTED_AFTER_S = 300.0
MAX_UNSUBMITTED = 50
# So many runs in a row that never started: the launcher is down, and one run a tick finds out when
# it is back.
MOST_UNLAUNCHED = 10


def collect(
    instance: dg.DagsterInstance,
    dataset: str,
    cursor: BucketCursor,
    there: Collection[str],
    ordered: Sequence[str],
    now_s: float,
) -> None:
    """Take what ended since the last tick into the cursor, as far as it has room.

    ``there``: the partitions of the episodes in the bucket; ``ordered``: as in ``runs.under_way``.
    """
    ended_s = cursor.ended_s or now_s - HISTORY_S
    records = _ended_since(instance, min(ended_s, now_s))
    for record in records:
        if runs.concerns(record.dagster_run, dataset):
            lost = [one for one in runs.partitions_of(record.dagster_run, ordered) if one in there]
            places = [cursor.lose(one, _end_s(record) + PAUSE_S) for one in lost]
            if places and not any(places):
                break  # again next tick, from here
        ended_s = _end_s(record)
    cursor.ended_s = ended_s


def end_unsubmitted(instance: dg.DagsterInstance, dataset: str, now_s: float) -> None:
    """Call those of our runs failed that were made and never submitted; they are lost runs then.

    Runs of backfills are left alone: the backfill daemon submits them again itself.
    """
    filters = RunsFilter(
        statuses=[DagsterRunStatus.NOT_STARTED],
        tags={naming.DATASET_TAG: dataset},
        created_before=datetime.fromtimestamp(now_s - UNSUBMITTED_AFTER_S, UTC),
    )
    for run in instance.get_runs(filters, limit=MAX_UNSUBMITTED):
        if BACKFILL_TAG not in run.tags:
            instance.report_run_failed(
                run, "It was made and never submitted: what submits runs died in between."
            )


def _ended_since(instance: dg.DagsterInstance, after_s: float) -> list[RunRecord]:
    """In order; of several that ended at one moment none is cut off from the others."""
    filters = RunsFilter(
        statuses=list(runs.UNSUCCESSFUL), updated_after=datetime.fromtimestamp(after_s, UTC)
    )
    records = list(
        instance.get_run_records(
            filters, limit=MAX_READ, order_by="update_timestamp", ascending=True
        )
    )
    if len(records) == MAX_READ and _end_s(records[0]) < (last_s := _end_s(records[-1])):
        records = [one for one in records if _end_s(one) < last_s]
    return records


def _end_s(record: RunRecord) -> float:
    return runs.seconds_of(record.update_timestamp)


def due(cursor: BucketCursor, now_s: float, most: int) -> list[str]:
    """The lost episodes whose turn has come, those that wait longest first."""
    waiting = sorted(cursor.lost.items(), key=lambda item: item[1])
    return [partition for partition, due_s in waiting if due_s <= now_s][:most]


def is_launcher_down(instance: dg.DagsterInstance, dataset: str) -> bool:
    return runs.never_started(instance, dataset, MOST_UNLAUNCHED)


def next_attempt_s(attempts: runs.Attempts) -> float:
    """When the episode may be requested again, in seconds since 1970."""
    if attempts.own_faults >= MOST_ATTEMPTS:
        return attempts.last_end_s + GIVEN_UP_S
    started = attempts.own_faults + attempts.outside_faults
    pause_s = PAUSE_S * float(1 << min(max(started - 1, 0), 10))
    return attempts.last_end_s + min(pause_s, MAX_PAUSE_S)
