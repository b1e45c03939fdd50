"""Marks in the JSON file beside a recording: which skill was shown when.

The Kuavo tool chain gives each a start and an end as shares of the recording, and its text in one
or two languages. They stay in the recording's metadata as they are; this reads them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeGuard

_TEXT_KEYS = ("enSkillDetail", "skillDetail", "skillAtomic", "taskId")


class Mark(NamedTuple):
    """``start`` and ``end`` are shares of the recording, 0 to 1."""

    text: str
    start: float
    end: float


def marks_of(metadata: Mapping[str, Any]) -> tuple[list[Mark], int]:
    """The marks by start, and how many entries are none (no text, or no part of the recording)."""
    entries = metadata.get("marks")
    if not isinstance(entries, list):
        return [], 0
    marks = [mark for entry in entries if (mark := _mark(entry)) is not None]
    return sorted(marks, key=lambda mark: (mark.start, mark.end)), len(entries) - len(marks)


def _mark(entry: Any) -> Mark | None:
    if not isinstance(entry, dict):
        return None
    texts = (entry.get(key) for key in _TEXT_KEYS)
    text = next((text.strip() for text in texts if isinstance(text, str) and text.strip()), None)
    start, end = entry.get("startPosition"), entry.get("endPosition")
    if text is None or not _is_number(start) or not _is_number(end):
        return None
    return Mark(text, float(start), float(end)) if 0 <= start < end <= 1 else None


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
