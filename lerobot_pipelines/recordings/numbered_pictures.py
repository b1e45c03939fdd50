"""Pictures that are numbered: their moments come from a rate, or from a file beside them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.model import Stamps

_DIGITS = re.compile(r"\d+", re.ASCII)
_MAX_NUMBER = 10**12
_MAX_SPAN_NS = 2**62

REMEDY = (
    "give the camera rate_hz, the rate they were taken at, and start_s, the moment of the first "
    "one; or put a stamps.parquet or stamps.csv with the moment of each picture beside them"
)


@dataclass(frozen=True, slots=True)
class Numbers:
    """The number of each picture (n,), all different, and the picture's place by number."""

    values: NDArray[np.int64]
    order: NDArray[np.int64]

    @property
    def first(self) -> int:
        return int(self.values.min())

    @property
    def last(self) -> int:
        return int(self.values.max())


def numbers_of(stems: Sequence[str]) -> Numbers | None:
    """The numbers in names such as frame_000123 or 000123_left; None if the names are no numbers.

    It is the only run of digits that is another one in every name.
    """
    runs = [_DIGITS.findall(stem) for stem in stems]
    if not runs or len({len(found) for found in runs}) != 1:
        return None
    columns = [[int(number[:19]) for number in column] for column in zip(*runs, strict=True)]
    counting = [c for c in columns if len(set(c)) == len(c) and max(c) < _MAX_NUMBER]
    if len(counting) != 1:
        return None
    values = np.array(counting[0], np.int64)
    return Numbers(values, np.argsort(values, kind="stable"))


def are_counted(numbers: Numbers) -> bool:
    """Whether they count pictures rather than time: most follow one another."""
    steps = np.diff(np.sort(numbers.values))
    return len(steps) > 0 and bool(np.median(steps) == 1)


def stamps_by_rate(numbers: Numbers, rate_hz: float, start_ns: int, what: str) -> Stamps:
    """``start_ns`` for the first picture, numbered 0 or 1, and 1 / ``rate_hz`` for each number on.

    A number that is missing is a hole in time. Raises ``Refused`` (bad_stamps).
    """
    if numbers.first > 1:
        raise Refused(
            Reason.BAD_STAMPS,
            f"{what}: the lowest number of its pictures is {numbers.first}, so how many were taken "
            "before is not known; put a stamps.parquet or stamps.csv with the moment of each "
            "picture beside them",
        )
    if (numbers.last - numbers.first) / rate_hz * 1e9 + abs(start_ns) > _MAX_SPAN_NS:
        raise Refused(
            Reason.BAD_STAMPS,
            f"{what}: at {rate_hz:g} Hz its pictures, up to number {numbers.last}, last longer "
            "than a clock of 64 bits",
        )
    # In whole nanoseconds: a float64 of ns since 1970 is off by 256.
    offsets = np.rint((numbers.values - numbers.first) * (1e9 / rate_hz)).astype(np.int64)
    return np.asarray(offsets + start_ns, np.int64)


def stamps_by_rows(numbers: Numbers, rows: Stamps, what: str, file: str) -> Stamps:
    """The row of each picture: in the order of the numbers where there are as many rows.

    With pictures missing, a row per number. Raises ``Refused``: count_mismatch where both have
    other counts, or holes at other places.
    """
    stamps = np.empty(len(numbers.values), np.int64)
    if len(rows) == len(stamps):
        _refuse_other_holes(np.sort(numbers.values), rows, what, file)
        stamps[numbers.order] = rows
        return stamps
    if numbers.first <= 1 and numbers.last - numbers.first + 1 == len(rows):
        return rows[numbers.values - numbers.first]
    raise Refused(
        Reason.COUNT_MISMATCH,
        f"{what} has {len(stamps)} pictures, numbered {numbers.first} to {numbers.last}, and "
        f"{file} has {len(rows)} rows; which row is whose is not known, write one per picture",
    )


def stamps_by_number(numbers: Numbers, counted: NDArray[np.int64], rows: Stamps) -> Stamps | None:
    """The row whose own number is the picture's; None where the rows count from elsewhere."""
    row_of = {int(number): at for at, number in enumerate(counted)}
    if len(row_of) < len(counted) or min(row_of) != numbers.first:
        return None
    found = [row_of.get(int(number)) for number in numbers.values]
    return None if None in found else rows[np.array(found, np.int64)]


def stamps_by_name(
    names: Sequence[str], listed: Sequence[str | None], rows: Stamps, what: str, file: str
) -> Stamps | None:
    """The row that names the picture, with or without folder and suffix; None if none does.

    Raises ``Refused`` (count_mismatch) where some pictures are not named, or named twice.
    """
    row_of: dict[str, list[int]] = {}
    for at, name in enumerate(listed):
        if name:
            row_of.setdefault(_stem(name), []).append(at)
    found = [row_of.get(_stem(name), []) for name in names]
    if not any(found):
        return None
    if wrong := [name for name, at in zip(names, found, strict=True) if len(at) != 1]:
        raise Refused(
            Reason.COUNT_MISMATCH,
            f"{what}: {file} does not name {len(wrong)} of its {len(names)} pictures once, such as "
            f"{wrong[0]}; write a row for each",
        )
    return rows[np.array(found, np.int64)[:, 0]]


def _stem(name: str) -> str:
    return PurePosixPath(name.replace("\\", "/")).stem


def _refuse_other_holes(numbers: NDArray[np.int64], rows: Stamps, what: str, file: str) -> None:
    """Where numbers are missing, that much time has to pass between the rows."""
    steps = np.diff(rows)
    if len(steps) == 0 or (usual := float(np.median(steps))) <= 0:
        return
    missing = np.diff(numbers)
    wrong = np.flatnonzero((missing > 1) & (np.abs(steps / usual - missing) > 0.5))
    if len(wrong):
        raise Refused(
            Reason.COUNT_MISMATCH,
            f"{what}: behind picture number {numbers[wrong[0]]}, {missing[wrong[0]] - 1} numbers "
            f"are missing, but {file} has no such hole there; which row is whose is not known",
        )
