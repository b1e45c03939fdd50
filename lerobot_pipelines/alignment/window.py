"""Strategy ``window``: mean or median of the samples with |dt| <= ``window_ms``.

A row with fewer than ``min_samples`` of them is dropped and counted as ``min_samples:<stream>``.
Angles are averaged on the circle (their median is taken around that mean), quaternions after
turning each to the side of the window's first sample. Causal: only samples at or before the row.

Sums run over each window from its first sample to its last, in float64. Prefix sums would be
faster, but the sum of a window would then depend on everything recorded before it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lerobot_pipelines.alignment.sampling import Limits, Method, Selection
from lerobot_pipelines.alignment.search import Indices, latest_index, nearest_index
from lerobot_pipelines.alignment.spaces import (
    full_turn,
    normalised,
    quaternions,
    same_sign,
    wrapped,
)
from lerobot_pipelines.config.schema import Interpolation
from lerobot_pipelines.model import Stamps, Vectors

BLOCK_VALUES = 1 << 20  # numbers gathered at once: 8 MB


def _select(stamps: Stamps, rows: Stamps, limits: Limits) -> Selection:
    ahead = 0 if limits.causal else limits.window_ns
    first = np.searchsorted(stamps, rows - limits.window_ns, side="left").astype(np.int64)
    stop = np.searchsorted(stamps, rows + ahead, side="right").astype(np.int64)
    valid = stop - first >= limits.min_samples
    chosen = latest_index(stamps, rows) if limits.causal else nearest_index(stamps, rows)
    return Selection(
        np.where(valid, first, 0),
        np.where(valid, stop, 0),
        np.where(valid, stamps[np.maximum(chosen, 0)] - rows, 0),
        valid,
    )


def _values(
    samples: Vectors, stamps: Stamps, rows: Stamps, selection: Selection, limits: Limits
) -> Vectors:
    result = np.empty((len(rows), samples.shape[1]))
    for rows_of_block, members in _windows(selection, samples.shape[1]):
        result[rows_of_block] = _aggregate(samples[members], limits)
    return result


def _windows(selection: Selection, dimension: int) -> Iterator[tuple[Indices, Indices]]:
    """Rows with equally many samples, and their samples as (rows, samples), in bounded blocks."""
    sizes = selection.stop - selection.first
    for size in np.unique(sizes):
        rows = np.flatnonzero(sizes == size)
        per_block = max(1, BLOCK_VALUES // max(1, int(size) * dimension))
        for start in range(0, len(rows), per_block):
            block = rows[start : start + per_block]
            yield block, selection.first[block][:, np.newaxis] + np.arange(size)


def _aggregate(windows: Vectors, limits: Limits) -> Vectors:
    """Shape (rows, samples, d) to (rows, d)."""
    average = _median if limits.aggregation == "median" else _mean
    if limits.space is Interpolation.QUATERNION:
        turned = quaternions(windows)
        turned = same_sign(normalised(turned), turned[:, :1])
        averaged = average(turned.reshape(windows.shape))
        return normalised(quaternions(averaged)).reshape(averaged.shape)
    turn = full_turn(limits.space)
    if turn is None:
        return average(windows)
    radians = windows * (2 * np.pi / turn)
    centre = np.arctan2(_mean(np.sin(radians)), _mean(np.cos(radians))) * (turn / (2 * np.pi))
    if limits.aggregation == "mean":
        return centre
    around = wrapped(windows - centre[:, np.newaxis], turn)
    return wrapped(centre + _median(around), turn)


def _mean(windows: Vectors) -> Vectors:
    total = windows[:, 0].copy()
    for k in range(1, windows.shape[1]):
        total += windows[:, k]
    return np.asarray(total / windows.shape[1])


def _median(windows: Vectors) -> Vectors:
    ordered = np.sort(windows, axis=1)
    size = windows.shape[1]
    low, high = ordered[:, (size - 1) // 2], ordered[:, size // 2]
    return low if size % 2 else (low + high) / 2


WINDOW = Method(
    select=_select,
    values=_values,
    drop_reason="min_samples",
    reach_ns=lambda limits: limits.window_ns,
)
