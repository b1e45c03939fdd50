"""``monitor``: how far the conversion is, once or for as long as somebody watches."""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lerobot_pipelines.cli import exits
from lerobot_pipelines.cli.configuration import (
    config_argument,
    json_option,
    parse_settings,
    read_config,
    set_option,
)

if TYPE_CHECKING:
    from lerobot_pipelines.pipeline.status import Status, StatusReader

HOME_VARIABLE = "DAGSTER_HOME"


@click.command(short_help="Show how far the conversion is, per source, with reasons and speed.")
@config_argument
@click.option("--watch", is_flag=True, help="Draw it again and again, until Ctrl-C.")
@click.option(
    "--interval",
    type=click.FloatRange(min=0.2),
    default=5.0,
    show_default=True,
    metavar="S",
    help="With --watch: seconds between two looks.",
)
@click.option("--prometheus", is_flag=True, help="Print the text format that Prometheus reads.")
@click.option(
    "--home",
    envvar=HOME_VARIABLE,
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help=f"Dagster's home, to count its runs as well. Default: {HOME_VARIABLE}.",
)
@set_option
@json_option
def command(
    config: str,
    watch: bool,
    interval: float,
    prometheus: bool,
    home: Path | None,
    settings: tuple[str, ...],
    as_json: bool,
) -> int:
    """Show pending, converted and refused episodes, with reasons, speed and time left.

    "stale" episodes were converted with another configuration or program, and a backfill renews
    them; of "damaged" ones the verdict cannot be read (see "repair").

    Warnings that episodes were converted with are counted by code; the UI and "convert --json" tell
    them in full.

    Everything is computed from the bucket, so it is the same from every machine, with or without
    Dagster. Only folders and verdicts are listed; "scan --full" also compares every episode's
    files with its verdict.

    \b
    Examples:
      lerobot-pipelines monitor robot.yaml --watch
      lerobot-pipelines monitor robot.yaml --json | jq .reasons
      lerobot-pipelines monitor robot.yaml --prometheus > /var/lib/node_exporter/robot.prom

    \b
    Exit codes:
      0  shown
      2  wrong usage or configuration
    """
    from lerobot_pipelines.cli.status_text import prometheus as prometheus_text
    from lerobot_pipelines.cli.status_text import status_json
    from lerobot_pipelines.cli.tables import show_json
    from lerobot_pipelines.pipeline.status import StatusReader
    from lerobot_pipelines.pipeline.workspace import open_workspace

    if watch + prometheus + as_json > 1:
        raise click.UsageError("choose one of --watch, --prometheus and --json")
    reader = StatusReader(open_workspace(read_config(config, parse_settings(settings))))
    if watch:
        _watch(reader, interval, home)
        return exits.OK
    status = reader.read(time.time_ns())
    runs = _runs(home, status.dataset)
    if as_json:
        show_json(status_json(status, runs))
    elif prometheus:
        click.echo(prometheus_text(status, runs), nl=False)
    else:
        _show(status, runs)
    return exits.OK


def _show(status: Status, runs: Counter[str] | None) -> None:
    from lerobot_pipelines.cli.status_text import (
        MOST_SHOWN,
        STATES,
        headline,
        lost_rows,
        refusal_rows,
        source_rows,
        warning_line,
    )
    from lerobot_pipelines.cli.tables import left, right, show_table

    click.echo(headline(status, runs))
    show_table([*left("source"), *right(*STATES), *left("last update")], source_rows(status))
    if (warned := warning_line(status)) is not None:
        click.echo(warned)
    if status.lost:
        show_table(left("pending", "why", "not before"), lost_rows(status))
    if status.refusals:
        show_table(left("refused", "reason", "message"), refusal_rows(status))
    if len(status.refusals) > MOST_SHOWN:
        click.echo(f"and {len(status.refusals) - MOST_SHOWN} more (see scan)")


def _watch(reader: StatusReader, interval: float, home: Path | None) -> None:
    from rich.live import Live

    from lerobot_pipelines.cli.status_text import drawn
    from lerobot_pipelines.cli.tables import console

    with Live(console=console(), auto_refresh=False) as live:
        while True:
            status = reader.read(time.time_ns())
            live.update(drawn(status, _runs(home, status.dataset)), refresh=True)
            time.sleep(interval)


def _runs(home: Path | None, dataset: str) -> Counter[str] | None:
    """Unfinished runs by state: "queued" and "running"; None without a Dagster home."""
    if home is None or not home.is_dir():
        return None
    from dagster import DagsterInstance, DagsterRunStatus

    from lerobot_pipelines.defs.runs import unfinished_runs

    os.environ.setdefault(HOME_VARIABLE, str(home))
    with DagsterInstance.from_config(str(home)) as instance:
        found = unfinished_runs(instance, dataset)
    states = Counter({"queued": 0, "running": 0})
    states.update("queued" if run.status is DagsterRunStatus.QUEUED else "running" for run in found)
    return states
