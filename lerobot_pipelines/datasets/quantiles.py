"""Histograms that merge exactly, for the quantiles of a dataset that grows by one episode a time.

A bin is ``[k * 2^e, (k + 1) * 2^e)`` with integer ``k``. The exponent ``e`` is the smallest at
which the values span fewer bins than allowed, which depends on their minimum and maximum alone.
Two bins of one exponent are one bin of the next, so histograms of parts, brought to the exponent
of the whole and added, equal the histogram of the whole: in any order, with no error.

A quantile taken from it is off by at most one bin, which is less than the range of the data
divided by ``bins / 2 - 1`` (0.05 % of the range for 4096 bins).
"""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Smaller steps than 2^-60 mean nothing for float32 data; bin numbers stay below 2^51, where
# float64 still holds every integer.
_MIN_EXPONENT = -60
_NUMBER_BITS = 50

Counts = NDArray[np.int64]


def bins_for(elements: int) -> int:
    """Bins per element: action chunks have hundreds of elements, and need less of each."""
    return 4096 if elements <= 64 else 1024 if elements <= 512 else 256


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts of one element. ``counts[i]`` is bin ``first + i`` of width ``2 ** exponent``.

    ``minimum`` and ``maximum`` are the data's own. Never empty.
    """

    bins: int
    minimum: float
    maximum: float
    exponent: int
    first: int
    counts: Counts

    @property
    def total(self) -> int:
        return int(self.counts.sum())

    def quantiles(self, shares: Sequence[float]) -> list[float]:
        """Linear between the two samples around each rank, as numpy's; within one bin."""
        ends = np.cumsum(self.counts)
        total = int(ends[-1])
        width = math.ldexp(1.0, self.exponent)

        def sample(rank: int) -> float:
            bin_ = int(np.searchsorted(ends, rank, side="right"))
            before = int(ends[bin_ - 1]) if bin_ else 0
            share = (rank - before + 0.5) / int(self.counts[bin_])
            value = (self.first + bin_ + share) * width
            return min(max(value, self.minimum), self.maximum)

        values = []
        for share in shares:
            position = share * (total - 1)
            low = math.floor(position)
            high = min(low + 1, total - 1)
            values.append(sample(low) + (sample(high) - sample(low)) * (position - low))
        return values


def histogram(values: NDArray[np.float64], bins: int) -> Histogram:
    """Of finite values, shape (n,), n > 0."""
    minimum, maximum = float(values.min()), float(values.max())
    exponent = _exponent(minimum, maximum, bins)
    numbers = np.floor(np.ldexp(values, -exponent)).astype(np.int64)
    first = int(numbers.min())
    return Histogram(bins, minimum, maximum, exponent, first, np.bincount(numbers - first))


def merge(one: Histogram, other: Histogram) -> Histogram:
    """The histogram of both data together. Both must allow the same number of bins."""
    minimum, maximum = min(one.minimum, other.minimum), max(one.maximum, other.maximum)
    exponent = _exponent(minimum, maximum, one.bins)
    parts = [_coarsened(part, exponent) for part in (one, other)]
    first = min(start for start, _ in parts)
    last = max(start + len(counts) for start, counts in parts)
    counts = np.zeros(last - first, dtype=np.int64)
    for start, part in parts:
        counts[start - first : start - first + len(part)] += part
    return Histogram(one.bins, minimum, maximum, exponent, first, counts)


def pack(histograms: Sequence[Histogram]) -> dict[str, Any]:
    """A JSON-able form; minimum and maximum are not in it, the statistics beside it hold them."""
    counts = np.concatenate([one.counts for one in histograms]).astype("<i8")
    return {
        "bins": histograms[0].bins,
        "exponents": [one.exponent for one in histograms],
        "firsts": [one.first for one in histograms],
        "lengths": [len(one.counts) for one in histograms],
        "counts": base64.b64encode(zlib.compress(counts.tobytes(), 6)).decode(),
    }


def unpack(
    packed: dict[str, Any], minima: NDArray[np.float64], maxima: NDArray[np.float64]
) -> list[Histogram]:
    """The inverse of ``pack``; ``minima`` and ``maxima`` are (elements,)."""
    raw = zlib.decompress(base64.b64decode(packed["counts"]))
    counts = np.frombuffer(raw, dtype="<i8").astype(np.int64)
    ends = np.cumsum(packed["lengths"])
    return [
        Histogram(
            packed["bins"],
            float(minima[i]),
            float(maxima[i]),
            packed["exponents"][i],
            packed["firsts"][i],
            counts[ends[i] - packed["lengths"][i] : ends[i]],
        )
        for i in range(len(ends))
    ]


def _exponent(minimum: float, maximum: float, bins: int) -> int:
    largest = max(abs(minimum), abs(maximum))
    exponent = _MIN_EXPONENT
    if largest > 0:
        exponent = max(exponent, math.frexp(largest)[1] - _NUMBER_BITS)
    if maximum > minimum:
        exponent = max(exponent, math.frexp((maximum - minimum) / bins)[1] - 2)
    while _number(maximum, exponent) - _number(minimum, exponent) >= bins:
        exponent += 1
    return exponent


def _number(value: float, exponent: int) -> int:
    return math.floor(math.ldexp(value, -exponent))


def _coarsened(part: Histogram, exponent: int) -> tuple[int, Counts]:
    shift = exponent - part.exponent
    if shift == 0:
        return part.first, part.counts
    numbers = (part.first + np.arange(len(part.counts))) >> min(shift, 62)
    first = int(numbers[0])
    counts = np.zeros(int(numbers[-1]) - first + 1, dtype=np.int64)
    np.add.at(counts, numbers - first, part.counts)
    return first, counts
