"""All definitions from the datasets' configurations: nothing else decides what exists."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import dagster as dg

from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.defs.broken import BrokenConfiguration, broken_assets
from lerobot_pipelines.defs.bucket_sensor import bucket_sensor
from lerobot_pipelines.defs.config_files import CONFIGS_VARIABLE, config_files, read_configs
from lerobot_pipelines.defs.dataset_assets import dataset_asset, dataset_checks, refused_episodes
from lerobot_pipelines.defs.dataset_sensor import dataset_sensor
from lerobot_pipelines.defs.episode_assets import episode_assets
from lerobot_pipelines.defs.failure_sensor import run_failures
from lerobot_pipelines.defs.jobs import dataset_jobs
from lerobot_pipelines.defs.rescan import rescan_schedule
from lerobot_pipelines.defs.resources import PipelineResource
from lerobot_pipelines.errors import ConfigError

__all__ = [
    "CONFIGS_VARIABLE",
    "EXECUTOR_VARIABLE",
    "build_defs",
    "chosen_executor",
    "config_files",
    "expected_warnings",
    "read_configs",
]

EXECUTOR_VARIABLE = "LEROBOT_PIPELINES_EXECUTOR"


def build_defs(
    configs: Mapping[str, DatasetConfig],
    *,
    broken: Sequence[BrokenConfiguration] = (),
    executor: dg.ExecutorDefinition = dg.in_process_executor,
    resources: Mapping[str, Any] | None = None,
) -> dg.Definitions:
    """The code location of these datasets; ``resources`` replaces those used at run time.

    The executor is set here and not on the jobs, because materialising in the UI and backfills run
    an implicit job that knows only this one.
    """
    datasets = list(configs.values())
    with expected_warnings():
        return _definitions(datasets, broken, executor, resources)


@contextmanager
def expected_warnings() -> Iterator[None]:
    """Silence what Dagster says of the two young features in use, and nothing else.

    Backfill policies are beta. Checks by partition are a preview, and the only form in which the
    UI shows which episode broke which promise.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Parameter `backfill_policy`", dg.BetaWarning)
        warnings.filterwarnings("ignore", r"Specifying a partitions_def", dg.PreviewWarning)
        yield


def _definitions(
    datasets: Sequence[DatasetConfig],
    broken: Sequence[BrokenConfiguration],
    executor: dg.ExecutorDefinition,
    resources: Mapping[str, Any] | None,
) -> dg.Definitions:
    return dg.Definitions(
        assets=[
            *(asset for config in datasets for asset in episode_assets(config)),
            *(dataset_asset(config) for config in datasets),
            *(refused_episodes(config) for config in datasets),
            *broken_assets(broken),
        ],
        asset_checks=[dataset_checks(config) for config in datasets],
        jobs=[job for config in datasets for job in dataset_jobs(config)],
        sensors=[
            *(bucket_sensor(config) for config in datasets),
            *(dataset_sensor(config) for config in datasets),
            run_failures,
        ],
        schedules=[rescan_schedule(config) for config in datasets],
        resources=dict(resources or {"pipeline": PipelineResource.configure_at_launch()}),
        executor=executor,
    )


def chosen_executor() -> dg.ExecutorDefinition:
    """``$LEROBOT_PIPELINES_EXECUTOR``: in_process (default) or multiprocess.

    In one process a run costs a fifth of the processor time; several processes isolate the steps
    of a run from one another.
    """
    name = os.environ.get(EXECUTOR_VARIABLE) or "in_process"
    executors = {"in_process": dg.in_process_executor, "multiprocess": dg.multiprocess_executor}
    if name not in executors:
        raise ConfigError(f"{EXECUTOR_VARIABLE}={name} is none of {', '.join(executors)}")
    return executors[name]
