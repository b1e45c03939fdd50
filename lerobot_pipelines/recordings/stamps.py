"""Stamps of files: which unit they are in, and their exact value in nanoseconds.

Moments between the years 2000 and 2100 have ten digits in seconds, thirteen in milliseconds,
sixteen in microseconds and nineteen in nanoseconds: the four ranges do not touch, so the magnitude
tells the unit. Whatever lies outside them is refused rather than guessed; a recording whose clock
starts at zero needs its unit in the configuration (``time_unit``) or in the column's name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.model import Stamps

UNIT_NS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}

FIRST_PLAUSIBLE_NS = 946_684_800 * UNIT_NS["s"]  # 2000-01-01
LAST_PLAUSIBLE_NS = 4_102_444_800 * UNIT_NS["s"]  # 2100-01-01
_INT64_MAX = 2**63 - 1

_UNIT_WORDS = {
    "s": ("s", "sec", "secs", "second", "seconds"),
    "ms": ("ms", "msec", "msecs", "milli", "millis", "millisecond", "milliseconds"),
    "us": ("us", "usec", "usecs", "micro", "micros", "microsecond", "microseconds"),
    "ns": ("ns", "nsec", "nsecs", "nano", "nanos", "nanosec", "nanosecond", "nanoseconds"),
}
_UNIT_OF_WORD = {word: unit for unit, words in _UNIT_WORDS.items() for word in words}

# Column names that mean a stamp, best first.
_TIME_WORDS = (
    *("timestamps", "timestamp", "time_stamp", "time_stamps", "stamp", "stamps", "ts"),
    *("time", "times", "t", "datetime", "date_time", "unix_time", "epoch", "epoch_time"),
    *("header_stamp", "header_timestamp", "receive_time", "recv_time", "log_time", "host_time"),
)

# 1764167571671577 and 1764167571.671577, alone or after a prefix as in cam_high_1764167571671577.
_NUMBER = re.compile(r"(?:.*[^0-9.])?(\d+)(?:\.(\d+))?", re.ASCII | re.DOTALL)


class TimeColumn(NamedTuple):
    name: str
    unit: str | None  # what the name says: "s", "ms", "us", "ns"


def time_column(names: Sequence[str]) -> TimeColumn | None:
    """The column that holds the stamps, by its name alone."""
    ranked = []
    for position, name in enumerate(names):
        word, unit = _words(name)
        if word is not None:
            ranked.append((_TIME_WORDS.index(word), position, TimeColumn(name, unit)))
    return min(ranked)[2] if ranked else None


def is_time_column(name: str) -> bool:
    return _words(name)[0] is not None


def _words(name: str) -> tuple[str | None, str | None]:
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip())
    snake = re.sub(r"[^A-Za-z0-9]+", "_", snake).strip("_").lower()
    if snake in _TIME_WORDS:
        return snake, None
    word, _, last = snake.rpartition("_")
    if word in _TIME_WORDS and last in _UNIT_OF_WORD:
        return word, _UNIT_OF_WORD[last]
    return None, None


def detect_unit(typical: float, what: str) -> str:
    """The unit in which ``typical`` is a moment of this century.

    Raises ``Refused`` (missing_field) that names ``what`` if there is none.
    """
    for unit, ns in UNIT_NS.items():
        if FIRST_PLAUSIBLE_NS <= typical * ns < LAST_PLAUSIBLE_NS:
            return unit
    raise Refused(
        Reason.MISSING_FIELD,
        f"{what}: {typical:.6g} is no moment between 2000 and 2100 in s, ms, us or ns; if the "
        "clock starts at zero, set time_unit for this stream or camera",
    )


def stamps_of_numbers(
    numbers: NDArray[np.int64] | NDArray[np.float64], unit: str, what: str
) -> tuple[Stamps, str, NDArray[np.bool_]]:
    """Stamps in ns from a column of numbers, the unit ("auto" is detected), and which are usable.

    A usable stamp is finite, fits 64 bits, and, where the unit was detected, lies between 2000 and
    2100. Unusable ones are 0 in the result.
    """
    usable = np.isfinite(numbers)
    if unit == "auto":
        if not usable.any():
            return np.zeros(len(numbers), np.int64), "auto", usable
        unit = detect_unit(float(np.median(numbers[usable])), what)
        low, high = FIRST_PLAUSIBLE_NS // UNIT_NS[unit], LAST_PLAUSIBLE_NS // UNIT_NS[unit]
    else:
        low, high = -_INT64_MAX // UNIT_NS[unit], _INT64_MAX // UNIT_NS[unit]
    with np.errstate(invalid="ignore"):
        usable = usable & (numbers >= low) & (numbers < high)
    kept = np.where(usable, numbers, 0)
    if kept.dtype.kind != "f":
        return kept.astype(np.int64) * UNIT_NS[unit], unit, usable
    # Whole and fraction apart: the product of a float64 of seconds and 1e9 loses 256 ns.
    whole = np.floor(kept)
    fraction = np.rint((kept - whole) * UNIT_NS[unit]).astype(np.int64)
    return whole.astype(np.int64) * UNIT_NS[unit] + fraction, unit, usable


def stamps_of_names(
    stems: Sequence[str], unit: str, what: str
) -> tuple[Stamps, str, NDArray[np.bool_]]:
    """Stamps in ns from file names without suffix, exact to the last digit.

    A stem is a decimal number, alone or after a prefix. Like ``stamps_of_numbers`` otherwise.
    """
    numbers = [_NUMBER.fullmatch(stem) for stem in stems]
    parsed = [(int(n[1]), n[2] or "") if n and len(n[1]) <= 19 else None for n in numbers]
    wholes = sorted(number[0] for number in parsed if number is not None)
    stamps = np.zeros(len(stems), np.int64)
    usable = np.zeros(len(stems), np.bool_)
    if not wholes:
        return stamps, unit, usable
    low, high = 0, _INT64_MAX
    if unit == "auto":
        unit = detect_unit(float(wholes[len(wholes) // 2]), what)
        low, high = FIRST_PLAUSIBLE_NS, LAST_PLAUSIBLE_NS
    for i, number in enumerate(parsed):
        if number is None:
            continue
        whole, fraction = number
        scale = 10 ** len(fraction)
        ns = (whole * scale + int(fraction or "0")) * UNIT_NS[unit]
        rounded = (2 * ns + scale) // (2 * scale)
        if low <= rounded < high:
            stamps[i], usable[i] = rounded, True
    return stamps, unit, usable


def chronological(stamps: Stamps) -> tuple[NDArray[np.int64], int, int]:
    """The order of strictly increasing stamps; how many went backwards; how many were repeated.

    The order is a stable sort; of samples that share a stamp the first is kept.
    """
    backwards = int(np.count_nonzero(np.diff(stamps) < 0))
    order = np.argsort(stamps, kind="stable") if backwards else np.arange(len(stamps))
    if len(stamps) == 0:
        return order, 0, 0
    first = np.concatenate(([True], np.diff(stamps[order]) > 0))
    return order[first], backwards, int(len(stamps) - np.count_nonzero(first))
