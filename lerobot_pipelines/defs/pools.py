"""Limits of pools, set explicitly: a pool's default limit alone was seen to let runs overlap."""

from __future__ import annotations

import os
from collections.abc import Mapping

import dagster as dg

from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.defs import naming


def wanted_limits(
    datasets: Mapping[str, DatasetConfig | None], cores: int | None = None
) -> dict[str, int]:
    """One writer per dataset; as many encoders as the largest ``workers`` of a configuration, else
    as keep the cores busy (each uses several)."""
    configs = [config for config in datasets.values() if config is not None]
    asked = [config.workers for config in configs if config.workers is not None]
    encoders = max(asked) if asked else max(1, (cores or os.cpu_count() or 1) // 2)
    return {naming.ENCODE_POOL: encoders} | {naming.writer_pool(name): 1 for name in datasets}


def ensure_limits(instance: dg.DagsterInstance, limits: Mapping[str, int]) -> None:
    """Set each limit that nobody has set; a person's own choice stays."""
    storage = instance.event_log_storage
    if not storage.supports_global_concurrency_limits:
        return
    chosen = {pool.name for pool in storage.get_pool_limits() if not pool.from_default}
    for name, limit in limits.items():
        if name not in chosen:
            storage.set_concurrency_slots(name, limit)
