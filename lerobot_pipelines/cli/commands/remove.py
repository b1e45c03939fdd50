"""``remove``: an episode leaves the dataset because a person says so."""

from __future__ import annotations

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
    from lerobot_pipelines.pipeline.workspace import Workspace


@click.command(short_help="Take episodes out of the dataset on purpose.")
@config_argument
@click.argument("episodes", metavar="EPISODE...", nargs=-1, required=True)
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

    EPISODE is a key as scan names it. Recordings stay where they are; one that is recorded anew
    under the same key is converted again, and "retry" brings an episode back as it was. Nothing
    else that goes missing takes an episode out of a dataset: neither its recording, nor a file
    below the work folder.

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
    from lerobot_pipelines.cli.roots import place
    from lerobot_pipelines.cli.tables import show_json
    from lerobot_pipelines.cli.text import counted, safe
    from lerobot_pipelines.pipeline.convert import bring_up_to_date
    from lerobot_pipelines.pipeline.withdrawing import take_out
    from lerobot_pipelines.pipeline.workspace import open_workspace

    resolved = place(read_config(config, parse_settings(settings)), input_root, output_root)
    workspace = open_workspace(resolved)
    chosen = list(dict.fromkeys(episodes))
    if missing := [key for key in chosen if not _is_known(workspace, key)]:
        raise click.UsageError(f"there is no episode {safe(', '.join(missing))} (see scan)")
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


def _is_known(workspace: Workspace, key: str) -> bool:
    """Whether there is a recording of that name, or a record."""
    from lerobot_pipelines.pipeline.artifacts import episode_keys
    from lerobot_pipelines.pipeline.dataset import dataset_snapshots
    from lerobot_pipelines.pipeline.discovery import list_members

    if list_members(workspace.storage, workspace.config, key):
        return True
    if workspace.storage.head(episode_keys(workspace, key).record) is not None:
        return True
    snapshots = dataset_snapshots(workspace).values()
    return any(member.key == key for snapshot in snapshots for member in snapshot.members)
