"""``repair``: what went missing or was changed by hand is made again."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from lerobot_pipelines.cli import exits
from lerobot_pipelines.cli.configuration import (
    config_argument,
    json_option,
    parse_settings,
    set_option,
)

if TYPE_CHECKING:
    from lerobot_pipelines.pipeline.repair import Repair


@click.command(short_help="Mend artifacts and dataset files that are missing or were changed.")
@config_argument
@click.option("--dry-run", is_flag=True, help="Only list what is missing or broken.")
@click.option("--input", "input_root", metavar="ROOT", help="Folder that holds the recordings.")
@click.option("--output", "output_root", metavar="ROOT", help="Folder of the datasets.")
@set_option
@json_option
def command(
    config: str,
    dry_run: bool,
    input_root: str | None,
    output_root: str | None,
    settings: tuple[str, ...],
    as_json: bool,
) -> int:
    """Mend what is missing or broken below the work folder and in the datasets.

    Every artifact, record and file of a dataset is looked for with the size and ETag that it was
    written with, in listings; contents are read only of what differs. What is wrong is made again
    by the cheapest way: a record from the other artifacts, a video from the copy in the dataset or
    else from the recording, a dataset's file from the artifacts. Nothing else is written, and the
    repaired dataset is the one that was there. Sensor, rescan and "convert" notice the same and
    mend it in their time; this does it now. Pictures and rows that are the wrong ones although
    nobody changed the files are for "verify" to find.

    An episode whose recording is gone as well cannot always be mended: it is listed, and stays in
    the dataset as far as that holds it.

    \b
    Examples:
      lerobot-pipelines repair my_robot.yaml --dry-run
      lerobot-pipelines repair my_robot.yaml
      lerobot-pipelines repair my_robot.yaml --input recordings --output datasets

    \b
    Exit codes:
      0  all is in order, or is again
      1  damages are listed that could not be mended, or with --dry-run any
      2  wrong usage or configuration
    """
    from lerobot_pipelines.cli.departures import print_departures
    from lerobot_pipelines.cli.roots import read_placed
    from lerobot_pipelines.cli.tables import show_json
    from lerobot_pipelines.cli.text import counted
    from lerobot_pipelines.pipeline.repair import RepairSummary, find_damages, repair
    from lerobot_pipelines.pipeline.workspace import open_workspace

    resolved = read_placed(config, parse_settings(settings), input_root, output_root)
    workspace = open_workspace(resolved)
    summary = RepairSummary(find_damages(workspace)) if dry_run else repair(workspace)
    if as_json:
        repairs = [asdict(one) for one in summary.repairs]
        show_json({"dataset": workspace.dataset, "dry_run": dry_run, "repairs": repairs})
    else:
        for one in summary.repairs:
            click.echo(_line(one, dry_run=dry_run))
        print_departures(summary.updates)
        mended = sum(one.is_mended for one in summary.repairs)
        found = counted(len(summary.repairs), "damage")
        click.echo(f"{found} found" if dry_run else f"{found} found, {mended} mended", err=True)
    return exits.OK if summary.ok else exits.INCOMPLETE


def _line(one: Repair, *, dry_run: bool) -> str:
    from lerobot_pipelines.cli.text import safe

    text = f"{one.kind:8} {safe(one.where)}: {safe(one.fault)}"
    if dry_run:
        return text
    return f"{text}: {'mended' if one.is_mended else 'NOT mended'}, {safe(one.outcome)}"
