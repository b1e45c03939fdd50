"""``remove``: an episode leaves the dataset because a person says so."""

from __future__ import annotations

import click

from lerobot_pipelines.cli import exits
from lerobot_pipelines.cli.configuration import (
    config_then,
    json_option,
    parse_settings,
    set_option,
)


@click.command(short_help="Take episodes out of the dataset on purpose.")
@config_then("episodes")
@click.argument("episodes", metavar="EPISODE...", nargs=-1)
@click.option("--dry-run", is_flag=True, help="Only say what would leave the dataset.")
@click.option("--input", "input_root", metavar="ROOT", help="Folder that holds the recordings.")
@click.option("--output", "output_root", metavar="ROOT", help="Folder of the datasets.")
@set_option
@json_option
def command(
    config: str,
    episodes: tuple[str, ...],
    dry_run: bool,
    input_root: str | None,
    output_root: str | None,
    settings: tuple[str, ...],
    as_json: bool,
) -> int:
    """Take episodes out of the dataset, and keep them out as they are now.

    EPISODE is a key as scan names it, or its end where only one ends so. Recordings stay where they
    are; one that is recorded anew under the same key is converted again, and "retry" brings an
    episode back as it was. Nothing else that goes missing takes an episode out of a dataset:
    neither its recording, nor a file below the work folder.

    \b
    Examples:
      lerobot-pipelines remove my_robot.yaml bottle/episode_0007
      lerobot-pipelines remove my_robot.yaml bottle/episode_0007 bottle/episode_0009 --dry-run

    \b
    Exit codes:
      0  done
      2  wrong usage or configuration, or no such episode; nothing was done
    """
    from lerobot_pipelines.cli.departures import print_departures
    from lerobot_pipelines.cli.episodes import chosen_episodes
    from lerobot_pipelines.cli.roots import read_placed
    from lerobot_pipelines.cli.tables import show_json
    from lerobot_pipelines.cli.text import counted
    from lerobot_pipelines.pipeline.convert import bring_up_to_date
    from lerobot_pipelines.pipeline.withdrawing import take_out
    from lerobot_pipelines.pipeline.workspace import open_workspace

    if not episodes:
        raise click.UsageError("name the episodes to take out: CONFIG EPISODE...")
    resolved = read_placed(config, parse_settings(settings), input_root, output_root)
    workspace = open_workspace(resolved)
    chosen = chosen_episodes(workspace, episodes)
    if dry_run:
        if as_json:
            show_json({"dataset": workspace.dataset, "dry_run": True, "removed": chosen})
        else:
            click.echo(f"{counted(len(chosen), 'episode')} would leave the dataset")
        return exits.OK
    for key in chosen:
        take_out(workspace, key)
    updates = bring_up_to_date(workspace)
    if as_json:
        removed = sorted({key for update in updates for key in update.removed})
        show_json({"dataset": workspace.dataset, "dry_run": False, "removed": removed})
    else:
        print_departures(updates)
        for update in updates:
            click.echo(f"dataset {update.format}: {counted(update.episodes, 'episode')}")
    return exits.OK
