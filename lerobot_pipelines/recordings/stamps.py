"""Stamps of files: which unit they are in, and their exact value in nanoseconds.

Moments between the years 2000 and 2100 have ten digits in seconds, thirteen in milliseconds,
sixteen in microseconds and nineteen in nanoseconds: the four ranges do not touch, so the magnitude
tells the unit. Whatever lies outside them is refused rather than guessed; a recording whose clock
starts at zero needs its unit in the configuration (``time_unit``) or in the column's name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.model import Stamps

Numbers = NDArray[np.int64] | NDArray[np.floating[Any]]

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


def detect_unit(numbers: Numbers, what: str) -> str | None:
    """The unit in which the numbers are moments of this century; None if they are in none.

    Numbers that are in none do not count. Raises ``Refused`` (bad_stamps) that names ``what`` if
    they are of several units.
    """
    found = {
        unit: count
        for unit in UNIT_NS
        if (count := int(np.count_nonzero(_in_range(numbers, *_plausible(unit)))))
    }
    if len(found) > 1:
        counts = ", ".join(f"{count} in {unit}" for unit, count in found.items())
        raise Refused(
            Reason.BAD_STAMPS,
            f"{what} mixes units of time ({counts}); write all stamps of a stream in one unit",
        )
    return next(iter(found), None)


def stamps_of_numbers(
    numbers: Numbers,
    unit: str,
    what: str,
    *,
    fallback: str | None = None,
) -> tuple[Stamps, str, NDArray[np.bool_]]:
    """Stamps in ns from a column of numbers, the unit ("auto" is detected), and which are usable.

    A usable stamp is finite, fits 64 bits, and, where the unit was detected, lies between 2000 and
    2100. Unusable ones are 0 in the result. Where no unit makes moments of them, ``fallback``
    holds. Raises ``Refused`` (bad_stamps) for a mixture, for no unit at all, and for moments in
    float32.
    """
    usable = np.isfinite(numbers)
    single = numbers.dtype.kind == "f" and numbers.dtype.itemsize < 8
    if single:
        numbers = numbers.astype(np.float64)
    if unit == "auto" and not usable.any():
        return np.zeros(len(numbers), np.int64), "auto", usable
    if unit == "auto" and (detected := detect_unit(numbers[usable], what)) is not None:
        unit = detected
        low, high = _plausible(unit)
        if single:
            raise Refused(
                Reason.BAD_STAMPS,
                f"{what} is float32, in which moments of this century are over a minute apart; "
                "record stamps as int64 or float64",
            )
    else:
        if unit == "auto":
            unit = fallback or refuse_unit(what, float(np.median(numbers[usable])))
        low, high = -_INT64_MAX // UNIT_NS[unit], _INT64_MAX // UNIT_NS[unit]
    usable = usable & _in_range(numbers, low, high)
    kept = np.where(usable, numbers, 0)
    if kept.dtype.kind != "f":
        return kept.astype(np.int64) * UNIT_NS[unit], unit, usable
    # Whole and fraction apart: the product of a float64 of seconds and 1e9 loses 256 ns.
    whole = np.floor(kept)
    fraction = np.rint((kept - whole) * UNIT_NS[unit]).astype(np.int64)
    return whole.astype(np.int64) * UNIT_NS[unit] + fraction, unit, usable


def _plausible(unit: str) -> tuple[int, int]:
    return FIRST_PLAUSIBLE_NS // UNIT_NS[unit], LAST_PLAUSIBLE_NS // UNIT_NS[unit]


def _in_range(numbers: Numbers, low: int, high: int) -> NDArray[np.bool_]:
    with np.errstate(invalid="ignore"):
        return (numbers >= low) & (numbers < high)


def refuse_unit(what: str, typical: float) -> NoReturn:
    """Raises ``Refused`` (bad_stamps) for numbers that are moments in no unit."""
    raise Refused(
        Reason.BAD_STAMPS,
        f"{what}: {typical:.6g} is no moment between 2000 and 2100 in s, ms, us or ns; if the "
        "clock starts at zero, set time_unit for this stream or camera",
    )
