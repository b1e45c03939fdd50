"""What a dataset keeps of each recording's intake report: every count, and the first warnings."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from lerobot_pipelines.datasets.records import EpisodeRecord, Record
from lerobot_pipelines.intake import Severity, codes_of, warnings_of

# Of ``EpisodeRecord.provenance``: records without it are older than the report.
INTAKE_KEY = "intake_entries"

# A dataset's ledger and provenance hold this for every recording.
MAX_WARNINGS = 5
MAX_CHARACTERS = 240

# Of the checks, the one that says what the entries say.
_SAME_AS_ENTRIES = "no_warnings"


class Remark(Record):
    """A warning. ``code`` is one of ``intake.IntakeCode``, or ``check:<name>``."""

    code: str
    stream: str
    message: str
    count: int = 1


class IntakeSummary(Record):
    """``notes`` and ``warnings``: how many entries of each code; ``listed`` the first warnings."""

    notes: dict[str, int] = Field(default_factory=dict)
    warnings: dict[str, int] = Field(default_factory=dict)
    listed: tuple[Remark, ...] = ()

    @property
    def warning_count(self) -> int:
        return sum(self.warnings.values())


def summary_of(record: EpisodeRecord) -> IntakeSummary | None:
    """None where the record is older than the intake report."""
    if INTAKE_KEY not in record.provenance:
        return None
    remarks = list(_remarks(record))
    notes = [entry for entry in record.intake if entry.severity == Severity.NOTE]
    counts: dict[str, int] = {}
    for remark in remarks:
        counts[remark.code] = counts.get(remark.code, 0) + 1
    return IntakeSummary(
        notes=codes_of(notes),
        warnings=dict(sorted(counts.items())),
        listed=tuple(remarks[:MAX_WARNINGS]),
    )


def weak_checks(record: EpisodeRecord) -> list[Remark]:
    """The broken promises that do not keep the episode out of the dataset."""
    return [
        Remark(code=f"check:{check.name}", stream="", message=_short(check.description))
        for check in record.checks
        if not check.passed and check.severity == "warn" and check.name != _SAME_AS_ENTRIES
    ]


def _remarks(record: EpisodeRecord) -> Iterator[Remark]:
    for entry in warnings_of(record.intake):
        yield Remark(
            code=str(entry.code),
            stream=_short(entry.stream),
            message=_short(entry.message),
            count=entry.count,
        )
    yield from weak_checks(record)


def _short(text: str) -> str:
    return text if len(text) <= MAX_CHARACTERS else text[: MAX_CHARACTERS - 3] + "..."
