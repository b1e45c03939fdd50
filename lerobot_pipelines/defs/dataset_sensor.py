"""The sensor that rebuilds the dataset once after a burst, and keeps the list of refusals.

It compares the set of finished episodes with what the last update saw, both in the bucket, so no
event can be missed. It waits while episodes are being converted, but not for ever: a fleet that
never rests still gets its dataset every quarter of an hour.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict, dataclass

import dagster as dg

from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.defs import naming, pools, runs
from lerobot_pipelines.defs.jobs import DATASET_UPDATE_S, run_tags
from lerobot_pipelines.defs.resources import PipelineResource
from lerobot_pipelines.pipeline.artifacts import CLEARED_STAGE, failures_folder
from lerobot_pipelines.pipeline.dataset import (
    BucketRecords,
    dataset_roots,
    finished_fingerprint,
    is_up_to_date,
)
from lerobot_pipelines.pipeline.health import file_damages, next_damaged_dataset
from lerobot_pipelines.pipeline.known_failures import failures_among
from lerobot_pipelines.pipeline.workspace import Workspace

LONGEST_WAIT_S = 900
# Files deleted or changed by hand: seldom, and a listing of the whole dataset to see it.
CHECK_EVERY_S = 600.0
# The same set failing by itself to become a dataset three times will fail a fourth time, unless it
# was the machine.
MOST_ATTEMPTS = 3
GIVEN_UP_S = 3600.0
# Between updates that ended for reasons outside, doubled each time.
PAUSE_S, MAX_PAUSE_S = 30.0, 1800.0
MOST_COUNTED = 100
READING_BUDGET_S = 2.0
LISTING_BUDGET_S = 1.5
FINGERPRINT_DIGITS = 32


@dataclass
class DatasetCursor:
    """``behind_since``: when the dataset was first seen out of date; 0 when it is not.
    ``checked``: when its files were last found as they were committed. ``after``: where the turn
    goes on, if each episode has a dataset of its own."""

    behind_since: float = 0.0
    refusals: str = ""
    checked: float = 0.0
    after: str = ""

    @classmethod
    def parse(cls, text: str | None) -> DatasetCursor:
        try:
            data = json.loads(text or "{}")
            checked = float(data.get("checked", 0.0))
            after = str(data.get("after", ""))
            return cls(float(data["behind_since"]), str(data["refusals"]), checked, after)
        except (ValueError, KeyError, TypeError, AttributeError):
            return cls()

    def dump(self) -> str:
        return json.dumps(asdict(self))


def dataset_sensor(config: DatasetConfig) -> dg.SensorDefinition:
    dataset = config.dataset.name

    @dg.sensor(
        name=naming.dataset_sensor(dataset),
        job_name=naming.update_job(dataset),
        minimum_interval_seconds=config.storage.scanner.interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Updates the dataset once when episodes are finished and none is converting.",
    )
    def rebuild(context: dg.SensorEvaluationContext, pipeline: PipelineResource) -> dg.SensorResult:
        workspace = pipeline.workspace(config)
        pools.ensure_limits(context.instance, {naming.writer_pool(dataset): 1})
        cursor = DatasetCursor.parse(context.cursor)
        decision = decide(workspace, context.instance, cursor, time.time())
        events = refusal_events(workspace, cursor)
        requests = [decision] if isinstance(decision, dg.RunRequest) else []
        return dg.SensorResult(
            run_requests=requests,
            skip_reason=decision if isinstance(decision, str) else None,
            asset_events=events,
            cursor=cursor.dump(),
        )

    return rebuild


def decide(
    workspace: Workspace, instance: dg.DagsterInstance, cursor: DatasetCursor, now_s: float
) -> dg.RunRequest | str:
    """The request for an update, or why there is none."""
    name = workspace.dataset
    finished = finished_fingerprint(workspace)
    damage = ""
    if is_up_to_date(workspace, finished):
        damage = _damage(workspace, cursor, now_s)
        if not damage:
            cursor.behind_since = 0.0
            return "the dataset holds every finished episode"
    if _is_nothing_yet(workspace):
        return "no episode is finished yet"
    cursor.behind_since = cursor.behind_since or now_s
    if runs.is_updating(instance, name):
        return "an update is under way"
    waited_s = now_s - cursor.behind_since
    if waited_s < LONGEST_WAIT_S:
        if unfinished := runs.unfinished_runs(instance, name, MOST_COUNTED):
            return f"{len(unfinished)} runs of this dataset are queued or in progress"
        if runs.is_backfilling(instance, name):
            return "a backfill of this dataset is under way"
    identity = (damage or finished)[:FINGERPRINT_DIGITS]
    # Counted, so that a set that comes back (episode added, then removed) is built again.
    attempts = runs.attempts_tagged(instance, dataset=name, finished=identity)
    if (pause_s := _next_attempt_s(attempts) - now_s) > 0:
        return (
            f"{attempts.own_faults + attempts.outside_faults} updates for the same episodes did "
            f"not complete; the next one follows in {pause_s / 60:.0f} min. Look at them, or "
            f"materialise {name}/{naming.DATASET} by hand"
        )
    cursor.behind_since = now_s
    return dg.RunRequest(
        run_key=f"{name}:{identity}:{attempts.runs}",
        tags={
            **run_tags(workspace.config),
            naming.FINISHED_TAG: identity,
            naming.MAX_RUNTIME_TAG: str(DATASET_UPDATE_S),
        },
    )


def _damage(workspace: Workspace, cursor: DatasetCursor, now_s: float) -> str:
    """The identity of what is missing or changed of the dataset's files; "" if nothing is.

    Looked for now and then: it costs a listing of the dataset. Datasets of single episodes have
    turns, some of them a tick, and the first that is damaged is named.
    """
    if now_s - cursor.checked < CHECK_EVERY_S and not cursor.after:
        return ""
    if workspace.config.has_dataset_per_episode:
        damages, cursor.after = next_damaged_dataset(workspace, cursor.after, LISTING_BUDGET_S)
    else:
        damages = file_damages(workspace)
    if not damages:
        cursor.checked = now_s  # a damage is looked at again until it is mended
        return ""
    found = sorted(f"{one.root}/{one.path}: {one.fault}" for one in damages)
    return hashlib.sha256("\n".join(found).encode()).hexdigest()


def _next_attempt_s(attempts: runs.Attempts) -> float:
    """When the same set may be tried again, in seconds since 1970."""
    if attempts.own_faults >= MOST_ATTEMPTS:
        return attempts.last_end_s + GIVEN_UP_S
    if not attempts.outside_faults:
        return 0.0
    pause_s = PAUSE_S * float(1 << min(attempts.outside_faults - 1, 10))
    return attempts.last_end_s + min(pause_s, MAX_PAUSE_S)


def _is_nothing_yet(workspace: Workspace) -> bool:
    """No verdict and no dataset: an update would only say so."""
    if BucketRecords(workspace).versions():
        return False
    formats = workspace.config.dataset.formats
    return not any(dataset_roots(workspace, fmt) for fmt in formats)


def refusal_events(workspace: Workspace, cursor: DatasetCursor) -> list[dg.AssetMaterialization]:
    """The list of refused episodes as an event, if it differs from the one last reported.

    Refusals are read once by each process, a bounded number a tick; the event waits for the last.
    """
    from lerobot_pipelines.defs.shown_dataset import shown_refusals

    infos = list(workspace.storage.list(failures_folder(workspace)))
    digest = hashlib.sha256()
    for info in infos:
        digest.update(f"{info.key}\0{info.etag}\n".encode())
    refusals = digest.hexdigest()[:FINGERPRINT_DIGITS]
    if refusals == cursor.refusals:
        return []
    failures = failures_among(workspace, infos, READING_BUDGET_S)
    if failures is None:
        return []
    cursor.refusals = refusals
    return [
        dg.AssetMaterialization(
            asset_key=naming.asset_key(workspace.dataset, naming.REFUSED),
            metadata=shown_refusals(one for one in failures if one.stage != CLEARED_STAGE),
        )
    ]
