"""Finding samples by time: sorted search over int64 nanoseconds, never an N x M comparison."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.model import Stamps

Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]

NS_PER_S = 1_000_000_000

_GRID_BLOCK = 1 << 14  # of Python's integers: some MB at once


def ns_of_ms(milliseconds: float) -> int:
    """The nearest whole nanosecond."""
    return round(milliseconds * 1e6)


def ms_of_ns(nanoseconds: int) -> float:
    return nanoseconds / 1e6


def exact_rate(rate_hz: float) -> Fraction:
    """The rate as a person wrote it: 29.97 is 2997/100, not the nearest binary fraction."""
    return Fraction(repr(float(rate_hz)))


def grid_ns(count: int, rate_hz: Fraction) -> Stamps:
    """k / rate for k < count, each rounded on its own to a whole nanosecond, shape (count,)."""
    return grid_points_ns(np.arange(count, dtype=np.int64), rate_hz)


def grid_points_ns(points: Indices, rate_hz: Fraction) -> Stamps:
    """k / rate for the given k, each rounded on its own to a whole nanosecond."""
    numerator = 2 * NS_PER_S * rate_hz.denominator
    grid = np.empty(len(points), np.int64)
    for start in range(0, len(points), _GRID_BLOCK):
        # Python's integers, because k * 1e9 * denominator may pass 64 bits.
        steps = points[start : start + _GRID_BLOCK].astype(object)
        grid[start : start + len(steps)] = (steps * numerator + rate_hz.numerator) // (
            2 * rate_hz.numerator
        )
    return grid


def latest_index(stamps: Stamps, moments: Stamps) -> Indices:
    """The last sample at or before each moment; -1 where there is none. Shape of ``moments``."""
    return np.searchsorted(stamps, moments, side="right").astype(np.int64) - 1


def nearest_index(stamps: Stamps, moments: Stamps) -> Indices:
    """The sample nearest to each moment; of two equally near ones the earlier.

    ``stamps`` is strictly increasing and not empty.
    """
    right = np.searchsorted(stamps, moments, side="left")
    before = np.maximum(right - 1, 0)
    after = np.minimum(right, len(stamps) - 1)
    later_is_nearer = stamps[after] - moments < moments - stamps[before]
    # Before the first sample ``before`` and ``after`` are both 0, so either answer is right.
    return np.where(later_is_nearer, after, before).astype(np.int64)
