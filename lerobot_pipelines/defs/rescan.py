"""The full rescan: every episode is looked at, without any memory of earlier ticks.

It asks for a run of each episode whose content has no verdict (a run was lost or failed for good)
or was kept out under another configuration. Episodes that are merely stale are left for a backfill
to choose, and episodes gone from the bucket are reported, never removed.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

import dagster as dg

from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.defs import naming, runs
from lerobot_pipelines.defs.claims import claim
from lerobot_pipelines.defs.lost_runs import MOST_ATTEMPTS, next_attempt_s
from lerobot_pipelines.defs.requests import attempts_at, further_request
from lerobot_pipelines.defs.resources import PipelineResource
from lerobot_pipelines.errors import PipelineError
from lerobot_pipelines.pipeline.discovery import Names, list_names
from lerobot_pipelines.pipeline.episode_state import State
from lerobot_pipelines.pipeline.health import artifact_damages, has_artifacts
from lerobot_pipelines.pipeline.keys import decode_keys, encode_key
from lerobot_pipelines.pipeline.lifecycle import clean_up
from lerobot_pipelines.pipeline.sightings import Sighting, look_at_all, settled_by_ledger
from lerobot_pipelines.pipeline.tree import Probes
from lerobot_pipelines.pipeline.workspace import Workspace

# Evaluations are cut off after 60 s. What was not reached has its turn in a later rescan, because
# each begins at another place.
LOOKING_BUDGET_S = 30.0
# Cleaning up lists the work folder: only where looking left the time for it. In a bucket where it
# never does, every eighth rescan looks for less time.
CLEANING_BUDGET_S = 10.0
CLEANING_STARTS_WITHIN_S = 20.0
CLEANING_SHARE = 1 / 8
# Of the time for looking, for a listing of all artifacts; where that takes longer, ``repair`` and
# ``convert`` are left to see what is missing of them.
LOOKING_AT_ARTIFACTS_SHARE = 0.3
LOOKING_BUDGET_WHEN_CLEANING_S = 8.0
MOST_NAMED = 20
# For folders that are no known episodes, and for asking how often each episode was tried.
WALKING_BUDGET_S = 10.0
ASKING_BUDGET_S = 10.0
OWNER = "rescan"
# Neighbours whose listings are shared: of small recordings, a request covers hundreds.
RUN_LENGTH = 250


def rescan_schedule(config: DatasetConfig) -> dg.ScheduleDefinition:
    dataset = config.dataset.name

    @dg.schedule(
        name=naming.rescan_schedule(dataset),
        job_name=naming.episode_job(dataset),
        cron_schedule=config.storage.scanner.rescan_cron,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Looks at every episode in the bucket and converts what was missed.",
    )
    def rescan(
        context: dg.ScheduleEvaluationContext, pipeline: PipelineResource
    ) -> dg.SkipReason | list[dg.RunRequest]:
        workspace = pipeline.workspace(config)
        report: list[str] = []
        seed = context.scheduled_execution_time.isoformat()
        requests = evaluate(workspace, context.instance, report, seed=seed)
        for line in report:
            context.log.warning(line)
        return requests or dg.SkipReason("; ".join(report) or "every episode has its verdict")

    return rescan


def evaluate(
    workspace: Workspace, instance: dg.DagsterInstance, report: list[str], *, seed: str
) -> list[dg.RunRequest]:
    """The runs to request; what a person should know is appended to ``report``, line by line."""
    began_s = time.monotonic()
    is_cleaning = random.Random(f"{seed} cleaning").random() < CLEANING_SHARE
    budget_s = LOOKING_BUDGET_WHEN_CLEANING_S if is_cleaning else LOOKING_BUDGET_S
    config = workspace.config
    name = config.dataset.name
    if runs.is_backfilling(instance, name):
        report.append("a backfill of this dataset is under way; rescanned when it is done")
        return []
    ordered = list(instance.get_dynamic_partitions(naming.partitions_name(name)))
    existing = decode_keys(ordered)
    probes = Probes(began_s + WALKING_BUDGET_S)
    names = list_names(workspace.storage, config, known=existing, probes=probes)
    keys = names.keys
    _report_bucket(names, existing, report, is_whole=not probes.next_after)
    states: Counter[State] = Counter()
    needed: list[Sighting] = []
    errors: list[str] = []
    for sighting in _looks(workspace, keys, seed, report, min(budget_s, LOOKING_BUDGET_S)):
        if sighting.error is not None:
            errors.append(f"episode {sighting.key}: {sighting.error}")
            continue
        if sighting.state is not None:
            states[sighting.state.state] += 1
        if sighting.is_taken_by_rescan:
            needed.append(sighting)
    _append_some(report, errors)
    requests = _requests(instance, config, needed, ordered, report)
    added = [request.partition_key for request in requests if request.partition_key]
    if states[State.STALE]:
        report.append(
            f"{states[State.STALE]} episodes are of another configuration; a backfill of "
            f"{name}/{naming.RAW} and what follows brings them up to date"
        )
    if added:
        instance.add_dynamic_partitions(naming.partitions_name(name), added)
    if time.monotonic() - began_s < CLEANING_STARTS_WITHIN_S:
        _clean_up(workspace, keys, seed, report)
    return requests


def _clean_up(workspace: Workspace, keys: Sequence[str], seed: str, report: list[str]) -> None:
    """``storage.lifecycle``, as far as the time allows; each time from another place."""
    after = encode_key(random.Random(seed).choice(keys)) if keys else ""
    removed: Counter[str] = Counter()
    try:
        for removal in clean_up(workspace, after=after, seconds=CLEANING_BUDGET_S):
            removed[removal.kind] += 1
    except (PipelineError, OSError) as error:
        report.append(f"cleaning up broke off: {error}")  # the requests must not be lost for it
    if removed:
        counts = ", ".join(f"{count} {kind}" for kind, count in sorted(removed.items()))
        report.append(f"removed {counts} objects that nobody needs (storage.lifecycle)")


def _looks(
    workspace: Workspace, keys: Sequence[str], seed: str, report: list[str], budget_s: float
) -> list[Sighting]:
    """All that something may be left to do for, by key."""
    order = _order(keys, seed)
    deadline = time.monotonic() + budget_s
    settled = settled_by_ledger(workspace)
    damaged = _damaged(workspace, budget_s * LOOKING_AT_ARTIFACTS_SHARE, report)
    sightings: list[Sighting] = []
    looks = look_at_all(
        workspace,
        order,
        time.time_ns(),
        settled=settled,
        run_length=RUN_LENGTH,
        damaged=damaged,
    )
    for looked_at, sighting in enumerate(looks, start=1):
        if sighting.error is not None or _is_open(sighting):
            sightings.append(sighting)
        if time.monotonic() > deadline:
            left = len(order) - looked_at
            report.append(f"{left} of {len(order)} episodes left for a later rescan")
            break
    return sorted(sightings, key=lambda sighting: sighting.key)


def _damaged(workspace: Workspace, seconds: float, report: list[str]) -> Mapping[str, str]:
    """What is missing of converted episodes. Where that is everything of all of them, somebody
    deleted it, or the listing is wrong: a person is told, and nothing is converted unasked."""
    damaged = artifact_damages(workspace, seconds=seconds)
    if damaged and not has_artifacts(workspace):
        report.append(
            f"the artifacts of all episodes are gone ({len(damaged)} were converted); the dataset "
            "stays, and `lerobot-pipelines repair` makes them anew from the recordings"
        )
        return {}
    return damaged


def _is_open(sighting: Sighting) -> bool:
    final = (State.CONVERTED, State.REFUSED, State.CLEARED)
    return sighting.state is not None and sighting.state.state not in final


def _order(keys: Sequence[str], seed: str) -> list[str]:
    """Any, but with neighbours together: they share the listings they are looked at by."""
    chance = random.Random(seed)
    first = chance.randrange(len(keys)) if keys else 0
    turned = [*keys[first:], *keys[:first]]
    runs = [turned[start : start + RUN_LENGTH] for start in range(0, len(turned), RUN_LENGTH)]
    chance.shuffle(runs)
    runs.sort(key=len, reverse=True)  # a shorter one would shift those behind it
    return [key for run in runs for key in run]


def _requests(
    instance: dg.DagsterInstance,
    config: DatasetConfig,
    needed: Sequence[Sighting],
    ordered: Sequence[str],
    report: list[str],
) -> list[dg.RunRequest]:
    """One for each episode that nobody is at work on, as many as a tick may."""
    name = config.dataset.name
    partitions = [sighting.partition for sighting in needed]
    busy = runs.under_way(instance, name, partitions, ordered)
    requests: list[dg.RunRequest] = []
    given_up: list[str] = []
    deadline = time.monotonic() + ASKING_BUDGET_S
    for sighting in needed:
        if sighting.partition in busy:
            continue
        if len(requests) >= config.storage.scanner.max_requests_per_tick:
            report.append("more episodes than one rescan requests; the sensor asks for the rest")
            break
        if time.monotonic() > deadline:
            report.append("no time to ask for all episodes; the sensor and later rescans go on")
            break
        attempts = attempts_at(instance, config, sighting)
        if attempts.own_faults >= MOST_ATTEMPTS and next_attempt_s(attempts) > time.time():
            given_up.append(
                f"episode {sighting.key} came to no verdict in {attempts.own_faults} runs; look "
                f"at them and materialise {name}/{naming.RAW} for it by hand (it is tried again "
                "now and then)"
            )
            continue
        requests.append(further_request(config, sighting, attempts, "rescan"))
    _append_some(report, given_up)
    mine = claim(instance, name, OWNER, [r.partition_key or "" for r in requests], time.time())
    return [request for request in requests if request.partition_key in mine]


def _append_some(report: list[str], lines: Sequence[str]) -> None:
    """The first of them, and how many there are."""
    report.extend(lines[:MOST_NAMED])
    if len(lines) > MOST_NAMED:
        report.append(f"and {len(lines) - MOST_NAMED} more like the last one")


def _report_bucket(
    names: Names, existing: Collection[str], report: list[str], *, is_whole: bool
) -> None:
    _append_some(report, [f"left out: {fault}" for _, fault in (*names.bad, *names.unreadable)])
    if not is_whole:
        report.append("not all folders were looked into; a later rescan begins elsewhere")
    if names.unreadable or not is_whole:
        return  # what lies below is not gone
    there = set(names.keys)
    gone = sorted(key for key in existing if key not in there)
    if gone:
        report.append(
            f"{len(gone)} episodes are no longer in the bucket and stay in the dataset: "
            f"{', '.join(gone[:MOST_NAMED])}"
        )
