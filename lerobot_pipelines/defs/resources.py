"""What assets and sensors are handed at run time. No algorithm, no state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field

from lerobot_pipelines.config import override
from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.errors import ConfigError
from lerobot_pipelines.pipeline.workspace import Workspace, open_workspace


class PipelineResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Opens a dataset's bucket, with single keys of its configuration overridden for one run.

    In the launchpad: ``resources: {pipeline: {config: {overrides: {alignment.strategy: window}}}}``
    changes every step of that run alike. What was made so is marked with the hash of the
    overridden configuration and counts as stale beside the dataset's own.
    """

    overrides: dict[str, Any] = Field(
        default_factory=dict,
        description="Configuration keys for this run only, e.g. {'alignment.strategy': 'window'}.",
    )
    cache_dir: str | None = Field(
        default=None,
        description="Folder for temporary files of this machine; default: "
        "$LEROBOT_PIPELINES_CACHE, else the system's temporary directory.",
    )

    def workspace(self, config: DatasetConfig) -> Workspace:
        """Raises ``ConfigError`` if an override names an unknown key or a wrong value."""
        cache_dir = Path(self.cache_dir) if self.cache_dir else None
        return open_workspace(self.resolved(config), cache_dir=cache_dir)

    def resolved(self, config: DatasetConfig) -> DatasetConfig:
        """Raises ``ConfigError`` as ``workspace`` does, and for an override that leads elsewhere.

        Whoever may open the web interface may start runs; with another address of the bucket they
        could send the worker's keys there, or write into another dataset.
        """
        if not self.overrides:
            return config
        changed = override(config, self.overrides)
        if _place(changed) != _place(config):
            raise ConfigError(
                f"overrides of a run cannot change where dataset {config.dataset.name} lies or "
                f"what it is called ({', '.join(sorted(self.overrides))}); that is said in its YAML"
            )
        return changed


def _place(config: DatasetConfig) -> tuple[object, ...]:
    return config.storage, config.dataset.name, config.dataset.pattern
