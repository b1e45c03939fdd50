"""The jobs of a dataset, and the tags and time limits of their runs."""

from __future__ import annotations

from typing import Any

import dagster as dg

from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.defs import naming

# A run whose machine is lost stays "started" for ever and keeps its place in the queue: only a
# maximum runtime frees it. One slow core encodes a camera in up to three times the recording's
# length; where the configuration sets no longest episode, twenty minutes is long for a robot.
SECONDS_PER_RECORDED_SECOND = 3
START_AND_FETCH_S = 1800
LONGEST_EPISODE_S = 1200
DATASET_UPDATE_S = 6 * 3600


def max_runtime_s(config: DatasetConfig, episodes: int = 1) -> int:
    longest_s = config.filtering.max_duration_sec or LONGEST_EPISODE_S
    cameras = max(1, len(config.cameras))
    return START_AND_FETCH_S + int(longest_s * SECONDS_PER_RECORDED_SECOND * cameras) * episodes


def run_tags(config: DatasetConfig, episodes: int = 1) -> dict[str, str]:
    return {
        naming.DATASET_TAG: config.dataset.name,
        naming.MAX_RUNTIME_TAG: str(max_runtime_s(config, episodes)),
    }


def dataset_jobs(config: DatasetConfig) -> list[Any]:
    """One episode; the dataset; and both together, for whole backfills."""
    name = config.dataset.name
    steps = dg.AssetSelection.assets(*(naming.asset_key(name, s) for s in naming.EPISODE_STEPS))
    dataset: dg.AssetSelection = dg.AssetSelection.assets(naming.asset_key(name, naming.DATASET))
    if config.storage.url.startswith("s3://"):
        # Validating reads the whole dataset: from this machine's disk that costs seconds, from a
        # distant store a download of everything, which a person starts from the check's page.
        validation = dg.AssetCheckKey(naming.asset_key(name, naming.DATASET), naming.VALIDATES)
        dataset = dataset - dg.AssetSelection.checks(validation)
    many = config.storage.scanner.episodes_per_run
    update_tags = {**run_tags(config), naming.MAX_RUNTIME_TAG: str(DATASET_UPDATE_S)}
    return [
        dg.define_asset_job(
            naming.episode_job(name),
            steps,
            tags=run_tags(config, many),
            description="Convert one episode: all four steps, one after the other.",
        ),
        dg.define_asset_job(
            naming.update_job(name),
            dataset,
            tags=update_tags,
            description="Bring the dataset to hold exactly the episodes that are ready.",
        ),
        dg.define_asset_job(
            naming.all_job(name),
            steps | dataset,
            tags={**run_tags(config, many), naming.MAX_RUNTIME_TAG: str(DATASET_UPDATE_S)},
            description="Convert episodes (one, or a range in a backfill), then the dataset.",
        ),
    ]
