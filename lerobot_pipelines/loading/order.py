"""The order of an epoch, from a seed alone: the same in every process that computes it.

An epoch is a list of draws (dataset, item). Ranks get equal spans of it; each rank's span is a
sequence of batches, dealt to its workers in turn, as a DataLoader collects them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.loading.deltas import Rows

Shuffle = Literal["full", "local", "none"]
Ends = Literal["pad", "drop"]


@dataclass(frozen=True, slots=True)
class Items:
    """A dataset's items in their own order: ``runs`` numbers stretches of one episode that are
    decoded together, rising from 0; both arrays have one entry per item."""

    rows: Rows
    runs: Rows

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, slots=True)
class Draws:
    """An epoch: dataset number, item within it, and run (unique over the epoch) of each draw."""

    source: NDArray[np.int32]
    item: Rows
    run: Rows

    def __len__(self) -> int:
        return len(self.item)


@dataclass(frozen=True, slots=True)
class Layout:
    """How draws are spread: over ranks, in batches, over workers."""

    world: int
    batch: int
    workers: int
    ends: Ends
    mixed_runs: int  # 0: batches are dealt from one sequence; else each worker mixes its own runs
    seed: tuple[int, ...]


def runs_of(rows: Rows, starts: Rows, run_rows: int) -> Rows:
    """Run numbers of a dataset's usable rows: at most ``run_rows`` rows of one episode each."""
    episodes = np.searchsorted(starts, rows, side="right") - 1
    blocks = (rows - starts[episodes]) // run_rows
    changes = (np.diff(episodes) != 0) | (np.diff(blocks) != 0)
    return np.concatenate([[0], np.cumsum(changes)]).astype(np.int64)


def draw(
    sources: Sequence[Items],
    quotas: Sequence[int],
    drawn: Sequence[int],
    seed: int,
    shuffle: Shuffle,
) -> Draws:
    """``quotas[i]`` draws of each dataset, of which ``drawn[i]`` were made in epochs before.

    Each dataset goes through its items in cycles, every one in another order, and goes on where the
    epoch before ended. ``full`` then mixes all draws, ``local`` all runs, ``none`` nothing.
    """
    numbers, items, runs = [], [], []
    next_run = 0
    for number, (source, count, before) in enumerate(zip(sources, quotas, drawn, strict=True)):
        taken, cycles = _cycled(source, number, int(count), int(before), seed, shuffle)
        run = source.runs[taken] + cycles * (int(source.runs[-1]) + 1)
        run -= run.min() if len(run) else 0
        numbers.append(np.full(len(taken), number, dtype=np.int32))
        items.append(taken)
        runs.append(run + next_run)
        next_run += int(run.max()) + 1 if len(run) else 0
    draws = Draws(np.concatenate(numbers), np.concatenate(items), np.concatenate(runs))
    random = np.random.default_rng([seed, 0, sum(int(one) for one in drawn), 1])
    if shuffle == "full" and len(sources) > 1:
        return _taken(draws, random.permutation(len(draws)))
    if shuffle == "local":
        return _taken(draws, np.argsort(random.permutation(next_run)[draws.run], kind="stable"))
    return draws


def rank_sequence(draws: Draws, positions: Rows, layout: Layout, rank: int) -> Rows:
    """The positions that a rank's loader yields, in that order, from those still to be drawn.

    Every rank gets the same number: the last ones are drawn twice (``pad``) or left out (``drop``).
    """
    count = len(positions)
    share = count // layout.world if layout.ends == "drop" else -(-count // layout.world)
    span: Rows = np.take(positions, np.arange(rank * share, (rank + 1) * share), mode="wrap")
    if not layout.mixed_runs:
        return span
    return _dealt(
        [_mixed(draws, lane, layout, rank, n) for n, lane in _lanes(span, layout)], layout
    )


def worker_stream(sequence: Rows, layout: Layout, worker: int) -> Rows:
    """A worker's part of its rank's sequence: every batch whose turn is its own."""
    batches = np.arange(len(sequence)) // layout.batch
    own: Rows = sequence[batches % layout.workers == worker]
    return own


def without(positions: Rows, taken: Rows) -> Rows:
    """The positions that are not among those taken, in their order."""
    left: Rows = positions[~np.isin(positions, taken)]
    return left


def _cycled(
    source: Items, number: int, count: int, before: int, seed: int, shuffle: Shuffle
) -> tuple[Rows, Rows]:
    """The items of the draws ``before`` to ``before + count``, and each one's cycle."""
    parts, cycles = [], []
    size = len(source)
    while count > 0:
        cycle, offset = divmod(before, size)
        order = _cycle_order(source, [seed, number + 1, cycle], shuffle)
        part = order[offset : offset + count]
        parts.append(part)
        cycles.append(np.full(len(part), cycle, dtype=np.int64))
        before += len(part)
        count -= len(part)
    empty = np.zeros(0, dtype=np.int64)
    return np.concatenate([*parts, empty]), np.concatenate([*cycles, empty])


def _cycle_order(source: Items, seed: list[int], shuffle: Shuffle) -> Rows:
    random = np.random.default_rng(seed)
    if shuffle == "none":
        return np.arange(len(source), dtype=np.int64)
    if shuffle == "full":
        return random.permutation(len(source))
    places = random.permutation(int(source.runs[-1]) + 1)
    return np.argsort(places[source.runs], kind="stable")


def _taken(draws: Draws, order: Rows) -> Draws:
    return Draws(draws.source[order], draws.item[order], draws.run[order])


def _lanes(span: Rows, layout: Layout) -> list[tuple[int, Rows]]:
    """One stretch of the span per worker, as long as the batches that are its turn."""
    batches = np.arange(len(span)) // layout.batch
    counts = np.bincount(batches % layout.workers, minlength=layout.workers)
    ends = np.cumsum(counts)
    return [
        (n, span[end - size : end]) for n, (end, size) in enumerate(zip(ends, counts, strict=True))
    ]


def _mixed(draws: Draws, lane: Rows, layout: Layout, rank: int, number: int) -> Rows:
    """The lane with its items moved so that about ``mixed_runs`` runs are open at any time."""
    if not len(lane):
        return lane
    runs = draws.run[lane]
    turns = np.concatenate([[0], np.cumsum(np.diff(runs) != 0)])
    random = np.random.default_rng([*layout.seed, layout.world, rank, number])
    return lane[np.argsort(turns + layout.mixed_runs * random.random(len(lane)), kind="stable")]


def _dealt(lanes: list[Rows], layout: Layout) -> Rows:
    """The lanes' batches in turn."""
    size = sum(len(lane) for lane in lanes)
    sequence = np.empty(size, dtype=np.int64)
    turns = (np.arange(size) // layout.batch) % layout.workers
    for number, lane in enumerate(lanes):
        sequence[turns == number] = lane
    return sequence
