"""Which configuration a command works with: a file or a shipped one's name, and ``--set``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from lerobot_pipelines.config.schema import DatasetConfig

F = TypeVar("F", bound=Callable[..., Any])

CONFIG_HELP = "CONFIG is a YAML file or the name of a shipped one (see config list)."


def config_argument(function: F) -> F:
    return click.argument("config", metavar="CONFIG")(function)


def set_option(function: F) -> F:
    return click.option(
        "--set",
        "settings",
        metavar="KEY=VALUE",
        multiple=True,
        help="Override one key, e.g. --set video.crf=28 or --set dataset.formats=[v2.1]. "
        "May be given several times.",
    )(function)


def json_option(function: F) -> F:
    return click.option(
        "--json", "as_json", is_flag=True, help="Print one JSON document on stdout instead."
    )(function)


def allow_removal_option(function: F) -> F:
    return click.option(
        "--allow-removal",
        is_flag=True,
        help="Let episodes leave the dataset that are refused or unlike it now, however many.",
    )(function)


def config_path(name: str) -> Path:
    """The file that ``name`` is or stands for. Raises ``UsageError`` (exit code 2)."""
    path = Path(name)
    if path.is_file():
        return path
    from lerobot_pipelines.config import shipped_configs

    shipped = shipped_configs()
    if name in shipped:
        return shipped[name]
    raise click.UsageError(
        f'there is no file "{name}", and no shipped configuration of that name; '
        f"shipped are {', '.join(sorted(shipped))}"
    )


def read_config(name: str, overrides: Mapping[str, object]) -> DatasetConfig:
    """Load and check; raises ``ConfigError`` naming every fault."""
    from lerobot_pipelines.config import load_config

    return load_config(config_path(name), dict(overrides) or None)


def parse_settings(settings: Sequence[str]) -> dict[str, object]:
    """``["video.crf=28"]`` as ``{"video.crf": 28}``; values are YAML. Raises ``UsageError``."""
    from lerobot_pipelines.config.yaml_source import parse_scalar

    overrides: dict[str, object] = {}
    for setting in settings:
        key, separator, value = setting.partition("=")
        if not separator or not key.strip():
            raise click.UsageError(f'{setting}: expected KEY=VALUE, e.g. "video.crf=28"')
        try:
            overrides[key.strip()] = parse_scalar(value)
        except ValueError as error:
            raise click.UsageError(f"{setting}: {error}") from error
    return overrides
