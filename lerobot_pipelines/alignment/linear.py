"""Strategy ``linear``: between the two samples around the row, in the space of the stream.

The two samples may be at most twice the tolerance apart, so that every moment between them lies
within the tolerance of one (demanding both within it would drop most rows of a stream at 30 Hz for
a tolerance of 20 ms); otherwise the row is dropped and counted as ``tolerance:<stream>``. A sample
exactly at the row serves alone. Nothing is extrapolated. Angles take the shorter way round,
quaternions the shorter arc (slerp). Causal: the sample after the row is out of reach, which leaves
the last sample at or before it, within the tolerance.
"""

from __future__ import annotations

import numpy as np

from lerobot_pipelines.alignment.nearest import select_within
from lerobot_pipelines.alignment.sampling import Limits, Method, Selection
from lerobot_pipelines.alignment.search import latest_index
from lerobot_pipelines.alignment.spaces import full_turn, quaternions, slerp, wrapped
from lerobot_pipelines.config.schema import Interpolation
from lerobot_pipelines.model import Stamps, Vectors


def _select(stamps: Stamps, rows: Stamps, limits: Limits) -> Selection:
    tolerance = limits.tolerance_ns
    if limits.causal:
        return select_within(stamps, rows, older_ns=tolerance, newer_ns=0, causal=True)
    left = latest_index(stamps, rows)
    right = np.minimum(left + 1, len(stamps) - 1)
    since = rows - stamps[np.maximum(left, 0)]
    until = stamps[right] - rows
    exact = (left >= 0) & (since == 0)
    between = (left >= 0) & (right > left) & (since + until <= 2 * tolerance)
    valid = exact | between
    first = np.where(valid, left, 0)
    stop = first + np.where(exact, 1, np.where(valid, 2, 0))
    ages = np.where(until < since, until, -since)
    return Selection(first, stop, np.where(valid & ~exact, ages, 0), valid)


def _values(
    samples: Vectors, stamps: Stamps, rows: Stamps, selection: Selection, limits: Limits
) -> Vectors:
    first, last = selection.first, selection.stop - 1
    span = (stamps[last] - stamps[first]).astype(np.float64)
    elapsed = (rows - stamps[first]).astype(np.float64)
    weight = np.divide(elapsed, span, out=np.zeros_like(span), where=span > 0)[:, np.newaxis]
    a, b = samples[first], samples[last]
    if limits.space is Interpolation.QUATERNION:
        blocks = slerp(quaternions(a), quaternions(b), weight[:, np.newaxis])
        return blocks.reshape(a.shape)
    turn = full_turn(limits.space)
    if turn is None:
        return a + weight * (b - a)
    return wrapped(a + weight * wrapped(b - a, turn), turn)


LINEAR = Method(
    select=_select,
    values=_values,
    drop_reason="tolerance",
    reach_ns=lambda limits: limits.tolerance_ns,
)
