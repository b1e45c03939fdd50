"""Where a configuration is that nobody names: an environment variable, or a place of habit."""

from __future__ import annotations

import os
from pathlib import Path

from lerobot_pipelines.config.load import load_config, shipped_configs
from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.errors import ConfigError

CONFIG_VARIABLE = "LEROBOT_PIPELINES_CONFIG"
# Where owners of earlier converters have theirs, from the working directory.
KNOWN_PLACES = (Path("config/storage.yaml"), Path("storage.yaml"))


def known_config() -> str | None:
    """What the environment variable names, else the first of the known places that is a file."""
    if named := os.environ.get(CONFIG_VARIABLE):
        return named
    return next((str(place) for place in KNOWN_PLACES if place.is_file()), None)


def config_of(named: DatasetConfig | str | Path) -> DatasetConfig:
    """A configuration, its file, or the name of a shipped one. Raises ``ConfigError``."""
    if isinstance(named, DatasetConfig):
        return named
    return load_config(shipped_configs().get(str(named), Path(named)))


def chosen_config(named: DatasetConfig | str | Path | None) -> DatasetConfig:
    """The one that is named, else the known one. Raises ``ConfigError``, also if there is none."""
    chosen = named if named is not None else known_config()
    if chosen is None:
        places = " or ".join(f"./{place.as_posix()}" for place in KNOWN_PLACES)
        raise ConfigError(
            f"no configuration is named: give config, set {CONFIG_VARIABLE}, or keep it in {places}"
        )
    return config_of(chosen)
