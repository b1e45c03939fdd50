"""``watch``: the service for servers; ``scanner`` and ``worker`` are what earlier systems had."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from lerobot_pipelines.cli import exits
from lerobot_pipelines.cli.configuration import (
    config_option,
    home_option,
    parse_settings,
    set_option,
)
from lerobot_pipelines.cli.text import safe

GRACE_S = 60.0

F = TypeVar("F", bound=Callable[..., Any])


def _options(function: F) -> F:
    """What ``watch``, ``scanner`` and ``worker`` have in common."""
    for add in reversed(
        [
            click.argument("configs", metavar="[CONFIG]...", nargs=-1),
            config_option,
            click.option(
                "-s",
                "--source",
                metavar="S",
                help="Only recordings of this robot (storage.sources), in every dataset.",
            ),
            click.option("--input", "input_root", metavar="ROOT", help="Folder of the recordings."),
            click.option("--output", "output_root", metavar="ROOT", help="Folder of the datasets."),
            click.option(
                "--interval",
                metavar="S",
                type=click.IntRange(min=1),
                help="Seconds between two looks into the bucket. [default: the configuration's "
                "storage.scanner.interval_s]",
            ),
            click.option(
                "--max-workers",
                metavar="N",
                type=click.IntRange(min=1),
                help="Most runs at once; kept in dagster.yaml of the home. [default: the "
                "configuration's key workers, else what is there, at first the number of cores]",
            ),
            home_option,
            click.option(
                "--grace",
                metavar="S",
                type=click.FloatRange(min=0.0),
                default=GRACE_S,
                show_default=True,
                help="When told to stop: seconds that runs under way may take to end.",
            ),
            click.option(
                "-v", "--verbose", is_flag=True, help="Show the daemon's own lines on stderr too."
            ),
            set_option,
        ]
    ):
        function = add(function)
    return function


@click.command(short_help="The service for servers: finds, converts, uploads, retries.")
@_options
@click.option("--full-scan", is_flag=True, help="First compare every episode, and print counts.")
def command(**given: Any) -> int:
    """Convert whatever arrives in the bucket, until told to stop: no web interface, no port.

    CONFIG is a YAML file (one dataset each), a folder of them, or the name of a shipped one. It is
    Dagster's daemon with the sensors and schedules of "dev", and prints a line for each step: what
    was found, files, rows, frames, bytes and seconds, and why something was refused. Refused
    episodes come back when their content or the configuration changes, or with "retry".

    SIGTERM and Ctrl-C end it in order: no new run starts, those under way have --grace seconds, and
    what is left is handed back and goes on at the next start, from the steps that remain. So it
    does after kill -9 or a power cut. A second service on the same --home waits until the first
    has ended and takes its place. A new or changed YAML is taken into use at the next start.
    deploy/systemd has a unit.

    \b
    Examples:
      lerobot-pipelines watch robot.yaml
      lerobot-pipelines watch configs/ --home /var/lib/lerobot-pipelines --max-workers 4
      lerobot-pipelines --log-file /var/log/robots.log watch -c config/storage.yaml

    \b
    Exit codes:
      0  stopped by SIGTERM or Ctrl-C
      1  the daemon ended by itself: the log's last lines are shown
      2  wrong usage or configuration; nothing was started
    """
    return _watch(**given)


@click.command(short_help='The same as "watch"; with --once a look into the bucket.')
@_options
@click.option("--once", is_flag=True, help="Look once, print counts, and end; nothing is started.")
@click.option(
    "--full-scan",
    is_flag=True,
    help="Compare the files of every episode, not only names and verdicts.",
)
def scanner(once: bool, **given: Any) -> int:
    """Find recordings in the bucket and have them converted: the same service as "watch".

    There is no queue to fill for somebody else: the service that finds an episode converts it, so
    one "watch" takes the place of a scanner and a worker; where both are started, the second one
    waits to take the first one's place. With --once the bucket is looked at, counts are printed,
    and that is all; "scan" lists the episodes.

    \b
    Examples:
      lerobot-pipelines scanner -c config/storage.yaml --once
      lerobot-pipelines scanner -c config/storage.yaml --interval 300
      lerobot-pipelines scanner --once --full-scan

    \b
    Exit codes:
      0  looked (--once), or stopped by SIGTERM or Ctrl-C
      1  the daemon ended by itself
      2  wrong usage or configuration
      3  with --once: no recording found
    """
    if once:
        return _look_once(**given)
    return _watch(**given)


@click.command(short_help='The same as "watch".')
@_options
def worker(**given: Any) -> int:
    """Convert recordings as they arrive: the same service as "watch".

    \b
    Examples:
      lerobot-pipelines worker -c config/storage.yaml
      lerobot-pipelines worker -c config/storage.yaml -s robot_1 --max-workers 4

    \b
    Exit codes:
      0  stopped by SIGTERM or Ctrl-C
      1  the daemon ended by itself
      2  wrong usage or configuration
    """
    return _watch(full_scan=False, **given)


def _watch(
    configs: tuple[str, ...],
    config_option: str | None,
    source: str | None,
    input_root: str | None,
    output_root: str | None,
    interval: int | None,
    max_workers: int | None,
    home: Path,
    grace: float,
    verbose: bool,
    settings: tuple[str, ...],
    full_scan: bool,
) -> int:
    from lerobot_pipelines.cli.services import Instance
    from lerobot_pipelines.cli.watched import counts_of, named_datasets, only_source
    from lerobot_pipelines.cli.watching import Service, say

    overrides = parse_settings(settings)
    if interval is not None:
        overrides["storage.scanner.interval_s"] = interval
    places, datasets = named_datasets(configs, config_option, overrides, input_root, output_root)
    if source is not None:
        overrides |= only_source(source, datasets)
    if full_scan:
        for config in datasets:
            say(counts_of(config, full=True)[0])
    names = ", ".join(sorted(one.dataset.name for one in datasets))
    say(f"watching {safe(names)} (Dagster's home: {safe(str(home))}; stop with Ctrl-C)")
    instance = Instance(Path(os.path.abspath(home)), tuple(places), overrides, True)
    workers = max_workers or max((one.workers or 0 for one in datasets), default=0) or None
    Service(instance, grace, workers, verbose).run()
    return exits.OK


def _look_once(
    configs: tuple[str, ...],
    config_option: str | None,
    source: str | None,
    input_root: str | None,
    output_root: str | None,
    settings: tuple[str, ...],
    full_scan: bool,
    **service: Any,
) -> int:
    """``service``: what only a service needs."""
    from lerobot_pipelines.cli.watched import counts_of, named_datasets, only_source

    overrides = parse_settings(settings)
    _, datasets = named_datasets(configs, config_option, overrides, input_root, output_root)
    found = 0
    for config in datasets:
        if source is not None and (only := only_source(source, [config])):
            from lerobot_pipelines.config import override

            config = override(config, only)
        line, episodes = counts_of(config, full=full_scan)
        click.echo(line)
        found += episodes
    if not found:
        click.echo("no recording found", err=True)
        return exits.NOTHING
    click.echo('new ones are converted by "watch" when it runs, or by "convert"', err=True)
    return exits.OK
