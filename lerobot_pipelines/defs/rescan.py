"""The full rescan: every episode is looked at, without any memory of earlier ticks.

It asks for a run of each episode whose content has no verdict (a run was lost or failed for good)
or was kept out under another configuration. Episodes that are merely stale are left for a backfill
to choose, and episodes gone from the bucket are reported, never removed.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Collection, Sequence

import dagster as dg

from lerobot_pipelines.config.hashing import dataset_hash
from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.defs import naming, runs
from lerobot_pipelines.defs.bucket_sensor import episode_tags
from lerobot_pipelines.defs.cursor import FINGERPRINT_DIGITS
from lerobot_pipelines.defs.resources import PipelineResource
from lerobot_pipelines.defs.sightings import Sighting, Verdict, look_at_all
from lerobot_pipelines.pipeline.discovery import Names, list_names
from lerobot_pipelines.pipeline.keys import decode_keys
from lerobot_pipelines.pipeline.workspace import Workspace

# An episode that kills its worker five times (out of memory, say) needs a person.
MOST_ATTEMPTS = 5
# Evaluations are cut off after 60 s. What was not reached has its turn in a later rescan, because
# each begins at another place.
LOOKING_BUDGET_S = 40.0
MOST_NAMED = 20


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
    config = workspace.config
    name = config.dataset.name
    if runs.is_backfilling(instance, name):
        report.append("a backfill of this dataset is under way; rescanned when it is done")
        return []
    existing = decode_keys(instance.get_dynamic_partitions(naming.partitions_name(name)))
    names = list_names(workspace.storage, config, known=existing)
    keys = names.keys
    _report_bucket(names, existing, report)
    busy = runs.busy_partitions(runs.unfinished_runs(instance, name))
    requests: list[dg.RunRequest] = []
    added: list[str] = []
    verdicts: Counter[str] = Counter()
    for sighting in _looks(workspace, keys, seed, report):
        if sighting.error is not None:
            report.append(f"episode {sighting.key}: {sighting.error}")
            continue
        verdicts[sighting.verdict] += 1
        needed = sighting.verdict in (Verdict.NONE, Verdict.REVISABLE)
        if not needed or sighting.waiting is not None or sighting.partition in busy:
            continue
        request = _request(instance, config, sighting, report)
        if request is None:
            continue
        requests.append(request)
        added.append(sighting.partition)
        if len(requests) >= config.storage.scanner.max_requests_per_tick:
            report.append("more episodes than one rescan requests; the rest follows")
            break
    if verdicts[Verdict.STALE]:
        report.append(
            f"{verdicts[Verdict.STALE]} episodes are of another configuration; a backfill of "
            f"{name}/{naming.RAW} and what follows brings them up to date"
        )
    if added:
        instance.add_dynamic_partitions(naming.partitions_name(name), added)
    return requests


def _looks(
    workspace: Workspace, keys: Sequence[str], seed: str, report: list[str]
) -> list[Sighting]:
    order = list(keys)
    random.Random(seed).shuffle(order)
    deadline = time.monotonic() + LOOKING_BUDGET_S
    sightings = []
    for sighting in look_at_all(workspace, order, time.time_ns()):
        sightings.append(sighting)
        if time.monotonic() > deadline:
            left = len(order) - len(sightings)
            report.append(f"{left} of {len(order)} episodes left for a later rescan")
            break
    return sorted(sightings, key=lambda sighting: sighting.key)


def _request(
    instance: dg.DagsterInstance, config: DatasetConfig, sighting: Sighting, report: list[str]
) -> dg.RunRequest | None:
    content = sighting.fingerprint[:FINGERPRINT_DIGITS]
    configuration = dataset_hash(config)[:FINGERPRINT_DIGITS]
    attempts = runs.runs_tagged(
        instance,
        dataset=config.dataset.name,
        episode=sighting.partition,
        fingerprint=content,
        configuration=configuration,
    )
    if attempts >= MOST_ATTEMPTS:
        report.append(
            f"episode {sighting.key} came to no verdict in {attempts} runs; look at them and "
            f"materialise {config.dataset.name}/{naming.RAW} for it by hand"
        )
        return None
    return dg.RunRequest(
        run_key=(
            f"rescan:{config.dataset.name}:{sighting.partition}:{content}:{configuration}:{attempts}"
        ),
        partition_key=sighting.partition,
        tags=episode_tags(config, sighting),
    )


def _report_bucket(names: Names, existing: Collection[str], report: list[str]) -> None:
    report.extend(f"left out: {fault}" for _, fault in names.bad)
    there = set(names.keys)
    gone = sorted(key for key in existing if key not in there)
    if gone:
        report.append(
            f"{len(gone)} episodes are no longer in the bucket and stay in the dataset: "
            f"{', '.join(gone[:MOST_NAMED])}"
        )
