"""What is left of an epoch that a training was interrupted in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lerobot_pipelines.loading.deltas import Rows
from lerobot_pipelines.loading.epochs import Consumed, Pass
from lerobot_pipelines.loading.order import Draws, Layout, rank_sequence, without, worker_stream


def rest_of(draws: Draws, begun: Pass, layout: Layout, rank: int) -> Rows:
    """The positions that a rank has yet to draw in a pass, in order.

    With the layout that the consumed part had, they are exactly the rest of its sequence; with
    another (more ranks, other batches), what no rank has drawn is dealt out anew.
    """
    positions = np.arange(len(draws), dtype=np.int64)
    for number, part in enumerate(begun.consumed):
        then = replace(
            layout, world=part.world, batch=part.dealt or part.batch, workers=part.workers
        )
        count = part.batches * part.batch
        if number == len(begun.consumed) - 1 and _deals_alike(part, layout):
            return _yielded(draws, positions, then, rank, part.batch)[count:]
        taken = [
            _yielded(draws, positions, then, one, part.batch)[:count] for one in range(part.world)
        ]
        positions = without(positions, np.concatenate(taken))
    return rank_sequence(draws, positions, layout, rank)


def _yielded(draws: Draws, positions: Rows, layout: Layout, rank: int, batch: int) -> Rows:
    """What a loader with batches of that size yields when items are dealt as the layout says."""
    sequence = rank_sequence(draws, positions, layout, rank)
    if batch == layout.batch:
        return sequence
    streams = [worker_stream(sequence, layout, worker) for worker in range(layout.workers)]
    turns = [
        stream[first : first + batch]
        for first in range(0, max(len(stream) for stream in streams), batch)
        for stream in streams
    ]
    return np.concatenate([*turns, sequence[:0]])


def _deals_alike(part: Consumed, layout: Layout) -> bool:
    same = part.world == layout.world and part.batch == layout.batch
    return same and (part.workers == layout.workers or not layout.mixed_runs)
