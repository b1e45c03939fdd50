"""``config``: check, show and explain configurations."""

from __future__ import annotations

from pathlib import Path

import click

from lerobot_pipelines.cli import exits
from lerobot_pipelines.cli.commands.config_migrate import migrate
from lerobot_pipelines.cli.configuration import (
    config_argument,
    config_path,
    json_option,
    parse_settings,
    read_config,
    set_option,
)
from lerobot_pipelines.cli.text import safe


@click.group(name="config", short_help="Check, show and explain configurations.")
def command() -> None:
    """Check, show and explain the YAML files that describe a dataset each.

    \b
    Examples:
      lerobot-pipelines config list
      lerobot-pipelines config check my_robot.yaml
      lerobot-pipelines config show my_robot.yaml --set alignment.strategy=window
      lerobot-pipelines config migrate config/storage.yaml -o robot.yaml
    """


@command.command(short_help="Say whether files are sound, naming every fault.")
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@json_option
def check(files: tuple[str, ...], as_json: bool) -> int:
    """Say whether configurations are sound. Nothing is converted and no bucket is asked.

    FILE is a YAML file, a folder of them, or the name of a shipped one. Every fault is listed with
    its line and what to write instead.

    \b
    Examples:
      lerobot-pipelines config check my_robot.yaml
      lerobot-pipelines config check configs/

    \b
    Exit codes:
      0  all are sound
      2  at least one is not
    """
    from lerobot_pipelines.cli.tables import show_json
    from lerobot_pipelines.config import load_config, load_configs
    from lerobot_pipelines.errors import ConfigError

    faults: dict[str, str | None] = {}
    for file in files:
        try:
            faults[file] = None
            if not Path(file).is_dir():
                load_config(config_path(file))
            elif not load_configs(Path(file)):
                faults[file] = f"{file} holds no YAML file"
        except ConfigError as error:
            faults[file] = error.message
        except click.UsageError as error:
            faults[file] = error.format_message()
    sound = not any(faults.values())
    if as_json:
        show_json({"ok": sound, "faults": {file: fault or None for file, fault in faults.items()}})
    else:
        for file, fault in faults.items():
            if fault is None:
                click.echo(f"{safe(file)}: OK")
            else:
                click.echo(safe(fault, lines=True), err=True)
    return exits.OK if sound else exits.USAGE


@command.command(short_help="Print a configuration with every default filled in.")
@config_argument
@set_option
@json_option
def show(config: str, settings: tuple[str, ...], as_json: bool) -> int:
    """Print a configuration as it is understood: defaults filled in, shorthand expanded.

    CONFIG is a YAML file or the name of a shipped one. The output is a configuration itself.

    \b
    Examples:
      lerobot-pipelines config show my_robot.yaml
      lerobot-pipelines config show my_robot.yaml --set video.crf=28 > other.yaml

    \b
    Exit codes:
      0  printed
      2  the configuration, or a --set, is wrong: every fault is listed
    """
    from lerobot_pipelines.cli.tables import show_json
    from lerobot_pipelines.config import dump_config

    resolved = read_config(config, parse_settings(settings))
    if as_json:
        show_json(resolved.model_dump(mode="json"))
    else:
        click.echo(dump_config(resolved), nl=False)
    return exits.OK


@command.command(name="list", short_help="List the shipped configurations.")
@json_option
def list_(as_json: bool) -> int:
    """List the shipped configurations: copy one, and change what differs on your robot.

    \b
    Example:
      cp "$(lerobot-pipelines config list --json | jq -r .demo)" my_robot.yaml
    """
    from lerobot_pipelines.cli.tables import left, show_json, show_table
    from lerobot_pipelines.config import shipped_configs

    shipped = {name: str(path) for name, path in sorted(shipped_configs().items())}
    if as_json:
        show_json(shipped)
    else:
        show_table(left("name", "file"), list(shipped.items()))
    return exits.OK


@command.command(short_help="Explain every key: type, default, meaning.")
def reference() -> int:
    """Explain every key of a configuration, as Markdown: its type, its default and what it does.

    \b
    Example:
      lerobot-pipelines config reference | less
    """
    from lerobot_pipelines.config.reference import reference_markdown

    click.echo(reference_markdown().rstrip())
    return exits.OK


command.add_command(migrate)
