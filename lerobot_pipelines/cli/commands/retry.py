"""``retry``: refused episodes go back into the queue, or are set aside."""

from __future__ import annotations

import click

from lerobot_pipelines.cli import exits
from lerobot_pipelines.cli.configuration import (
    config_then,
    json_option,
    parse_settings,
    read_config,
    set_option,
    source_option,
)


@click.command(short_help="Queue refused episodes again, or clear them from the list.")
@config_then("episodes")
@click.argument("episodes", metavar="[EPISODE]...", nargs=-1)
@click.option("--failed", is_flag=True, help="Every episode that was refused.")
@click.option(
    "--reason", metavar="R", help="With --failed: only those refused for this reason code."
)
@click.option(
    "--clear",
    is_flag=True,
    help="Set them aside instead: they are not tried again until their content changes. Without "
    "EPISODE every one that failed.",
)
@source_option
@set_option
@json_option
def command(
    config: str,
    episodes: tuple[str, ...],
    failed: bool,
    reason: str | None,
    clear: bool,
    source: str | None,
    settings: tuple[str, ...],
    as_json: bool,
) -> int:
    """Withdraw the refusal of episodes, so that they are tried again; or clear them.

    EPISODE is a key as scan names it, or its end where only one ends so. The sensor starts one run
    for each at its next look, whatever was tried before; "convert" does it at once and without a
    daemon. Episodes with other content or another configuration need no retry: they are tried again
    by themselves. Converted episodes are left alone; to convert them anew start a backfill in the
    web interface.

    With --clear they leave the list of those that failed instead, also those whose runs ended
    without a verdict. Nobody converts them as they are, whatever the configuration, until their
    content changes or "retry" names them; "monitor" counts them as cleared.

    \b
    Examples:
      lerobot-pipelines retry robot.yaml --failed
      lerobot-pipelines retry robot.yaml --failed --reason gap
      lerobot-pipelines retry robot.yaml bottle/episode_0007 episode_0009
      lerobot-pipelines retry robot.yaml --clear

    \b
    Exit codes:
      0  queued, or cleared
      2  wrong usage or configuration; nothing was done
      3  nothing to retry, or to clear
    """
    from lerobot_pipelines.cli.episodes import chosen_episodes, robot_of
    from lerobot_pipelines.cli.failed import print_changed, retry_or_clear
    from lerobot_pipelines.pipeline.clearing import failed_episodes
    from lerobot_pipelines.pipeline.workspace import open_workspace

    if failed and episodes:
        raise click.UsageError("name episodes, or give --failed (with or without --reason)")
    if not (failed or episodes or clear):
        raise click.UsageError("name episodes, or give --failed (with or without --reason)")
    if reason and episodes:
        raise click.UsageError("--reason chooses among all that failed; give it with --failed")
    workspace = open_workspace(read_config(config, parse_settings(settings)))
    robot = robot_of(workspace.config, source)
    if episodes:
        chosen = chosen_episodes(workspace, episodes, robot)
    else:
        chosen = [
            key
            for key in failed_episodes(workspace, reason)
            if robot is None or key.startswith(f"{robot}/")
        ]
    changed = retry_or_clear(workspace, chosen, clear=clear)
    print_changed(changed, as_json=as_json)
    return exits.OK if changed.done else exits.NOTHING
