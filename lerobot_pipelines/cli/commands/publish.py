"""``publish``: what the acquisition program runs when an episode is recorded."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lerobot_pipelines.cli import exits
from lerobot_pipelines.cli.configuration import (
    config_path,
    config_then,
    json_option,
    parse_settings,
    read_config,
    set_option,
)

if TYPE_CHECKING:
    from lerobot_pipelines.config.schema import DatasetConfig


@click.command(short_help="Upload a recording into the bucket, marked complete at the end.")
@config_then("recordings")
@click.argument("recordings", metavar="[RECORDING]", nargs=-1)
@click.option(
    "-e",
    "--episode",
    "--episode-id",
    "episode_id",
    metavar="ID",
    help="Its name in the bucket, such as bottle/episode_0042. Default: as the recording is named.",
)
@click.option(
    "-s",
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
    recordings: tuple[str, ...],
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

    Without RECORDING the episode --episode lies in the bucket already, and is handed over for
    conversion: --strategy and --task become settings of its own, and where it was refused it is
    tried again. The end of its name is enough where only one episode ends so. "watch" converts it,
    or "convert".

    \b
    Examples:
      lerobot-pipelines publish robot.yaml recordings/bottle/episode_0042
      ROBOT_ID=robot_1 lerobot-pipelines publish robot.yaml take_7.bag --episode bottle/take_7
      lerobot-pipelines publish robot.yaml take_8.bag --strategy window --task "pick up the cup"
      lerobot-pipelines publish -c config/storage.yaml -e episode_0001 -s local --strategy chunking

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

    if len(recordings) > 1:
        raise click.UsageError(f"one recording at a time; also named: {safe(recordings[1])}")
    resolved = read_config(config, parse_settings(settings))
    if not recordings:
        if episode_id is None:
            raise click.UsageError("name the RECORDING to upload, or with -e one in the bucket")
        file = config_path(config)
        return _hand_over(resolved, file, episode_id, source, strategy, task, as_json=as_json)
    recording = Path(recordings[0])
    published = publish_episode(
        episode_id or source_from_path(recording).key,
        recording,
        config=resolved,
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


def _hand_over(
    config: DatasetConfig,
    file: Path,
    episode_id: str,
    source: str | None,
    strategy: str | None,
    task: str | None,
    *,
    as_json: bool,
) -> int:
    """Of an episode that is in the bucket."""
    from lerobot_pipelines.cli.episodes import chosen_episodes, robot_of
    from lerobot_pipelines.cli.local_recordings import instead_of_handing_over
    from lerobot_pipelines.cli.tables import show_json
    from lerobot_pipelines.cli.text import safe
    from lerobot_pipelines.pipeline.workspace import open_workspace
    from lerobot_pipelines.recorder.announce import announce_episode

    robot = robot_of(config, source)
    try:
        (key,) = chosen_episodes(open_workspace(config), [episode_id], robot)
    except click.UsageError as error:
        if (instead := instead_of_handing_over(file, episode_id, strategy)) is None:
            raise
        raise click.UsageError(f"{error.format_message()}; {instead}") from error
    announced = announce_episode(config, key, strategy=strategy, task=task)
    if as_json:
        show_json(asdict(announced))
        return exits.OK
    what = "its settings are new" if announced.changed else "its settings stay"
    retried = ", it is tried again" if announced.retried else ""
    click.echo(safe(f"{announced.uri}: in the bucket, {what}{retried}"))
    return exits.OK
