"""Moments in file names: 1764167571671577 and 1764167571.671577, alone or after a prefix.

What stands behind the point is written in one of two ways: as decimals (.04 is 40 ms), or as a
count of milli-, micro- or nanoseconds that some loggers do not fill up with zeros (.40000000 is
40 ms as well). One name does not tell; the names of a folder were written by one program, so all of
them together decide, and what they leave open is refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.model import Stamps
from lerobot_pipelines.recordings.stamps import (
    FIRST_PLAUSIBLE_NS,
    LAST_PLAUSIBLE_NS,
    UNIT_NS,
    detect_unit,
    refuse_unit,
)

_INT64_MAX = 2**63 - 1
_POINT = re.compile(r"(?:.*[^0-9.])?(\d+)(?:\.(\d+))?", re.ASCII | re.DOTALL)
# 1764167571_400000000, where there is no other way to read the name.
_DASHED = re.compile(r"(?:.*[^0-9])?(\d+)[_-](\d+)", re.ASCII | re.DOTALL)

# Digits of milli-, micro- and nanoseconds below a second; below other units, those that remain.
_COUNTED = (3, 6, 9)
_DIGITS_OF_UNIT = {"s": 9, "ms": 6, "us": 3, "ns": 0}
_COUNT_WORDS = {3: "thousandths", 6: "millionths", 9: "billionths"}

# Where the digits prove nothing, steps do if they are even in one reading and not in the others.
_MIN_NAMES = 8
_EVEN, _UNEVEN = 1.5, 4.5  # see ``_unevenness``
_NONE = -1

_Number = tuple[int, str]


@dataclass(frozen=True, slots=True)
class NameForm:
    """``digits`` is None for decimals, else the count is of 10**-digits of the unit.

    ``is_proven``: the digits themselves exclude every other reading.
    """

    digits: int | None
    is_proven: bool

    def described(self, unit: str) -> str:
        if self.digits is None:
            return f"{unit} with decimals"
        return f"{unit} and a count of {_COUNT_WORDS[self.digits]} that is not filled with zeros"


DECIMALS = NameForm(None, True)


class NameStamps(NamedTuple):
    """Stamps in ns (n,), 0 where not ``usable``."""

    stamps: Stamps
    unit: str
    usable: NDArray[np.bool_]
    form: NameForm


def stamps_of_names(stems: Sequence[str], unit: str, what: str) -> NameStamps:
    """The moments that file names without suffix say, exact to the last digit.

    ``unit`` is that of the number before the point; "auto" detects it by magnitude. Names that are
    no moments are not usable. Raises ``Refused`` (bad_stamps) for several units, for no unit at
    all, and for fractions that can be read in several ways.
    """
    parsed = _parsed(stems, _POINT)
    units = list(UNIT_NS) if unit == "auto" else [unit]
    dashed = _parsed(stems, _DASHED)
    # A part of a second may look like the seconds of a moment in the years 2000 and 2001.
    sure = [number if number and number[0] >= 10**9 else None for number in parsed]
    if _plausible(dashed, units) > _plausible(sure, units):
        _refuse_counters(dashed, what)
        parsed = dashed
    numbers = [number for number in parsed if number is not None]
    stamps = np.zeros(len(stems), np.int64)
    usable = np.zeros(len(stems), np.bool_)
    if not numbers:
        return NameStamps(stamps, unit, usable, DECIMALS)
    low, high = 0, _INT64_MAX
    if unit == "auto":
        wholes = sorted(whole for whole, _ in numbers)
        unit = detect_unit(np.array(wholes), what) or refuse_unit(what, wholes[len(wholes) // 2])
        low, high = FIRST_PLAUSIBLE_NS, LAST_PLAUSIBLE_NS
    # Names of something else, such as a thumbnail's, have no say.
    moments = [number for number in numbers if low <= number[0] * UNIT_NS[unit] < high]
    form = form_of(moments, unit, what)
    for i, number in enumerate(parsed):
        if number is not None and low <= (at := _nanoseconds(number, unit, form.digits)) < high:
            stamps[i], usable[i] = at, True
    return NameStamps(stamps, unit, usable, form)


def form_of(numbers: Sequence[_Number], unit: str, what: str) -> NameForm:
    """How the digits behind the point are meant, from those of all names.

    A count of three or six digits is taken for milli- or microseconds: among the pictures of a
    camera there is one that was not taken in the first tenth of a second.

    Raises ``Refused`` (bad_stamps) where they can be meant in several ways.
    """
    fractions = [fraction for _, fraction in numbers]
    longest = max(map(len, fractions), default=0)
    possible = _possible_counts(fractions, longest, unit)
    readings: list[int | None] = [] if _has_filling_zeros(fractions) else [None]
    readings += possible
    if not possible and readings:
        return DECIMALS
    if len(readings) == 1:
        return NameForm(readings[0], True)
    if readings and len({_read_as(numbers, unit, digits) for digits in readings}) == 1:
        return DECIMALS
    if (digits := _even_one(numbers, unit, readings)) is not _NONE:
        return NameForm(digits, False)
    raise Refused(
        Reason.BAD_STAMPS,
        f"{what}: the names (such as {numbers[0][0]}.{fractions[0]}) can be read as decimals and "
        "as counts that are not filled with zeros, and nothing tells which is meant; rename the "
        "pictures with all digits (nine behind the seconds), or put a stamps.csv with the moment "
        "of each picture beside them",
    )


def _parsed(stems: Sequence[str], pattern: re.Pattern[str]) -> list[_Number | None]:
    found = [pattern.fullmatch(stem) for stem in stems]
    return [
        (int(match[1]), match[2] or "") if match and int(match[1]) < _INT64_MAX else None
        for match in found
    ]


def _plausible(numbers: Sequence[_Number | None], units: Sequence[str]) -> int:
    """How many are moments of this century."""
    return sum(
        FIRST_PLAUSIBLE_NS <= number[0] * UNIT_NS[unit] < LAST_PLAUSIBLE_NS
        for number in numbers
        if number is not None
        for unit in units
    )


def _refuse_counters(numbers: Sequence[_Number | None], what: str) -> None:
    """The second number of 1764167571_000123 may count pictures: then it goes on where a new second
    begins, as no part of a second does."""
    known = sorted((number[0], int(number[1]), len(number[1])) for number in numbers if number)
    if known[0][0] == known[-1][0]:
        is_counter = any(length != _COUNTED[-1] for _, _, length in known)
    else:
        is_counter = all(a[1] < b[1] for a, b in pairwise(known))
    if is_counter:
        raise Refused(
            Reason.BAD_STAMPS,
            f"{what}: the names are a time and a number that seems to count pictures, which is no "
            "moment; put a stamps.csv with the moment of each picture beside them",
        )


def _possible_counts(fractions: Sequence[str], longest: int, unit: str) -> list[int]:
    """The counts that the digits may be, finest last."""
    if any(not fraction or (fraction[0] == "0" and len(fraction) > 1) for fraction in fractions):
        return []  # a count has no zero in front, and is never left out
    counts = [digits for digits in _COUNTED if longest <= digits <= _DIGITS_OF_UNIT[unit]]
    return counts[:1] if longest in (3, 6, 7, 8, 9) else counts


def _has_filling_zeros(fractions: Sequence[str]) -> bool:
    """Whether decimals would end in zeros although they are not all of one length."""
    several = len(set(map(len, fractions))) > 1
    return several and any(len(one) > 1 and one.endswith("0") for one in fractions)


def _even_one(numbers: Sequence[_Number], unit: str, readings: Sequence[int | None]) -> int | None:
    """The only reading that makes even steps; ``_NONE`` if there is none."""
    if len(numbers) < _MIN_NAMES:
        return _NONE
    rates = {digits: _unevenness(_read_as(numbers, unit, digits)) for digits in readings}
    even = [digits for digits, rate in rates.items() if rate <= _EVEN]
    uneven = [digits for digits, rate in rates.items() if rate >= _UNEVEN]
    return even[0] if len(even) == 1 and len(uneven) == len(readings) - 1 else _NONE


def _unevenness(moments: Sequence[int]) -> float:
    """The longest step against the usual one, or the usual against the shortest."""
    steps = np.diff(np.unique(moments))
    if len(steps) == 0:
        return np.inf
    usual = float(np.median(steps))
    return max(float(steps.max()) / usual, usual / float(steps.min()))


def _read_as(numbers: Sequence[_Number], unit: str, digits: int | None) -> tuple[int, ...]:
    return tuple(_nanoseconds(number, unit, digits) for number in numbers)


def _nanoseconds(number: _Number, unit: str, digits: int | None) -> int:
    whole, fraction = number
    scale = 10 ** (len(fraction) if digits is None else digits)
    ns = (whole * scale + int(fraction or "0")) * UNIT_NS[unit]
    return int((2 * ns + scale) // (2 * scale))
