"""``inspect``: what is in one recording."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lerobot_pipelines.cli import exits
from lerobot_pipelines.cli.configuration import json_option, read_config
from lerobot_pipelines.cli.text import counted, safe

if TYPE_CHECKING:
    from lerobot_pipelines.model import Recording


@click.command(short_help="Show what is in a recording: streams, rates, gaps, faults.")
@click.argument("recording", metavar="RECORDING", type=click.Path(exists=True, path_type=Path))
@click.option("--config", metavar="CONFIG", help="Read it as this configuration does.")
@click.option(
    "--gap-ms",
    type=click.FloatRange(min=0.0, min_open=True),
    help="List holes longer than this. [default: the configuration's, else 500]",
)
@click.option("--suggest-config", is_flag=True, help="Print a configuration that converts it.")
@json_option
def command(
    recording: Path, config: str | None, gap_ms: float | None, suggest_config: bool, as_json: bool
) -> int:
    """Show what is in a recording: its streams, their rates and clocks, gaps and faults.

    RECORDING is a bag (.bag, .db3 or its folder, .mcap) or an episode's folder that holds "joints"
    and "images". Without --config every stream found is listed, named after its file or topic;
    with it those that the configuration names, as it reads them. No picture is decoded.

    --suggest-config prints a YAML that converts recordings like this one: every camera, and the
    streams that look like joints, each choice with its reason; for a robot that a shipped
    configuration knows, that one. It was tried on the recording (all but the encoding), and says
    so. Read it through before use: what is measured and what is commanded is guessed from names.

    \b
    Examples:
      lerobot-pipelines inspect bucket/raw/bottle/episode_0001.bag
      lerobot-pipelines inspect recordings/bottle/episode_0001 --config my_robot.yaml
      lerobot-pipelines inspect episode_0001.bag --suggest-config > my_robot.yaml

    \b
    Exit codes:
      0  readable; what was assumed or left out is listed under warnings and notes
      1  cannot be read, or lacks what the configuration requires; nothing can be suggested, or
         what is suggested does not convert before a person has decided something
      2  wrong usage or configuration
      3  no stream found
    """
    from lerobot_pipelines.cli.inspection import describe
    from lerobot_pipelines.cli.inspection_text import print_inspection
    from lerobot_pipelines.config.schema import FilterConfig
    from lerobot_pipelines.recordings import (
        open_recording,
        report_intake,
        source_from_path,
    )

    resolved = None if config is None else read_config(config, {})
    if suggest_config and config is not None:
        raise click.UsageError("--suggest-config makes a configuration; leave --config away")
    filtering = FilterConfig() if resolved is None else resolved.filtering
    source = source_from_path(recording)
    opened = open_recording(source, resolved)
    try:
        if not opened.streams:
            _print_nothing(recording, opened)
            return exits.INCOMPLETE if suggest_config else exits.NOTHING
        if suggest_config:
            return _suggest(recording, opened)
        entries = report_intake(opened, resolved)
        document = describe(opened, entries, gap_ms or filtering.max_timestamp_gap_ms or 500.0)
    finally:
        opened.close()
    if as_json:
        from lerobot_pipelines.cli.tables import show_json

        show_json(document)
    else:
        print_inspection(document, entries)
    return exits.OK


def _suggest(path: Path, opened: Recording) -> int:
    from lerobot_pipelines.suggestions import suggest

    found = suggest(opened)
    click.echo(found.text, nl=False)
    if found.problem is not None:
        what = "is suggested, but does not convert" if found.text else "nothing can be suggested"
        click.echo(f"{safe(str(path))}: {what}: {safe(found.problem)}", err=True)
    return exits.OK if found.problem is None else exits.INCOMPLETE


def _print_nothing(path: Path, opened: Recording) -> None:
    """What the recording holds instead of pictures and numbers."""
    click.echo(f"{safe(str(path))}: no stream of pictures or numbers found", err=True)
    for name, topic in getattr(opened, "topics", {}).items():
        problem = f", {topic.problem}" if topic.problem else ""
        messages = counted(topic.count, "message")
        click.echo(f"  {safe(name)}: {safe(topic.type_name)}, {messages}{safe(problem)}", err=True)
    for fault in opened.faults:
        told = f"{fault.stream}: {fault.where}: {fault.reason}"
        times = f" ({fault.count} times)" if fault.count > 1 else ""
        click.echo(f"  {safe(told)}{times}", err=True)
