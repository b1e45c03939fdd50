"""``verify``: find every defect that would break loading or training."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lerobot_pipelines.cli import exits
from lerobot_pipelines.cli.configuration import json_option
from lerobot_pipelines.cli.text import counted, safe

if TYPE_CHECKING:
    from lerobot_pipelines.datasets.verify.report import Conversion

MAX_SHOWN = 50


@click.command(short_help="Find every defect of a dataset that would break loading or training.")
@click.argument("dataset", metavar="DATASET", type=click.Path(path_type=Path))
@click.option("--no-decode", is_flag=True, help="Do not decode pictures: faster, and finds less.")
@click.option("--strict", is_flag=True, help="Warnings count as defects, for the exit code.")
@json_option
def command(dataset: Path, no_decode: bool, strict: bool, as_json: bool) -> int:
    """Find every defect of a LeRobot dataset (v2.1 or v3.0) that would break loading or training.

    DATASET is the folder that holds "meta". The dataset may come from any program. Rows, videos,
    episode tables, tasks and statistics are compared with one another; nothing is changed.

    Datasets of this program tell what was in doubt when each recording was converted
    (meta/provenance.jsonl). One with such warnings is called "sound, with N warnings at
    conversion", and they are listed.

    \b
    Examples:
      lerobot-pipelines verify datasets/bottle/v3.0
      lerobot-pipelines verify datasets/bottle/v2.1 --no-decode --json

    \b
    Exit codes:
      0  sound; warnings may be listed
      1  defects, listed; with --strict also warnings
      2  not a dataset
    """
    from lerobot_pipelines.cli.tables import left, show_json, show_table
    from lerobot_pipelines.datasets.verify import verify_dataset

    with _shown_file() as progress:
        report = verify_dataset(dataset, decode=not no_decode, progress=progress)
    for finding in report.findings:
        if finding.code == "not_a_dataset":
            raise click.UsageError(f"not a LeRobot dataset: {safe(finding.message)}")
    if as_json:
        show_json(report.to_json())
    else:
        if report.findings:
            show_table(
                left("severity", "code", "where", "message"),
                [(f.severity, f.code, f.where, f.message) for f in report.findings],
            )
        if report.conversion is not None:
            _show_conversion(report.conversion)
        fmt = safe(report.format or "unknown format")
        click.echo(
            f"{safe(str(dataset))}: {report.verdict} "
            f"({fmt}, {counted(report.episodes, 'episode')}, {counted(report.frames, 'frame')})"
        )
    is_good = report.is_doubtless if strict else report.ok
    return exits.OK if is_good else exits.INCOMPLETE


def _show_conversion(conversion: Conversion) -> None:
    from lerobot_pipelines.cli.tables import left, right, show_table

    if conversion.listed:
        shown = conversion.listed[:MAX_SHOWN]
        show_table(
            [*left("warning at conversion", "recording", "stream", "message"), *right("count")],
            [
                (one.code, one.recording, one.stream or None, one.message, one.count)
                for one in shown
            ],
        )
        if (more := conversion.warnings - len(shown)) > 0:
            click.echo(f"and {counted(more, 'more warning')} at conversion")
    if conversion.unreported:
        click.echo(
            f"{counted(conversion.unreported, 'recording')} converted by an earlier version, "
            "which did not keep its warnings"
        )


@contextmanager
def _shown_file() -> Iterator[Callable[[str], None]]:
    """Names the file being read, on a terminal only: decoding a large dataset takes a while."""
    if not sys.stderr.isatty():
        yield lambda what: None
        return
    from rich.text import Text

    from lerobot_pipelines.cli.tables import console

    with console(stderr=True).status("reading") as status:
        # As Text, because a status takes markup from strings whatever its console says.
        yield lambda what: status.update(Text(safe(what)))
