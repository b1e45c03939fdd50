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
    from lerobot_pipelines.pipeline.workspace import Workspace

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
@click.option(
    "--refresh",
    type=click.FloatRange(min=0.2),
    metavar="S",
    help="The same as --watch --interval S.",
)
@click.option(
    "-v",
    "--verbose",
    is_flag=True,
    help="Name every refused, cleared and pending episode, not only the newest refused ones.",
)
@click.option(
    "--retry-failed", is_flag=True, help="Before that, try every failed episode again (see retry)."
)
@click.option(
    "--clear-failed",
    is_flag=True,
    help="Before that, set every failed episode aside until its content changes (retry --clear).",
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
    refresh: float | None,
    verbose: bool,
    retry_failed: bool,
    clear_failed: bool,
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
      lerobot-pipelines monitor -c robot.yaml --refresh 10 -v
      lerobot-pipelines monitor robot.yaml --clear-failed
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

    if refresh is not None:
        watch, interval = True, refresh
    if watch + prometheus + as_json > 1:
        raise click.UsageError("choose one of --watch (--refresh), --prometheus and --json")
    if retry_failed and clear_failed:
        raise click.UsageError("--retry-failed and --clear-failed exclude each other")
    workspace = open_workspace(read_config(config, parse_settings(settings)))
    if retry_failed or clear_failed:
        _change_failed(workspace, clear=clear_failed)
    reader = StatusReader(workspace)
    if watch:
        _watch(reader, interval, home, verbose=verbose)
        return exits.OK
    status = reader.read(time.time_ns())
    runs = _runs(home, status.dataset)
    if as_json:
        show_json(status_json(status, runs))
    elif prometheus:
        click.echo(prometheus_text(status, runs), nl=False)
    else:
        _show(status, runs, verbose=verbose)
    return exits.OK


def _change_failed(workspace: Workspace, *, clear: bool) -> None:
    """On stderr: stdout is the status, for programs too."""
    from lerobot_pipelines.cli.failed import retry_or_clear
    from lerobot_pipelines.cli.text import counted, safe
    from lerobot_pipelines.pipeline.clearing import failed_episodes

    changed = retry_or_clear(workspace, failed_episodes(workspace), clear=clear)
    for key in changed.done:
        click.echo(f"{changed.what}: {safe(key)}", err=True)
    click.echo(f"{counted(len(changed.done), 'failed episode')} {changed.what}", err=True)


def _show(status: Status, runs: Counter[str] | None, *, verbose: bool) -> None:
    from lerobot_pipelines.cli.status_text import (
        MOST_SHOWN,
        cleared_line,
        headline,
        lost_rows,
        named_rows,
        refusal_rows,
        shown_states,
        source_rows,
        warning_line,
    )
    from lerobot_pipelines.cli.tables import left, right, show_table

    click.echo(headline(status, runs))
    columns = [*left("source"), *right(*shown_states(status)), *left("last update")]
    show_table(columns, source_rows(status))
    if (warned := warning_line(status)) is not None:
        click.echo(warned)
    if (told := cleared_line(status)) is not None:
        click.echo(told)
    if verbose and (named := named_rows(status)):
        show_table(left("episode", "state", "why"), named)
        return
    if status.lost:
        show_table(left("pending", "why", "not before"), lost_rows(status))
    if status.refusals:
        show_table(left("refused", "reason", "message"), refusal_rows(status))
    if len(status.refusals) > MOST_SHOWN:
        click.echo(f"and {len(status.refusals) - MOST_SHOWN} more (see scan)")


def _watch(
    reader: StatusReader, interval: float, home: Path | None, *, verbose: bool = False
) -> None:
    from rich.live import Live

    from lerobot_pipelines.cli.status_text import drawn
    from lerobot_pipelines.cli.tables import console

    with Live(console=console(), auto_refresh=False) as live:
        while True:
            status = reader.read(time.time_ns())
            runs = _runs(home, status.dataset)
            live.update(drawn(status, runs, verbose=verbose), refresh=True)
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
