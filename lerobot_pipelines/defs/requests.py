"""Run requests for episodes: their tags, and run keys that make every one of them unique.

A run key is never used twice, also not by a run that failed. So it names the content and how many
runs there were for it before: the same question asked twice is one run, a further attempt another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import dagster as dg

from lerobot_pipelines.config.hashing import dataset_hash
from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.defs import naming, runs
from lerobot_pipelines.defs.cursor import FINGERPRINT_DIGITS
from lerobot_pipelines.defs.jobs import run_tags
from lerobot_pipelines.pipeline.sightings import Sighting


def episode_tags(config: DatasetConfig, sighting: Sighting) -> dict[str, str]:
    return {
        **run_tags(config),
        naming.EPISODE_TAG: sighting.partition,
        naming.FINGERPRINT_TAG: content_of(sighting),
        naming.CONFIGURATION_TAG: configuration_of(config),
    }


def content_of(sighting: Sighting) -> str:
    return sighting.fingerprint[:FINGERPRINT_DIGITS]


def configuration_of(config: DatasetConfig) -> str:
    return dataset_hash(config)[:FINGERPRINT_DIGITS]


def attempts_at(
    instance: dg.DagsterInstance, config: DatasetConfig, sighting: Sighting
) -> runs.Attempts:
    """The runs so far for exactly this content under this configuration."""
    return runs.attempts_tagged(
        instance,
        dataset=config.dataset.name,
        episode=sighting.partition,
        fingerprint=content_of(sighting),
        configuration=configuration_of(config),
    )


def further_request(
    config: DatasetConfig, sighting: Sighting, attempts: runs.Attempts, cause: str
) -> dg.RunRequest:
    """For an episode whose earlier runs led to nothing."""
    return dg.RunRequest(
        run_key=(
            f"{cause}:{config.dataset.name}:{sighting.partition}:{content_of(sighting)}:"
            f"{configuration_of(config)}:{attempts.runs}"
        ),
        partition_key=sighting.partition,
        tags=episode_tags(config, sighting),
    )


def first_requests(
    instance: dg.DagsterInstance,
    config: DatasetConfig,
    wanted: Sequence[Sighting],
    added: Sequence[str],
) -> Iterator[dg.RunRequest]:
    """One request per episode; new ones side by side may share a run (``episodes_per_run``).

    ``added``: the partitions that the same tick adds, in order.
    """
    size = config.storage.scanner.episodes_per_run
    # A range is contiguous in the order in which partitions were added: only new ones are sure to
    # be, and only where nothing lies between them.
    fresh = [one for one in wanted if one.partition in set(added)] if size > 1 else []
    if [one.partition for one in fresh] != list(added):
        fresh = []
    for start in range(0, len(fresh), size):
        yield _range_request(config, fresh[start : start + size])
    shared = {one.partition for one in fresh}
    for sighting in wanted:
        if sighting.partition not in shared:
            yield _episode_request(instance, config, sighting)


def _episode_request(
    instance: dg.DagsterInstance, config: DatasetConfig, sighting: Sighting
) -> dg.RunRequest:
    """The run key counts earlier runs: a recording put back as it was before is converted again."""
    earlier = runs.runs_tagged(
        instance,
        dataset=config.dataset.name,
        episode=sighting.partition,
        fingerprint=content_of(sighting),
    )
    return dg.RunRequest(
        run_key=f"{config.dataset.name}:{sighting.partition}:{content_of(sighting)}:{earlier}",
        partition_key=sighting.partition,
        tags=episode_tags(config, sighting),
    )


def _range_request(config: DatasetConfig, sightings: Sequence[Sighting]) -> dg.RunRequest:
    content = "+".join(content_of(sighting) for sighting in sightings)
    return dg.RunRequest(
        run_key=f"{config.dataset.name}:{sightings[0].partition}:{content}",
        tags={
            **run_tags(config, episodes=len(sightings)),
            naming.RANGE_START_TAG: sightings[0].partition,
            naming.RANGE_END_TAG: sightings[-1].partition,
        },
    )
