"""What the conversion of our own datasets had to say: ``meta/provenance.jsonl``, where it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from lerobot_pipelines.datasets.provenance import PROVENANCE_PATH, ProvenanceLine
from lerobot_pipelines.datasets.verify.report import Conversion, Doubt, Findings
from lerobot_pipelines.datasets.verify.view import DatasetView

MAX_LINE_BYTES = 1024**2
MAX_LISTED = 1000


def read_conversion(view: DatasetView, findings: Findings) -> Conversion | None:
    """None for a dataset without the file, and for one whose file is not to be trusted."""
    path = view.root / PROVENANCE_PATH
    if not path.is_file():
        return None
    try:
        lines = list(_lines(path))
    except (ValueError, OSError) as error:
        findings.warning("bad_provenance", PROVENANCE_PATH, f"cannot be read: {error}")
        return None
    expected = 0
    for line in lines:
        first, last = line.episodes
        if first != expected or last < first:
            break
        expected = last + 1
    if expected != len(view.episodes):
        findings.warning(
            "bad_provenance",
            PROVENANCE_PATH,
            f"tells of {expected} episodes in order, the dataset has {len(view.episodes)}: it "
            "was changed since by another program",
        )
        return None
    reports = [(line.recording, line.intake) for line in lines]
    doubts = [
        Doubt(recording, one.code, one.stream, one.message, one.count)
        for recording, report in reports
        if report is not None
        for one in report.listed
    ]
    return Conversion(
        recordings=len(lines),
        unreported=sum(report is None for _, report in reports),
        warnings=sum(report.warning_count for _, report in reports if report is not None),
        listed=tuple(doubts[:MAX_LISTED]),
    )


def _lines(path: Path) -> Iterator[ProvenanceLine]:
    """Raises ``ValueError`` that names the first line that is not one of ours."""
    with path.open("rb") as file:
        number = 0
        while line := file.readline(MAX_LINE_BYTES + 1):
            number += 1
            if len(line) > MAX_LINE_BYTES:
                raise ValueError(f"line {number} is longer than {MAX_LINE_BYTES} bytes")
            try:
                yield ProvenanceLine.model_validate_json(line)
            except ValidationError as error:
                raise ValueError(f"line {number}: {error.errors()[0]['msg']}") from None
