"""Marks are read as far as they are marks."""

from __future__ import annotations

import pytest

from lerobot_pipelines.recordings.marks import Mark, marks_of


def entry(start: object, end: object, **texts: object) -> dict[str, object]:
    return {"startPosition": start, "endPosition": end, **texts}


def test_marks_come_by_their_start_with_the_best_text() -> None:
    entries = [
        entry(0.5, 1, skillDetail="放下", enSkillDetail="put it down"),
        entry(0.0, 0.5, skillAtomic="pick", enSkillDetail=" "),
    ]
    assert marks_of({"marks": entries}) == (
        [Mark("pick", 0.0, 0.5), Mark("put it down", 0.5, 1.0)],
        0,
    )


@pytest.mark.parametrize(
    "bad",
    [
        "text",
        entry(0.5, 0.5, skillAtomic="a"),
        entry(-0.1, 0.5, skillAtomic="a"),
        entry(0.1, 1.5, skillAtomic="a"),
        entry("0.1", 0.5, skillAtomic="a"),
        entry(True, 1, skillAtomic="a"),
        entry(float("nan"), 1, skillAtomic="a"),
        entry(0.1, 0.5),
    ],
)
def test_what_is_no_mark_is_counted(bad: object) -> None:
    good = entry(0.1, 0.2, skillAtomic="a")
    assert marks_of({"marks": [bad, good]}) == ([Mark("a", 0.1, 0.2)], 1)


@pytest.mark.parametrize("metadata", [{}, {"marks": None}, {"marks": {"a": 1}}])
def test_a_file_without_marks_has_none(metadata: dict[str, object]) -> None:
    assert marks_of(metadata) == ([], 0)
