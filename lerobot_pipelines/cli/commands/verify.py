"""``verify``: find every defect that would break loading or training."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from lerobot_pipelines.cli import exits
from lerobot_pipelines.cli.configuration import json_option
from lerobot_pipelines.cli.text import counted, safe


@click.command(short_help="Find every defect of a dataset that would break loading or training.")
@click.argument("dataset", metavar="DATASET", type=click.Path(path_type=Path))
@click.option("--no-decode", is_flag=True, help="Do not decode pictures: faster, and finds less.")
@json_option
def command(dataset: Path, no_decode: bool, as_json: bool) -> int:
    """Find every defect of a LeRobot dataset (v2.1 or v3.0) that would break loading or training.

    DATASET is the folder that holds "meta". The dataset may come from any program. Rows, videos,
    episode tables, tasks and statistics are compared with one another; nothing is changed.

    \b
    Examples:
      lerobot-pipelines verify datasets/bottle/v3.0
      lerobot-pipelines verify datasets/bottle/v2.1 --no-decode --json

    \b
    Exit codes:
      0  sound
      1  defects, listed
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
        verdict = "sound" if report.ok else "defective"
        fmt = safe(report.format or "unknown format")
        click.echo(
            f"{safe(str(dataset))}: {verdict} "
            f"({fmt}, {counted(report.episodes, 'episode')}, {counted(report.frames, 'frame')})"
        )
    return exits.OK if report.ok else exits.INCOMPLETE


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
