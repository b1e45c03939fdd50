"""``retry``: refused episodes go back into the queue."""

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


@click.command(short_help="Queue refused episodes again.")
@config_argument
@click.argument("episodes", metavar="[EPISODE]...", nargs=-1)
@click.option("--failed", is_flag=True, help="Every episode that was refused.")
@click.option(
    "--reason", metavar="R", help="With --failed: only those refused for this reason code."
)
@set_option
@json_option
def command(
    config: str,
    episodes: tuple[str, ...],
    failed: bool,
    reason: str | None,
    settings: tuple[str, ...],
    as_json: bool,
) -> int:
    """Withdraw the refusal of episodes, so that they are tried again.

    The sensor starts one run for each at its next look, whatever was tried before; "convert" does
    it at once and without a daemon. Episodes with other content or another configuration need no
    retry: they are tried again by themselves. Converted episodes are left alone; to convert them
    anew start a backfill in the web interface.

    \b
    Examples:
      lerobot-pipelines retry robot.yaml --failed
      lerobot-pipelines retry robot.yaml --failed --reason gap
      lerobot-pipelines retry robot.yaml bottle/episode_0007 bottle/episode_0009

    \b
    Exit codes:
      0  queued
      2  wrong usage or configuration; nothing was done
      3  nothing to retry
    """
    from lerobot_pipelines.cli.tables import show_json
    from lerobot_pipelines.cli.text import counted, safe
    from lerobot_pipelines.pipeline.retries import request_retry
    from lerobot_pipelines.pipeline.workspace import open_workspace

    if failed == bool(episodes) or (reason and not failed):
        raise click.UsageError("name episodes, or give --failed (with or without --reason)")
    workspace = open_workspace(read_config(config, parse_settings(settings)))
    chosen = _refused(workspace, reason) if failed else _named(workspace, episodes)
    queued: list[str] = []
    left: list[str] = []
    for key in chosen:
        (queued if request_retry(workspace, key) else left).append(key)
    if as_json:
        show_json({"dataset": workspace.dataset, "queued": queued, "converted": left})
    else:
        for key in queued:
            click.echo(safe(key))
        click.echo(f"{counted(len(queued), 'episode')} queued", err=True)
        for key in left:
            click.echo(f"{safe(key)} is converted; left alone", err=True)
    return exits.OK if queued else exits.NOTHING


def _refused(workspace: Workspace, reason: str | None) -> list[str]:
    from lerobot_pipelines.pipeline.dataset import dataset_snapshots
    from lerobot_pipelines.pipeline.episode_state import State
    from lerobot_pipelines.pipeline.verdicts import VerdictReader, refusal_of

    outcomes = VerdictReader(workspace).read(dataset_snapshots(workspace).values())
    return [
        key
        for key, outcome in sorted(outcomes.items())
        if outcome.state.state in (State.REFUSED, State.REOPENED)
        and reason in (None, refusal_of(key, outcome.state).reason)
    ]


def _named(workspace: Workspace, episodes: tuple[str, ...]) -> list[str]:
    """The episodes that a person named, if the bucket has them all. Raises ``UsageError``."""
    from lerobot_pipelines.pipeline.discovery import list_members

    for key in episodes:
        if not list_members(workspace.storage, workspace.config, key):
            raise click.UsageError(f'there is no episode "{key}" in the bucket (see scan)')
    return list(dict.fromkeys(episodes))
