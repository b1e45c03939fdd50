"""The intake report for people (lines, by severity) and for programs (plain JSON)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from lerobot_pipelines.cli.text import counted
from lerobot_pipelines.intake import IntakeEntry, Severity, warnings_of

NS_PER_S = 1e9

# What matters most comes first.
SEVERITIES = (Severity.REFUSAL, Severity.WARNING, Severity.NOTE)


def plain(value: object) -> Any:
    """Data that JSON holds: recordings carry numpy numbers, and ``NaN``, which becomes text."""
    return json.loads(json.dumps(value, default=_plain_leaf), parse_constant=str)


def intake_json(entries: Iterable[IntakeEntry]) -> list[dict[str, Any]]:
    """Every entry in full."""
    found: list[dict[str, Any]] = plain([asdict(entry) for entry in entries])
    return found


def counts_by_severity(entries: Iterable[IntakeEntry]) -> dict[str, int]:
    """How many entries there are of each severity, those with none too."""
    found = [entry.severity for entry in entries]
    return {str(severity): found.count(severity) for severity in reversed(SEVERITIES)}


def by_severity(
    entries: Sequence[IntakeEntry], start_ns: int | None = None
) -> Iterator[tuple[str, list[str]]]:
    """Title and lines of each severity, worst first; only those with entries.

    ``start_ns`` is where the recording begins, from which moments are told.
    """
    for severity in SEVERITIES:
        lines = [told(entry, start_ns) for entry in entries if entry.severity == severity]
        if lines:
            yield f"{severity}s", lines


def told(entry: IntakeEntry, start_ns: int | None = None) -> str:
    """One line: stream, code, sentence, how often, when."""
    times = f" ({entry.count} times)" if entry.count > 1 else ""
    return f"{entry.stream or '(recording)'}: {entry.code}: {entry.message}{times}" + (
        "" if start_ns is None else _moment(entry, start_ns)
    )


def warning_line(
    entries: Iterable[IntakeEntry], others: Sequence[str] = (), most: int = 2
) -> str | None:
    """The count of warnings and the first ones, in one line; None where there are none."""
    warnings = [
        f"{one.stream}: {one.message}" if one.stream else one.message
        for one in warnings_of(entries)
    ]
    warnings += others
    if not warnings:
        return None
    more = f"; and {len(warnings) - most} more" if len(warnings) > most else ""
    return f"{counted(len(warnings), 'warning')}: {'; '.join(warnings[:most])}{more}"


def _moment(entry: IntakeEntry, start_ns: int) -> str:
    if entry.start_ns is None:
        return ""
    start = f", at {(entry.start_ns - start_ns) / NS_PER_S:.3f} s"
    if entry.end_ns is None or entry.end_ns == entry.start_ns:
        return start
    return f"{start} to {(entry.end_ns - start_ns) / NS_PER_S:.3f} s"


def _plain_leaf(value: Any) -> object:
    return value.tolist() if hasattr(value, "tolist") else str(value)
