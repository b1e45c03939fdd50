"""The sensor that watches the bucket: every new or changed episode becomes exactly one run.

It decides from the bucket's listing, the verdicts stored there, and the runs that exist; its
cursor only saves work. Partitions are added by the same tick that requests their runs, and each
request has a run key, so a daemon killed at any point neither loses nor doubles a run.

New episodes cost a listing of folders. Changed content can only be seen by listing an episode's
files, so known episodes take turns, a bounded number a tick; the rescan looks at all of them.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

import dagster as dg

from lerobot_pipelines.config.hashing import dataset_hash
from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.defs import naming, runs
from lerobot_pipelines.defs.cursor import FINGERPRINT_DIGITS, BucketCursor, from_after
from lerobot_pipelines.defs.jobs import run_tags
from lerobot_pipelines.defs.resources import PipelineResource
from lerobot_pipelines.pipeline.discovery import list_names
from lerobot_pipelines.pipeline.episode_state import EpisodeState, State
from lerobot_pipelines.pipeline.keys import decode_key, decode_keys, encode_key
from lerobot_pipelines.pipeline.retries import list_retries
from lerobot_pipelines.pipeline.sightings import Sighting, look_at_all
from lerobot_pipelines.pipeline.tree import Probes
from lerobot_pipelines.pipeline.workspace import Workspace

# On S3 a look at an episode is a few listings: 200 of them a tick cost some 5 dollars a day.
NEW_LOOKED_AT = 300
KNOWN_LOOKED_AT = 200
# A tick may take 60 s altogether, submitting 100 runs takes 12 s of them.
LOOKING_BUDGET_S = 20.0
# For folders that are no known episodes: a first sight of 100,000 takes several ticks.
WALKING_BUDGET_S = 15.0


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
        for sighting in tick.errors:
            context.log.error(f"episode {sighting.key}: {sighting.error}; tried again next tick")
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
    config = workspace.config
    partitions = naming.partitions_name(config.dataset.name)
    existing = decode_keys(instance.get_dynamic_partitions(partitions))
    probes = Probes(time.monotonic() + WALKING_BUDGET_S, cursor.walked)
    names = list_names(workspace.storage, config, known=existing, probes=probes)
    cursor.walked = probes.next_after
    tick = Tick(bad_names=(*names.bad, *names.unreadable))
    retried: set[str] = set()
    most = config.storage.scanner.max_requests_per_tick
    for sighting, request in islice(_retries(workspace, instance, set(names.keys)), most):
        tick.requests.append(request)
        retried.add(sighting.key)
        if sighting.key not in existing:
            tick.added.append(sighting.partition)
    new = [key for key in names.keys if key not in existing and key not in retried]
    known = [key for key in names.keys if key in existing and key not in retried]
    deadline = time.monotonic() + LOOKING_BUDGET_S
    wanted: list[Sighting] = []
    unsettled = {decode_key(partition) for partition in cursor.unsettled}
    for is_new, keys, after, most_looks in (
        (True, new, cursor.after_new, NEW_LOOKED_AT),
        (False, known, cursor.after_known, KNOWN_LOOKED_AT),
    ):
        # Those whose second look is due first: their turn among 100,000 comes in hours.
        first = [key for key in keys if key in unsettled]
        others = (key for key in from_after(keys, after) if key not in unsettled)
        for sighting in _looks(workspace, [*first, *islice(others, most_looks)], cursor):
            if len(wanted) >= config.storage.scanner.max_requests_per_tick:
                break
            tick.looked_at += 1
            if sighting.key in unsettled:
                pass
            elif is_new:
                cursor.after_new = sighting.key
            else:
                cursor.after_known = sighting.key
            _judge(instance, config, sighting, is_new, cursor, tick, wanted)
            if time.monotonic() > deadline:
                break
    for key in unsettled.difference(names.keys):
        cursor.settle(encode_key(key))
    tick.requests.extend(_requests(instance, config, wanted, set(tick.added)))
    return tick


def _retries(
    workspace: Workspace, instance: dg.DagsterInstance, there: Collection[str]
) -> Iterator[tuple[Sighting, dg.RunRequest]]:
    """A run for each wish of an operator, whatever was requested or failed before."""
    wishes = {one.key: one.wish for one in list_retries(workspace) if one.key in there}
    if not wishes:
        return
    name = workspace.dataset
    busy = runs.busy_partitions(runs.unfinished_runs(instance, name))
    for sighting in look_at_all(workspace, list(wishes), time.time_ns()):
        if sighting.error is not None or sighting.waiting is not None:
            continue
        run_key = f"retry:{name}:{sighting.partition}:{wishes[sighting.key]}"
        if sighting.partition in busy or runs.was_requested(instance, run_key):
            continue
        yield (
            sighting,
            dg.RunRequest(
                run_key=run_key,
                partition_key=sighting.partition,
                tags=episode_tags(workspace.config, sighting),
            ),
        )


def _looks(workspace: Workspace, keys: Sequence[str], cursor: BucketCursor) -> Iterator[Sighting]:
    return look_at_all(
        workspace, keys, time.time_ns(), lambda key: cursor.content_of(encode_key(key))
    )


def _judge(
    instance: dg.DagsterInstance,
    config: DatasetConfig,
    sighting: Sighting,
    is_new: bool,
    cursor: BucketCursor,
    tick: Tick,
    wanted: list[Sighting],
) -> None:
    if sighting.error is not None:
        tick.errors.append(sighting)
        return
    if sighting.waiting is not None:
        tick.waiting.append(sighting)
        return
    quiet_s = config.storage.scanner.quiet_period_s
    is_open = sighting.is_taken_at_sight and not sighting.is_marked and quiet_s > 0
    if is_open and not cursor.is_settled(
        sighting.partition, sighting.fingerprint, time.time(), quiet_s
    ):
        state = EpisodeState(State.WAITING, f"to be seen unchanged for {quiet_s:g} s")
        tick.waiting.append(replace(sighting, state=state))
        return
    cursor.settle(sighting.partition)
    if is_new:
        tick.added.append(sighting.partition)
    content = sighting.fingerprint[:FINGERPRINT_DIGITS]
    cursor.remember(sighting.partition, content)
    if not sighting.is_taken_at_sight:
        return
    if runs.latest_requested(instance, config.dataset.name, sighting.partition) == content:
        return  # its run is under way, or failed for good: retrying that is the rescan's business
    wanted.append(sighting)


def _requests(
    instance: dg.DagsterInstance,
    config: DatasetConfig,
    wanted: Sequence[Sighting],
    added: set[str],
) -> Iterator[dg.RunRequest]:
    """One request per episode; new ones side by side may share a run (``episodes_per_run``)."""
    size = config.storage.scanner.episodes_per_run
    # A range is contiguous in the order in which partitions were added: only new ones are sure to
    # be, and only where nothing lies between them.
    fresh = [sighting for sighting in wanted if sighting.partition in added] if size > 1 else []
    if len(fresh) != len(added):
        fresh = []
    for start in range(0, len(fresh), size):
        yield _range_request(config, fresh[start : start + size])
    for sighting in wanted:
        if not fresh or sighting.partition not in added:
            yield episode_request(instance, config, sighting)


def episode_request(
    instance: dg.DagsterInstance, config: DatasetConfig, sighting: Sighting
) -> dg.RunRequest:
    """The request for one episode's content.

    The run key counts earlier runs for the same content: a recording put back as it was before
    is converted again, though its content was seen before.
    """
    tags = episode_tags(config, sighting)
    earlier = runs.runs_tagged(
        instance,
        dataset=config.dataset.name,
        episode=sighting.partition,
        fingerprint=sighting.fingerprint[:FINGERPRINT_DIGITS],
    )
    content = sighting.fingerprint[:FINGERPRINT_DIGITS]
    return dg.RunRequest(
        run_key=f"{config.dataset.name}:{sighting.partition}:{content}:{earlier}",
        partition_key=sighting.partition,
        tags=tags,
    )


def episode_tags(config: DatasetConfig, sighting: Sighting) -> dict[str, str]:
    return {
        **run_tags(config),
        naming.EPISODE_TAG: sighting.partition,
        naming.FINGERPRINT_TAG: sighting.fingerprint[:FINGERPRINT_DIGITS],
        naming.CONFIGURATION_TAG: dataset_hash(config)[:FINGERPRINT_DIGITS],
    }


def _range_request(config: DatasetConfig, sightings: Sequence[Sighting]) -> dg.RunRequest:
    content = "+".join(sighting.fingerprint[:FINGERPRINT_DIGITS] for sighting in sightings)
    return dg.RunRequest(
        run_key=f"{config.dataset.name}:{sightings[0].partition}:{content}",
        tags={
            **run_tags(config, episodes=len(sightings)),
            naming.RANGE_START_TAG: sightings[0].partition,
            naming.RANGE_END_TAG: sightings[-1].partition,
        },
    )


def _report_bad_names(
    context: dg.SensorEvaluationContext, tick: Tick, cursor: BucketCursor
) -> None:
    """Once per name, as long as the cursor remembers it."""
    for key, fault in tick.bad_names:
        if cursor.content_of(key) is None:
            context.log.warning(f"left out: {fault}")
            cursor.remember(key, "bad name")
