"""``dev``: Dagster's web interface and daemon together, until Ctrl-C."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import click

from lerobot_pipelines.cli import exits
from lerobot_pipelines.cli.configuration import home_option
from lerobot_pipelines.cli.text import safe

_POLL_S = 0.5


@click.command(short_help="Run Dagster's web interface and daemon until Ctrl-C.")
@click.option(
    "--configs",
    metavar="FOLDER",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    envvar="LEROBOT_PIPELINES_CONFIGS",
    help="Folder of dataset YAMLs. [default: $LEROBOT_PIPELINES_CONFIGS, else the shipped ones]",
)
@home_option
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=3000,
    show_default=True,
    help="Of the web interface; 0 takes a free one.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="0.0.0.0 opens it to others.")
def command(configs: Path | None, home: Path, port: int, host: str) -> int:
    """Run Dagster's web interface and daemon together, until Ctrl-C.

    Every YAML in the configs folder is one dataset. Its sensor watches the bucket, converts each
    recording that arrives and adds it to the dataset; the web interface shows all of it. A faulty
    YAML is named, here and in the interface, and stops no other dataset. The interface has no
    login: whoever reaches the port can start runs.

    \b
    Examples:
      lerobot-pipelines dev --configs configs
      lerobot-pipelines dev --configs lerobot-pipelines-demo/configs \\
          --home lerobot-pipelines-demo/dagster_home --port 3001

    \b
    Exit codes:
      0  stopped by Ctrl-C or SIGTERM
      1  one of the two ended by itself, or did not get ready: the log's last lines are shown
      2  the port is taken, or the folder holds no configuration
    """
    from lerobot_pipelines.cli.home_lock import perhaps_alone
    from lerobot_pipelines.cli.processes import Children, interruptible
    from lerobot_pipelines.cli.services import Instance, free_port, ui_url, wait_for_ui

    folder = shipped_folder() if configs is None else configs
    warn_of_faults(folder)
    port = free_port(host, port)
    instance = Instance(Path(os.path.abspath(home)), Path(os.path.abspath(folder)))
    instance.prepare()
    url = ui_url(host, port)
    try:
        with interruptible(), perhaps_alone(instance.home) as owner, Children() as children:
            webserver = instance.start_webserver(children, host, port, _prefixed("webserver"))
            if owner is None:
                instance.start_daemon(children, _prefixed("daemon"))
            else:
                click.echo(f"{owner} converts with this home: the web interface alone is started")
            wait_for_ui(children, webserver, url)
            click.echo(f"Dagster is at {url} (stop with Ctrl-C)")
            while True:
                children.check()
                time.sleep(_POLL_S)
    except KeyboardInterrupt:
        click.echo("stopped")
    return exits.OK


def _prefixed(name: str) -> Callable[[str], None]:
    return lambda line: click.echo(f"{name:<9} | {line}", err=True)


def shipped_folder() -> Path:
    """The folder of the shipped configurations."""
    from lerobot_pipelines.config import shipped_configs

    return next(iter(shipped_configs().values())).parent


def warn_of_faults(folder: Path) -> None:
    """Name faulty YAMLs, which do not keep the other datasets from working.

    Raises ``UsageError`` for a folder without any.
    """
    from lerobot_pipelines.config import load_configs
    from lerobot_pipelines.errors import ConfigError

    try:
        configs = load_configs(folder)
    except ConfigError as error:
        click.echo(f"left out until repaired: {safe(error.message, lines=True)}", err=True)
        return
    if not configs:
        raise click.UsageError(f"{safe(str(folder))} holds no YAML file; see config list")
