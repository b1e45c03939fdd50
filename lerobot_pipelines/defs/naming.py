"""Names that Dagster stores for ever: asset keys, partitions, jobs, sensors, tags, pools.

A renamed asset, job or sensor loses its history, so every name is made here and pinned by a test.
"""

from __future__ import annotations

import dagster as dg

RAW = "raw_episodes"
ALIGNED = "aligned_frames"
VIDEOS = "encoded_videos"
METADATA = "episode_metadata"
DATASET = "lerobot_dataset"
REFUSED = "refused_episodes"
VALIDATES = "dataset_validates"
EPISODE_STEPS = (RAW, ALIGNED, VIDEOS, METADATA)

ENCODE_POOL = "encode"

DATASET_TAG = "lerobot_pipelines/dataset"
EPISODE_TAG = "lerobot_pipelines/episode"
FINGERPRINT_TAG = "lerobot_pipelines/fingerprint"
CONFIGURATION_TAG = "lerobot_pipelines/configuration"
FINISHED_TAG = "lerobot_pipelines/finished"

RANGE_START_TAG = "dagster/asset_partition_range_start"
RANGE_END_TAG = "dagster/asset_partition_range_end"
MAX_RUNTIME_TAG = "dagster/max_runtime"


def asset_key(dataset: str, step: str) -> dg.AssetKey:
    return dg.AssetKey([dataset, step])


def partitions_name(dataset: str) -> str:
    return f"{dataset}_episodes"


def episodes_partitions(dataset: str) -> dg.DynamicPartitionsDefinition:
    """The episodes of a dataset; keys are those of ``pipeline.keys.encode_key``."""
    return dg.DynamicPartitionsDefinition(name=partitions_name(dataset))


def writer_pool(dataset: str) -> str:
    """One writer per dataset. A pool's name cannot hold every character a key can."""
    return f"dataset_{dataset}"


def episode_job(dataset: str) -> str:
    return f"{dataset}_episode"


def update_job(dataset: str) -> str:
    return f"{dataset}_update"


def all_job(dataset: str) -> str:
    return f"{dataset}_all"


def bucket_sensor(dataset: str) -> str:
    return f"{dataset}_bucket"


def dataset_sensor(dataset: str) -> str:
    return f"{dataset}_dataset"


def rescan_schedule(dataset: str) -> str:
    return f"{dataset}_rescan"
