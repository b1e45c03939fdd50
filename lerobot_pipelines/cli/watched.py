"""Which datasets a service works with: files and folders as they were named, checked beforehand."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lerobot_pipelines.cli.configuration import config_path, known_config, read_config
from lerobot_pipelines.cli.text import safe

if TYPE_CHECKING:
    from lerobot_pipelines.config.schema import DatasetConfig


def named_datasets(
    configs: Sequence[str],
    option: str | None,
    overrides: dict[str, object],
    input_root: str | None,
    output_root: str | None,
) -> tuple[list[Path], list[DatasetConfig]]:
    """The files and folders that were named, and their datasets; ``--input`` and ``--output`` are
    added to the ``overrides``. Raises as ``datasets_of`` does."""
    places = places_named(configs, option)
    overrides |= placed(places, overrides, input_root, output_root)
    return places, datasets_of(places, overrides)


def places_named(configs: Sequence[str], option: str | None) -> list[Path]:
    """Files and folders as they were named, absolute."""
    named = [*configs, *([option] if option is not None else [])] or [known_config()]
    places = [Path(one) if Path(one).is_dir() else config_path(one) for one in named]
    return list(dict.fromkeys(Path(os.path.abspath(place)) for place in places))


def placed(
    places: Sequence[Path],
    overrides: Mapping[str, object],
    input_root: str | None,
    output_root: str | None,
) -> dict[str, object]:
    """``--input`` and ``--output`` as overrides; both lead to one dataset's bucket."""
    if input_root is None and output_root is None:
        return {}
    if len(places) != 1 or not places[0].is_file():
        raise click.UsageError("--input and --output are for one configuration")
    from lerobot_pipelines.cli.roots import read_placed

    storage = read_placed(str(places[0]), overrides, input_root, output_root).storage
    names = ("url", "raw_prefix", "converted_prefix", "work_prefix")
    return {f"storage.{name}": getattr(storage, name) for name in names}


def datasets_of(places: Sequence[Path], overrides: Mapping[str, object]) -> list[DatasetConfig]:
    """Those of files must be sound; of folders, what is faulty is named and left out.

    Raises ``ConfigError``, and ``UsageError`` for two files of one dataset and where none is left.
    """
    from lerobot_pipelines.cli.logs import log_as_configured
    from lerobot_pipelines.config import load_config
    from lerobot_pipelines.config.load import SUFFIXES, without_templates
    from lerobot_pipelines.errors import ConfigError

    found: dict[str, DatasetConfig] = {}
    owners: dict[str, Path] = {}
    for place in places:
        if place.is_file():
            config = read_config(str(place), overrides)
            _refuse_double(config, place, owners)
            found[config.dataset.name] = config
            continue
        files = [one for one in sorted(place.iterdir()) if one.suffix.lower() in SUFFIXES]
        for file in without_templates([one for one in files if not one.name.startswith(".")]):
            try:
                config = load_config(file, dict(overrides) or None)
            except ConfigError as error:
                click.echo(f"left out until repaired: {safe(error.message, lines=True)}", err=True)
                continue
            log_as_configured(config.logging)
            owners.setdefault(config.dataset.name, file)
            found.setdefault(config.dataset.name, config)
    if not found:
        raise click.UsageError("none of these is a sound configuration; see config check")
    return list(found.values())


def _refuse_double(config: DatasetConfig, place: Path, owners: dict[str, Path]) -> None:
    other = owners.setdefault(config.dataset.name, place)
    if other != place:
        raise click.UsageError(
            f"{safe(str(place))} and {safe(str(other))} both describe the dataset "
            f'"{config.dataset.name}"; name one of them, or change dataset.name'
        )


def only_source(source: str, datasets: Sequence[DatasetConfig]) -> dict[str, object]:
    """The override that limits datasets to one robot; none for "local" or "bos"."""
    from lerobot_pipelines.cli.episodes import robot_of

    robots = sorted({robot for config in datasets if (robot := robot_of(config, source))})
    return {"storage.sources": robots} if robots else {}


def counts_of(config: DatasetConfig, *, full: bool) -> tuple[str, int]:
    """A line with the episodes of a dataset by state, and how many there are."""
    from lerobot_pipelines.cli.commands.scan import episodes_now
    from lerobot_pipelines.pipeline.workspace import open_workspace

    episodes = episodes_now(open_workspace(config), full=full)
    counts = Counter(str(episode["state"]) for episode in episodes)
    told = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
    return f"{config.dataset.name}: {told or 'no recording found'}", len(episodes)
