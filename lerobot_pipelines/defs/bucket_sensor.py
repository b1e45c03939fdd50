"""The sensor that watches the bucket: every new or changed episode becomes exactly one run.

It decides from the bucket's listing, the verdicts stored there, and the runs that exist; its
cursor only saves work. Partitions are added by the same tick that requests their runs, and each
request has a run key, so a daemon killed at any point neither loses nor doubles a run.

New episodes cost a listing of folders. Changed content can only be seen by listing an episode's
files, so known episodes take turns, a bounded number a tick; the rescan looks at all of them.
Whatever lies in the bucket, a tick reads a bounded number of objects, and what it did not come to
has its turn in the next one.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

import dagster as dg

from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.defs import lost_runs, naming, runs
from lerobot_pipelines.defs.claims import claim
from lerobot_pipelines.defs.cursor import FINGERPRINT_DIGITS, BucketCursor, from_after
from lerobot_pipelines.defs.requests import attempts_at, first_requests, further_request
from lerobot_pipelines.defs.resources import PipelineResource
from lerobot_pipelines.defs.wishes import wished
from lerobot_pipelines.pipeline.discovery import list_names
from lerobot_pipelines.pipeline.episode_state import EpisodeState, State
from lerobot_pipelines.pipeline.keys import decode_key, decode_keys, encode_key
from lerobot_pipelines.pipeline.lost import LostRun, write_lost
from lerobot_pipelines.pipeline.sightings import Sighting, look_at_all
from lerobot_pipelines.pipeline.tree import Probes
from lerobot_pipelines.pipeline.workspace import Workspace

# On S3 a look at an episode is a few listings: 200 of them a tick cost some 5 dollars a day.
NEW_LOOKED_AT = 300
KNOWN_LOOKED_AT = 200
# A tick is to be over in 5 s, whatever lies in the bucket; submitting 100 runs takes 12 s more.
# What is under way when a budget is spent is waited for, so that they do not add up to 5 s.
TICK_BUDGET_S = 3.5
LOOKING_BUDGET_S, MIN_LOOKING_BUDGET_S = 1.8, 0.5
# For folders that are no known episodes: a first sight of 100,000 takes several ticks.
WALKING_BUDGET_S = 1.5
LOST_BUDGET_S = 0.7
# Looked at by one thread, where nothing is gained by more: so that the time can be kept.
RUN_LENGTH = 5
# What a person reads of a kind; the rest is counted.
MAX_NAMED = 10
OWNER = "sensor"


@dataclass
class Tick:
    """What one evaluation found, in the order it was found."""

    requests: list[dg.RunRequest] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    waiting: list[Sighting] = field(default_factory=list)
    errors: list[Sighting] = field(default_factory=list)
    bad_names: tuple[tuple[str, str], ...] = ()
    looked_at: int = 0

    def summary(self) -> str:
        text = f"{self.looked_at} episodes looked at, nothing new"
        if self.waiting:
            first = self.waiting[0]
            text += f"; {len(self.waiting)} not ready ({first.key}: {first.waiting})"
        if self.errors:
            first = self.errors[0]
            text += f"; {len(self.errors)} could not be read ({first.key}: {first.error})"
        return text


def bucket_sensor(config: DatasetConfig) -> dg.SensorDefinition:
    dataset = config.dataset.name

    @dg.sensor(
        name=naming.bucket_sensor(dataset),
        job_name=naming.episode_job(dataset),
        minimum_interval_seconds=config.storage.scanner.interval_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            f"Watches {config.storage.url}/{config.storage.raw_prefix} and converts every new or "
            "changed episode once."
        ),
    )
    def watch(context: dg.SensorEvaluationContext, pipeline: PipelineResource) -> dg.SensorResult:
        workspace = pipeline.workspace(config)
        cursor = BucketCursor.parse(context.cursor)
        tick = evaluate(workspace, context.instance, cursor)
        for sighting in tick.errors[:MAX_NAMED]:
            context.log.error(f"episode {sighting.key}: {sighting.error}; tried again next tick")
        if len(tick.errors) > MAX_NAMED:
            context.log.error(f"and {len(tick.errors) - MAX_NAMED} more could not be read")
        _report_bad_names(context, tick, cursor)
        partitions = naming.episodes_partitions(dataset)
        return dg.SensorResult(
            run_requests=tick.requests,
            skip_reason=None if tick.requests else tick.summary(),
            dynamic_partitions_requests=(
                [partitions.build_add_request(tick.added)] if tick.added else []
            ),
            cursor=cursor.dump(),
        )

    return watch


def evaluate(workspace: Workspace, instance: dg.DagsterInstance, cursor: BucketCursor) -> Tick:
    """One tick: decide what to request, and move the cursor on."""
    return _Evaluation(workspace, instance, cursor).tick()


class _Evaluation:
    """One tick, step by step; ``ordered`` and ``existing`` are the partitions as it began."""

    def __init__(
        self, workspace: Workspace, instance: dg.DagsterInstance, cursor: BucketCursor
    ) -> None:
        self.workspace = workspace
        self.config = workspace.config
        self.instance = instance
        self.cursor = cursor
        self.dataset = workspace.dataset
        self.most = self.config.storage.scanner.max_requests_per_tick
        self.ordered = list(instance.get_dynamic_partitions(naming.partitions_name(self.dataset)))
        self.existing = decode_keys(self.ordered)
        self.found = Tick()
        self.until_s = time.monotonic() + TICK_BUDGET_S

    def tick(self) -> Tick:
        probes = Probes(time.monotonic() + WALKING_BUDGET_S, self.cursor.walked)
        storage = self.workspace.storage
        names = list_names(storage, self.config, known=self.existing, probes=probes)
        self.cursor.walked = probes.next_after
        self.found.bad_names = (*names.bad, *names.unreadable)
        there = set(names.keys)
        self._take_wishes(there)
        self._take_lost(there)
        self._look(names.keys)
        return self.found

    def _busy_among(self, partitions: Collection[str]) -> set[str]:
        return runs.under_way(self.instance, self.dataset, partitions, self.ordered)

    @property
    def _left(self) -> int:
        return max(0, self.most - len(self.found.requests))

    @property
    def _requested(self) -> set[str]:
        return {one.partition_key for one in self.found.requests if one.partition_key}

    def _claimed(self, partitions: Collection[str]) -> set[str]:
        return claim(self.instance, self.dataset, OWNER, partitions, time.time())

    def _take_wishes(self, there: Collection[str]) -> None:
        wishes = wished(self.workspace, self.instance, self.cursor, there, self._busy_among)
        taken = list(islice(wishes, self._left))
        mine = self._claimed([sighting.partition for sighting, _ in taken])
        for sighting, request in taken:
            if sighting.partition in mine:
                self.found.requests.append(request)
                if sighting.key not in self.existing:
                    self.found.added.append(sighting.partition)

    def _take_lost(self, there: Collection[str]) -> None:
        """Ask again for episodes whose runs ended without a verdict; see ``lost_runs``."""
        now_s = time.time()
        lost_runs.end_unsubmitted(self.instance, self.dataset, now_s)
        partitions = {encode_key(key) for key in self.existing if key in there}
        lost_runs.collect(self.instance, self.dataset, self.cursor, partitions, self.ordered, now_s)
        turn = lost_runs.due(self.cursor, now_s, KNOWN_LOOKED_AT)
        busy = self._busy_among(turn) | self._requested
        for partition in busy.union(self.cursor.lost.keys() - partitions):
            self.cursor.lost.pop(partition, None)
        free = [decode_key(partition) for partition in turn if partition in self.cursor.lost]
        most = self._left
        if free and lost_runs.is_launcher_down(self.instance, self.dataset):
            most = min(most, 1)
        wanted = self._lost_ones(free, now_s)[:most]
        mine = self._claimed([sighting.partition for sighting, _ in wanted])
        for sighting, attempts in wanted:
            if sighting.partition in mine:
                del self.cursor.lost[sighting.partition]
                self.found.requests.append(
                    further_request(self.config, sighting, attempts, "again")
                )
        self._show_lost()

    def _lost_ones(self, keys: Sequence[str], now_s: float) -> list[tuple[Sighting, runs.Attempts]]:
        """Those that have no verdict to this day, and whose pause is over."""
        wanted = []
        until_s = time.monotonic() + LOST_BUDGET_S
        for sighting in look_at_all(
            self.workspace, keys, time.time_ns(), run_length=RUN_LENGTH, until_s=until_s
        ):
            self.found.looked_at += 1
            if sighting.error is not None or sighting.waiting is not None:
                self.cursor.lost[sighting.partition] = now_s + lost_runs.PAUSE_S
            elif not sighting.is_taken_by_rescan:
                del self.cursor.lost[sighting.partition]
            else:
                attempts = attempts_at(self.instance, self.config, sighting)
                due_s = lost_runs.next_attempt_s(attempts)
                if due_s > now_s:
                    self.cursor.lost[sighting.partition] = due_s
                else:
                    wanted.append((sighting, attempts))
        return wanted

    def _show_lost(self) -> None:
        """For ``monitor``, which knows nothing of runs."""
        lost = [
            LostRun(decode_key(partition), due_s)
            for partition, due_s in sorted(self.cursor.lost.items())
        ]
        digest = hashlib.sha256("\n".join(sorted(self.cursor.lost)).encode()).hexdigest()[:16]
        if digest != (self.cursor.shown_lost or hashlib.sha256(b"").hexdigest()[:16]):
            write_lost(self.workspace, lost)
            self.cursor.shown_lost = digest

    def _look(self, keys: Sequence[str]) -> None:
        """New episodes first; then known ones, whose content may have changed."""
        cursor, requested = self.cursor, self._requested
        open_ones = [key for key in keys if encode_key(key) not in requested]
        began_s = time.monotonic()
        left_s = max(MIN_LOOKING_BUDGET_S, min(LOOKING_BUDGET_S, self.until_s - began_s))
        quiet_s = self.config.storage.scanner.quiet_period_s
        due = {decode_key(partition) for partition in cursor.due(time.time(), quiet_s)}
        unsettled = {decode_key(partition) for partition in cursor.unsettled}
        wanted: list[Sighting] = []
        for is_new, after, most_looks in (
            (True, cursor.after_new, NEW_LOOKED_AT),
            (False, cursor.after_known, KNOWN_LOOKED_AT),
        ):
            group = [key for key in open_ones if (key not in self.existing) is is_new]
            # Those whose second look is due first: their turn among 100,000 comes in hours. They
            # get a part of the time only, or what never settles would take all of it.
            first = [key for key in group if key in due]
            others = (key for key in from_after(group, after) if key not in unsettled)
            budget_s = left_s * (0.5 if is_new else 0.75)
            self._look_at(first, is_new, wanted, unsettled, began_s + budget_s)
            budget_s = left_s * (0.7 if is_new else 1.0)
            self._look_at(
                list(islice(others, most_looks)), is_new, wanted, unsettled, began_s + budget_s
            )
        for key in unsettled.difference(keys):
            cursor.settle(encode_key(key))
        self._request(wanted)

    def _look_at(
        self,
        keys: Sequence[str],
        is_new: bool,
        wanted: list[Sighting],
        unsettled: Collection[str],
        until_s: float,
    ) -> None:
        """One at least, whatever the time; ``unsettled`` ones have no place in the turn."""
        cursor = self.cursor
        known = look_at_all(
            self.workspace,
            keys,
            time.time_ns(),
            lambda key: cursor.content_of(encode_key(key)),
            until_s=until_s,
        )
        for sighting in known:
            if len(wanted) >= self._left:
                break
            self.found.looked_at += 1
            if sighting.key in unsettled:
                pass
            elif is_new:
                cursor.after_new = sighting.key
            else:
                cursor.after_known = sighting.key
            self._judge(sighting, is_new, wanted)

    def _judge(self, sighting: Sighting, is_new: bool, wanted: list[Sighting]) -> None:
        found, cursor = self.found, self.cursor
        if sighting.error is not None:
            found.errors.append(sighting)
            return
        if sighting.waiting is not None:
            found.waiting.append(sighting)
            return
        quiet_s = self.config.storage.scanner.quiet_period_s
        is_open = sighting.is_taken_at_sight and not sighting.is_marked and quiet_s > 0
        if is_open and not cursor.is_settled(
            sighting.partition, sighting.fingerprint, time.time(), quiet_s
        ):
            state = EpisodeState(State.WAITING, f"to be seen unchanged for {quiet_s:g} s")
            found.waiting.append(replace(sighting, state=state))
            return
        cursor.settle(sighting.partition)
        if is_new:
            found.added.append(sighting.partition)
        content = sighting.fingerprint[:FINGERPRINT_DIGITS]
        cursor.remember(sighting.partition, content)
        if not sighting.is_taken_at_sight:
            return
        latest = runs.latest_requested(self.instance, self.dataset, sighting.partition)
        if latest is None or latest.dagster_run.tags.get(naming.FINGERPRINT_TAG) != content:
            wanted.append(sighting)
        elif latest.dagster_run.is_finished and not cursor.lose(
            sighting.partition, time.time() + lost_runs.PAUSE_S
        ):
            # Without a verdict: it is one of those whose runs were lost, of which there are many.
            cursor.forget(sighting.partition)

    def _request(self, wanted: Sequence[Sighting]) -> None:
        busy = self._busy_among([sighting.partition for sighting in wanted])
        free = [sighting for sighting in wanted if sighting.partition not in busy]
        mine = self._claimed([sighting.partition for sighting in free])
        for sighting in wanted:
            if sighting.partition not in mine:
                self.cursor.forget(sighting.partition)  # another look when that run has ended
        self.found.requests.extend(
            first_requests(
                self.instance,
                self.config,
                [sighting for sighting in free if sighting.partition in mine],
                [one for one in self.found.added if one not in self._requested],
            )
        )


def _report_bad_names(
    context: dg.SensorEvaluationContext, tick: Tick, cursor: BucketCursor
) -> None:
    """The first of them, and how many there are, whenever they are others than before."""
    told = "\n".join(f"{key!r}" for key, _ in tick.bad_names)
    digest = hashlib.sha256(told.encode()).hexdigest()[:16] if told else ""
    if digest == cursor.bad_names:
        return
    cursor.bad_names = digest
    for _, fault in tick.bad_names[:MAX_NAMED]:
        context.log.warning(f"left out: {fault}")
    if len(tick.bad_names) > MAX_NAMED:
        context.log.warning(f"left out: {len(tick.bad_names) - MAX_NAMED} more such names")
