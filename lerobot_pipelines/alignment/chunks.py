"""The axis of action chunks: what is commanded from each row on, under the strategy ``chunking``.

A feature with ``chunk: true`` holds ``chunk_size`` actions per row::

    action[i] = the sample nearest to row + i * step,  step = 1 / chunk_rate_hz

Without ``chunk_rate_hz`` the step is the median interval of the feature's first stream, so that all
parts of one feature share one time axis. Moments past the last sample of the stream, or past the
last one before a hole longer than ``max_timestamp_gap_ms``, are padding: nobody knows what was
commanded then. ``repeat`` and ``edge`` hold that last value, ``constant`` gives ``padding_value``,
and ``<feature>_is_pad`` says which. A moment is padding if it is for any part of the feature; the
first one, the row itself, never is. Where only another stream has the hole, the actions behind it
are known and no padding. Causal: each moment takes the last sample at or before it.

A stream with ``strategy: hold`` may be part of a chunk: each moment takes the last sample at or
before it, and is padding once that is older than ``max_age_ms``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from lerobot_pipelines.alignment.sampling import Selection
from lerobot_pipelines.alignment.search import (
    Indices,
    Mask,
    grid_ns,
    latest_index,
    nearest_index,
)
from lerobot_pipelines.alignment.sources import VectorSource
from lerobot_pipelines.model import Stamps

BLOCK_MOMENTS = 1 << 18  # moments searched at once: a few MB


@dataclass(frozen=True, slots=True)
class ChunkBlock:
    """The samples of some consecutive rows: ``samples`` and ``padding`` are (rows, chunk)."""

    rows: slice
    samples: Indices
    padding: Mask


def chunk_offsets(size: int, rate_hz: Fraction | None, stamps: Stamps) -> Stamps:
    """Time from the row to each action, shape (size,). ``rate_hz`` None: as the stamps have it."""
    if rate_hz is not None:
        return grid_ns(size, rate_hz)
    intervals = np.sort(np.diff(stamps))
    if len(intervals) == 0:
        return np.zeros(size, np.int64)
    step = int(intervals[(len(intervals) - 1) // 2] + intervals[len(intervals) // 2]) // 2
    return np.arange(size, dtype=np.int64) * step


def chunk_blocks(
    source: VectorSource,
    rows: Stamps,
    selection: Selection,
    offsets: Stamps,
    longest_hole_ns: int | None,
) -> Iterator[ChunkBlock]:
    """The sample of every moment row + offset; a padded one names the last sample before it.

    ``selection`` holds the sample of each row itself; all of them must be valid.
    """
    stamps, holds = source.stamps, source.method.holds
    search = latest_index if holds or source.limits.causal else nearest_index
    last_of_run = _last_of_run(stamps, None if holds else longest_hole_ns)
    per_block = max(1, BLOCK_MOMENTS // len(offsets))
    for start in range(0, len(rows), per_block):
        block = slice(start, min(start + per_block, len(rows)))
        moments = rows[block, np.newaxis] + offsets
        samples = search(stamps, moments.ravel()).reshape(moments.shape)
        if holds:
            padding = moments - stamps[samples] > source.limits.max_age_ns
        else:
            last = last_of_run[selection.first[block]][:, np.newaxis]
            padding = moments > stamps[last]
            samples = np.where(padding, last, samples)
        samples[:, 0] = selection.first[block]
        padding[:, 0] = False
        yield ChunkBlock(block, samples, padding)


def _last_of_run(stamps: Stamps, longest_hole_ns: int | None) -> Indices:
    """For every sample the last one before the next hole, shape of ``stamps``."""
    count = len(stamps)
    if longest_hole_ns is None:
        return np.full(count, count - 1)
    ends = np.append(np.flatnonzero(np.diff(stamps) > longest_hole_ns), count - 1)
    return np.asarray(ends[np.searchsorted(ends, np.arange(count))])
