"""``clean``: remove from the bucket what nobody needs any more."""

from __future__ import annotations

from collections import Counter

import click

from lerobot_pipelines.cli import exits
from lerobot_pipelines.cli.configuration import (
    config_argument,
    json_option,
    parse_settings,
    read_config,
    set_option,
)


@click.command(short_help="Remove from the bucket what nobody needs any more.")
@config_argument
@click.option("--dry-run", is_flag=True, help="Only list what would be removed.")
@set_option
@json_option
def command(config: str, dry_run: bool, settings: tuple[str, ...], as_json: bool) -> int:
    """Remove artifacts of refused episodes and of recordings that were deleted, videos of earlier
    attempts, and remains of broken uploads, each after the days that storage.lifecycle gives.

    Recordings, datasets, and all that a dataset may need to be rewritten stay. The rescan schedule
    does the same by itself, some seconds at a time.

    \b
    Examples:
      lerobot-pipelines clean my_robot.yaml --dry-run
      lerobot-pipelines clean my_robot.yaml --set storage.lifecycle.refused_days=1

    \b
    Exit codes:
      0  done, also where there was nothing to remove
      2  wrong usage or configuration
    """
    from lerobot_pipelines.cli.tables import show_json
    from lerobot_pipelines.cli.text import counted, safe
    from lerobot_pipelines.pipeline.lifecycle import clean_up
    from lerobot_pipelines.pipeline.workspace import open_workspace

    workspace = open_workspace(read_config(config, parse_settings(settings)))
    counts: Counter[str] = Counter()
    removed = []
    for removal in clean_up(workspace, dry_run=dry_run):
        counts[str(removal.kind)] += 1
        removed.append(removal)
        if not as_json:
            click.echo(f"{removal.kind:10} {removal.age_days:6.0f} days  {safe(removal.key)}")
    total = sum(one.size for one in removed)
    if as_json:
        fields = ("kind", "key", "size", "age_days")
        rows = [{field: getattr(one, field) for field in fields} for one in removed]
        show_json({"dataset": workspace.dataset, "dry_run": dry_run, "objects": rows})
        return exits.OK
    what = "would be removed" if dry_run else "removed"
    click.echo(f"{counted(len(removed), 'object')} {what}, {total / 1e6:.1f} MB", err=True)
    return exits.OK
