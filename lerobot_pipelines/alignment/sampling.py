"""What every strategy agrees on: the limits it is given and the selection it returns.

A strategy works in two steps. ``select`` looks at stamps alone and decides, for every row, which
run of consecutive samples serves it; ``values`` turns these samples into one vector per row.
Between the two the rows are filtered, so that numbers are computed for kept rows only and the
report can say exactly which samples were used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lerobot_pipelines.alignment.search import Indices, Mask
from lerobot_pipelines.config.schema import Interpolation
from lerobot_pipelines.model import Stamps, Vectors


@dataclass(frozen=True, slots=True)
class Limits:
    """A stream's settings with every default filled in; times in whole nanoseconds."""

    tolerance_ns: int
    max_age_ns: int
    window_ns: int
    min_samples: int
    aggregation: Literal["mean", "median"]
    space: Interpolation
    causal: bool


@dataclass(frozen=True, slots=True)
class Selection:
    """Which samples serve each row: ``first`` up to but not including ``stop``, all (n,).

    ``ages_ns`` is the stamp of the nearest sample used minus the row's time. Where ``valid`` is
    False no sample serves the row, the run is empty and the age 0.
    """

    first: Indices
    stop: Indices
    ages_ns: Stamps
    valid: Mask

    def take(self, rows: Indices | Mask) -> Selection:
        return Selection(self.first[rows], self.stop[rows], self.ages_ns[rows], self.valid[rows])


@dataclass(frozen=True, slots=True)
class Method:
    """One strategy. ``stamps`` has at least one sample; rows increase.

    ``select(stamps, rows, limits)`` -> Selection over all rows.
    ``values(samples, stamps, rows, selection, limits)`` -> float64 (n, d) for rows that are valid.
    ``drop_reason`` names the limit a row without a sample has missed.
    ``reach_ns(limits)`` says how far from a sample a row may lie beside a hole in the stream.
    ``holds`` is True where a sample stays in force after its stamp, so that silence is no hole.
    """

    select: Callable[[Stamps, Stamps, Limits], Selection]
    values: Callable[[Vectors, Stamps, Stamps, Selection, Limits], Vectors]
    drop_reason: str
    reach_ns: Callable[[Limits], int]
    holds: bool = False


def selection_of(stamps: Stamps, rows: Stamps, chosen: Indices, valid: Mask) -> Selection:
    """One sample per row: ``chosen`` where ``valid`` (elsewhere it may be any number)."""
    first = np.where(valid, chosen, 0)
    ages = np.where(valid, stamps[first] - rows, 0)
    return Selection(first, first + valid, ages, valid)


def chosen_samples(
    samples: Vectors, stamps: Stamps, rows: Stamps, selection: Selection, limits: Limits
) -> Vectors:
    """The samples themselves: the values of every strategy that picks one sample per row."""
    return samples[selection.first]
