"""Which configuration a command works with: a file or a shipped one's name, and ``--set``.

It is the first argument, or ``-c``; without either, what an environment variable names, or the
place that owners of earlier converters have theirs in.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

if TYPE_CHECKING:
    from lerobot_pipelines.config.schema import DatasetConfig

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_HOME = ".dagster_home"
CONFIG_VARIABLE = "LEROBOT_PIPELINES_CONFIG"  # as in ``config.places``
WHERE_ELSE = f"${CONFIG_VARIABLE}, else ./config/storage.yaml or ./storage.yaml"


def config_argument(function: F) -> F:
    """CONFIG as an argument, or ``-c``; the function gets its name as ``config``."""
    return _with_config(function, None)


def config_then(rest: str) -> Callable[[F], F]:
    """The same before further arguments, which the function takes as ``rest`` (a tuple).

    The first word is one of those where the configuration comes from elsewhere.
    """
    return lambda function: _with_config(function, rest)


def home_option(function: F) -> F:
    """``--home``, a path: where Dagster keeps its records of runs."""
    return click.option(
        "--home",
        metavar="FOLDER",
        type=click.Path(file_okay=False, path_type=Path),
        envvar="DAGSTER_HOME",
        default=DEFAULT_HOME,
        help=f"Dagster's own records of runs. [default: $DAGSTER_HOME, else ./{DEFAULT_HOME}]",
    )(function)


def config_option(function: F) -> F:
    """``-c`` alone, as ``config_option``."""
    return click.option(
        "-c",
        "--config",
        "config_option",
        metavar="FILE",
        help=f"The same as CONFIG. [default: {WHERE_ELSE}]",
    )(function)


def _with_config(function: F, rest: str | None) -> F:
    @functools.wraps(function)
    def call(*args: Any, config: str | None, config_option: str | None, **kwargs: Any) -> Any:
        words = [] if config is None else [config]
        if config_option is None and words and (rest is None or _is_config(words[0])):
            config_option = words.pop(0)
        if rest is not None:
            kwargs[rest] = (*words, *kwargs[rest])
        elif words:
            raise click.UsageError(
                f"CONFIG is given twice: {words[0]} and -c {config_option}; leave one out"
            )
        try:
            chosen = config_option or known_config()
        except click.UsageError:
            if not words:
                raise
            chosen = words[0]  # the message is about the word that was meant
        return function(*args, config=chosen, **kwargs)

    argument = click.argument("config", metavar="[CONFIG]", required=False)
    return cast(F, config_option(argument(call)))


def _is_config(word: str) -> bool:
    """Whether a word names a configuration, as far as that can be told; an episode is no file."""
    from lerobot_pipelines.config import shipped_configs

    if word in shipped_configs() or Path(word).suffix.lower() in (".yaml", ".yml"):
        return True
    return not _known()


def known_config() -> str:
    """The configuration that nobody needs to name. Raises ``UsageError`` if there is none."""
    if named := _known():
        return named
    raise click.UsageError(
        f"no configuration is named: give CONFIG (or -c CONFIG), set {CONFIG_VARIABLE}, or keep it "
        "in ./config/storage.yaml or ./storage.yaml; "
        "a first one: inspect RECORDING --suggest-config"
    )


def _known() -> str | None:
    from lerobot_pipelines.config import places  # costs: only when a command runs

    return places.known_config()


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


def source_option(function: F) -> F:
    return click.option(
        "-s",
        "--source",
        metavar="S",
        help="Only episodes of this robot: a folder below the raw prefix, see storage.sources.",
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
    """Load and check; raises ``ConfigError`` naming every fault. Log lines go to its file."""
    from lerobot_pipelines.cli.logs import log_as_configured
    from lerobot_pipelines.config import load_config

    config = load_config(config_path(name), dict(overrides) or None)
    log_as_configured(config.logging)
    return config


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
