"""What a service prints: a line for each step of each run, as Dagster has it on record.

Read from Dagster's own storage, so that it is the same wherever the runs are: only runs whose state
changed since the last look, and those that are in progress.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from dagster import DagsterEventType, DagsterRun, DagsterRunStatus, EventLogEntry, RunsFilter

from lerobot_pipelines.cli.status_text import duration
from lerobot_pipelines.cli.text import counted, safe
from lerobot_pipelines.defs import naming
from lerobot_pipelines.defs.runs import seconds_of
from lerobot_pipelines.errors import Refused
from lerobot_pipelines.pipeline.keys import decode_key

IN_PROGRESS = (
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
)
ENDED = (DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED)
MAX_RUNS_A_LOOK = 500
# Records are stamped by whoever writes them, and several at one moment.
_OVERLAP_S = 10.0
_TOLD = {
    DagsterEventType.ASSET_MATERIALIZATION,
    DagsterEventType.STEP_SUCCESS,
    DagsterEventType.STEP_FAILURE,
    DagsterEventType.STEP_UP_FOR_RETRY,
    DagsterEventType.RUN_FAILURE,
    DagsterEventType.RUN_CANCELED,
}
_PARTITION_TAG = "dagster/partition"
_KEY_WIDTH, _STEP_WIDTH = 28, 16


@dataclass
class _Followed:
    """A run: how far its events were told, and what its steps made that is not told yet."""

    status: DagsterRunStatus
    cursor: str | None = None
    made: dict[str, list[dg.AssetMaterialization]] = field(default_factory=dict)
    has_failed_step: bool = False


class RunLines:
    """Says what happened since it was made, and counts episodes by what became of them."""

    def __init__(self, instance: dg.DagsterInstance, say: Callable[[str], None]) -> None:
        self._instance = instance
        self._say = say
        self._began_s = self._since_s = time.time()
        self._followed: dict[str, _Followed] = {}
        self.counts: Counter[str] = Counter()

    def look(self) -> None:
        """Tell of everything new."""
        now_s = time.time()
        filters = RunsFilter(
            updated_after=datetime.fromtimestamp(self._since_s - _OVERLAP_S, UTC),
        )
        records = list(
            self._instance.get_run_records(
                filters, limit=MAX_RUNS_A_LOOK, order_by="update_timestamp", ascending=True
            )
        )
        if len(records) == MAX_RUNS_A_LOOK:
            now_s = max(self._since_s, seconds_of(records[-1].update_timestamp))
        going = RunsFilter(statuses=list(IN_PROGRESS))
        records = [*records, *self._instance.get_run_records(going, limit=MAX_RUNS_A_LOOK)]
        seen = {record.dagster_run.run_id: record for record in records}
        for record in seen.values():
            self._tell(record.dagster_run, seconds_of(record.create_timestamp))
        self._since_s = now_s
        ended = [
            run_id
            for run_id, one in self._followed.items()
            if run_id not in seen and one.status in ENDED
        ]
        for run_id in ended:
            del self._followed[run_id]

    def _tell(self, run: DagsterRun, made_s: float) -> None:
        followed = self._followed.get(run.run_id)
        if followed is None:
            followed = self._followed[run.run_id] = _Followed(run.status)
            is_episode = naming.EPISODE_TAG in run.tags or naming.RANGE_START_TAG in run.tags
            if is_episode and made_s >= self._began_s:
                self._line(_about(run), _why(run), "")
        followed.status = run.status
        if run.status in (DagsterRunStatus.QUEUED, DagsterRunStatus.NOT_STARTED):
            return
        while True:
            page = self._instance.get_records_for_run(
                run.run_id, cursor=followed.cursor, of_type=_TOLD, limit=200
            )
            for record in page.records:
                self._event(run, followed, record.event_log_entry)
            followed.cursor = page.cursor
            if not page.has_more:
                return

    def _event(self, run: DagsterRun, followed: _Followed, entry: EventLogEntry) -> None:
        event = entry.dagster_event
        if event is None or entry.timestamp < self._began_s:
            return  # somebody else has told it
        step = event.step_key or ""
        kind = event.event_type
        if kind is DagsterEventType.ASSET_MATERIALIZATION:
            made = event.step_materialization_data.materialization
            followed.made.setdefault(step, []).append(made)
        elif kind is DagsterEventType.STEP_SUCCESS:
            seconds = event.step_success_data.duration_ms / 1000
            for made in followed.made.pop(step, []):
                self._made(run, made, seconds)
        elif kind is DagsterEventType.STEP_UP_FOR_RETRY:
            self._line(_about(run), _short(step), f"tried again: {_message(event)}")
        elif kind is DagsterEventType.STEP_FAILURE:
            followed.has_failed_step = True
            self._failed(run, step, event)
        elif kind is DagsterEventType.RUN_CANCELED:
            self._line(_about(run), "run", "cancelled; requested again where nobody gave a verdict")
        elif kind is DagsterEventType.RUN_FAILURE and not followed.has_failed_step:
            self.counts["lost"] += 1
            self._line(_about(run), "run", f"lost, tried again: {event.message or ''}")

    def _made(self, run: DagsterRun, made: dg.AssetMaterialization, seconds: float) -> None:
        step = made.asset_key.path[-1]
        about = _key(made.partition) if made.partition else _about(run)
        values = {name: value.value for name, value in made.metadata.items()}
        if step == naming.METADATA:
            is_converted = values.get("verdict") == "passed"
            self.counts["converted" if is_converted else "kept out"] += 1
        parts = [*_amounts(step, values), duration_of(seconds)]
        self._line(about, step, ", ".join(parts))

    def _failed(self, run: DagsterRun, step: str, event: Any) -> None:
        data = event.step_failure_data.user_failure_data
        reason = data.metadata.get("reason") if data is not None else None
        name = str(reason.value) if reason is not None else "error"
        is_refusal = data is not None and reason is not None and str(reason.value).islower()
        self.counts["refused" if is_refusal else "failed"] += 1
        what = "refused" if is_refusal else "failed"
        message = _message(event).removeprefix(f"[{name}] ")
        self._line(_about(run), _short(step), f"{what}: {name}: {message}")

    def _line(self, about: str, step: str, text: str) -> None:
        self._say(safe(f"{about:<{_KEY_WIDTH}} {step:<{_STEP_WIDTH}} {text}".rstrip()))


def _amounts(step: str, values: Mapping[str, Any]) -> Iterator[str]:
    """Files, rows, frames and bytes, as far as the step says them."""
    if step == naming.METADATA:
        yield "converted" if values.get("verdict") == "passed" else "kept out"
    for name, noun in (
        ("files", "file"),
        ("rows_kept", "row"),
        ("rows", "row"),
        ("episodes", "episode"),
        ("frames", "frame"),
        ("dagster/row_count", "frame"),
    ):
        if isinstance(value := values.get(name), int):
            yield counted(value, noun)
    if isinstance(size := values.get("bytes"), int):
        yield f"{size / 1e6:.1f} MB"


def duration_of(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 90 else duration(seconds)


def _about(run: DagsterRun) -> str:
    """The episode, several of them, or the dataset."""
    if (partition := run.tags.get(_PARTITION_TAG)) is not None:
        return _key(partition)
    first, last = run.tags.get(naming.RANGE_START_TAG), run.tags.get(naming.RANGE_END_TAG)
    if first is not None and last is not None:
        return f"{_key(first)} to {_key(last)}"
    return run.tags.get(naming.DATASET_TAG) or run.job_name


def _why(run: DagsterRun) -> str:
    cause = run.tags.get("dagster/run_key", "").partition(":")[0]
    if run.parent_run_id is not None:
        return "retried"
    return {"retry": "retried", "again": "retried", "rescan": "found"}.get(cause, "found")


def _key(partition: str) -> str:
    try:
        return decode_key(partition)
    except Refused:
        return partition


def _short(step: str) -> str:
    return step.rpartition("__")[2] or step


def _message(event: Any) -> str:
    """The innermost reason: Dagster wraps what a step raised."""
    data = event.event_specific_data
    described = getattr(getattr(data, "user_failure_data", None), "description", None)
    error = getattr(data, "error", None)
    while error is not None and error.cause is not None:
        error = error.cause
    text = described or (error.message.strip() if error is not None else event.message) or ""
    return str(text).splitlines()[0] if text else ""
