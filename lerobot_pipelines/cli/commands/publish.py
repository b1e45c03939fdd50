"""``publish``: what the acquisition program runs when an episode is recorded."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from lerobot_pipelines.cli import exits
from lerobot_pipelines.cli.configuration import (
    config_argument,
    json_option,
    parse_settings,
    read_config,
    set_option,
)


@click.command(short_help="Upload a recording into the bucket, marked complete at the end.")
@config_argument
@click.argument("recording", metavar="RECORDING", type=click.Path(path_type=Path))
@click.option(
    "--episode",
    "episode_id",
    metavar="ID",
    help="Its name in the bucket, such as bottle/episode_0042. Default: as the recording is named.",
)
@click.option(
    "--source",
    metavar="S",
    envvar="ROBOT_ID",
    help="The robot: a folder below the raw prefix. Default: the environment variable ROBOT_ID.",
)
@click.option("--strategy", metavar="S", help="Another alignment strategy, for this episode alone.")
@click.option("--task", metavar="T", help="What the robot does, for this episode alone.")
@set_option
@json_option
def command(
    config: str,
    recording: Path,
    episode_id: str | None,
    source: str | None,
    strategy: str | None,
    task: str | None,
    settings: tuple[str, ...],
    as_json: bool,
) -> int:
    """Upload a recording into the bucket of CONFIG; the marker that it is complete comes last.

    RECORDING is a bag, or a folder with joints and images in either layout. The command can be
    repeated after any fault: what is there already, byte for byte, is not sent again. Publishing
    other content under the same name replaces the episode, and it is converted again.

    \b
    Examples:
      lerobot-pipelines publish robot.yaml recordings/bottle/episode_0042
      ROBOT_ID=robot_1 lerobot-pipelines publish robot.yaml take_7.bag --episode bottle/take_7
      lerobot-pipelines publish robot.yaml take_8.bag --strategy window --task "pick up the cup"

    \b
    Exit codes:
      0  it is in the bucket
      1  it is not: the recording cannot be used, or the store failed; nothing half-done is taken
      2  wrong usage or configuration
    """
    from lerobot_pipelines.cli.tables import show_json
    from lerobot_pipelines.cli.text import counted, safe
    from lerobot_pipelines.recorder import publish_episode
    from lerobot_pipelines.recordings.local_source import source_from_path

    published = publish_episode(
        episode_id or source_from_path(recording).key,
        recording,
        config=read_config(config, parse_settings(settings)),
        source=source,
        strategy=strategy,
        task=task,
    )
    if as_json:
        show_json(asdict(published))
    else:
        sent = f"{counted(published.uploaded, 'file')} uploaded, {published.skipped} were there"
        click.echo(safe(f"{published.uri}: {sent}, {published.bytes} bytes altogether"))
    return exits.OK
