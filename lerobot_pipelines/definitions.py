"""The code location ``lerobot_pipelines``: one asset group per dataset configuration.

``LEROBOT_PIPELINES_CONFIGS`` names the folder whose YAML files are the datasets (default: those
shipped with the package), ``LEROBOT_PIPELINES_EXECUTOR`` how a run's steps are executed.
"""

from __future__ import annotations

import dagster as dg

from lerobot_pipelines.defs.assemble import (
    build_defs,
    chosen_executor,
    config_files,
    read_configs,
)

__all__ = ["build_defs", "defs"]


@dg.definitions
def defs() -> dg.Definitions:
    configs, broken = read_configs(config_files())
    return build_defs(configs, broken=broken, executor=chosen_executor())
