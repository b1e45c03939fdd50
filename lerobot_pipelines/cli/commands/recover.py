"""``recover``: after a crash or a power loss on the computer that records."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lerobot_pipelines.cli import exits
from lerobot_pipelines.cli.configuration import json_option
from lerobot_pipelines.cli.text import counted, safe

if TYPE_CHECKING:
    from lerobot_pipelines.recorder.raw_layout import Layout
    from lerobot_pipelines.recorder.recovery import Interrupted


@click.command(short_help="Bring recordings in order after a crash of the recording computer.")
@click.argument("root", metavar="ROOT", type=click.Path(path_type=Path))
@click.option(
    "--interrupted",
    type=click.Choice(["keep", "salvage", "discard"]),
    default="keep",
    show_default=True,
    help="Takes that were never ended: leave them, save what there is of them, or delete them.",
)
@click.option(
    "--layout",
    type=click.Choice(["episode", "split"]),
    default="episode",
    show_default=True,
    help="The layout that the recorder writes.",
)
@click.option(
    "--spool", type=click.Path(path_type=Path), help="The recorder's, if not ROOT/.spool."
)
@click.option("--retry-failed", is_flag=True, help="A dataset's failed episodes wait again.")
@click.option("--save", metavar="REPO_ID", help="Save what waits for a dataset, with lerobot.")
@json_option
def command(
    root: Path,
    interrupted: str,
    layout: str,
    spool: Path | None,
    retry_failed: bool,
    save: str | None,
    as_json: bool,
) -> int:
    """Finish what a recorder had taken over when it was killed, and undo what was half done.

    ROOT is the folder of an EpisodeRecorder, or a LeRobotDataset that episodes were saved to
    asynchronously. The next start of the recorder does the same; this is for looking first, for
    interrupted takes, and for datasets, which lerobot cannot open while a save is half done.

    \b
    Examples:
      lerobot-pipelines recover recordings
      lerobot-pipelines recover recordings --interrupted salvage
      lerobot-pipelines recover datasets/block --save me/block

    \b
    Exit codes:
      0  in order
      1  something could not be saved (listed)
      2  wrong usage, or a recorder is running there
      3  there is nothing to recover
    """
    from lerobot_pipelines.cli.tables import show_json
    from lerobot_pipelines.recorder import recovery
    from lerobot_pipelines.recorder.disk import SpoolInUse
    from lerobot_pipelines.recorder.spool import spool_folder

    chosen: Interrupted = "keep"
    if interrupted in ("salvage", "discard"):
        chosen = "salvage" if interrupted == "salvage" else "discard"
    try:
        if spool_folder(root).is_dir():
            report = asdict(recovery.recover_dataset(root, retry_failed=retry_failed))
            if save is not None:
                results = recovery.save_waiting(root, save)
                report["results"] = [asdict(result) for result in results]
        elif (spool or root / ".spool").is_dir():
            where: Layout = "split" if layout == "split" else "episode"
            report = asdict(
                recovery.recover_recordings(root, spool=spool, layout=where, interrupted=chosen)
            )
        else:
            click.echo(f"{safe(str(root))}: no recorder left anything here")
            return exits.NOTHING
    except SpoolInUse as error:
        raise click.UsageError(safe(str(error))) from None
    except ModuleNotFoundError as error:
        raise click.UsageError(f"--save needs lerobot beside this program: {error}") from None
    if as_json:
        show_json(report)
    else:
        for line in _lines(report):
            click.echo(f"{safe(str(root))}: {line}")
    failed = [result for result in report.get("results", ()) if not result["success"]]
    return exits.INCOMPLETE if report["failed"] or failed else exits.OK


def _lines(report: dict[str, Any]) -> list[str]:
    lines = []
    for name in ("saved", "salvaged", "discarded", "interrupted"):
        if found := report.get(name):
            lines.append(f"{counted(len(found), 'take')} {name}: {safe(', '.join(found))}")
    if "undone" in report:
        lines.append("a half save was undone" if report["undone"] else "no save was half done")
        lines.append(f"{counted(report['episodes'], 'episode')} in it, {report['waiting']} waiting")
    if report.get("removed"):
        lines.append("held nothing yet and was removed; create it again")
    if report.get("undelivered"):
        lines.append(f"{counted(report['undelivered'], 'episode')} still to be delivered")
    for result in report.get("results", ()):
        how = f"saved as {result['saved_index']}" if result["success"] else result["error"]
        lines.append(f"episode {result['episode_index']}: {safe(str(how))}")
    lines += [f"{safe(name)} failed: {safe(error)}" for name, error in report["failed"].items()]
    return lines or ["in order"]
