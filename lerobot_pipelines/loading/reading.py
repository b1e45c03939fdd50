"""Reading the items of a stream, a few ahead of where the training is."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from lerobot_pipelines.loading.items import ItemBuilder, RawItem
from lerobot_pipelines.loading.order import Draws, Items
from lerobot_pipelines.loading.source import Source
from lerobot_pipelines.loading.verdict import Verdict

_EPISODES_AHEAD = 48  # items that are looked ahead for episodes to fetch


@dataclass(frozen=True, slots=True)
class Reading:
    """One dataset of a stream."""

    builder: ItemBuilder
    items: Items
    verdict: Verdict

    @property
    def source(self) -> Source:
        return self.builder.source


class ReadAhead:
    """Raw items of a stream, ``depth`` of them read by a thread before they are asked for.

    ``decodes_runs``: an item's whole run is decoded with it, and kept for the others of the run.
    """

    def __init__(
        self, readings: Sequence[Reading], stream: Draws, depth: int, *, decodes_runs: bool
    ) -> None:
        self._readings = readings
        self._stream = stream
        self._depth = depth
        self._runs = _run_ranges(readings, stream) if decodes_runs else {}
        self._pool = ThreadPoolExecutor(1, "read-ahead") if self._depth else None
        self._announced: set[tuple[int, int]] = set()

    def __enter__(self) -> ReadAhead:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def __iter__(self) -> Iterator[tuple[int, RawItem]]:
        if self._pool is None:
            for position in range(len(self._stream)):
                yield self._read(position)
            return
        waiting: deque[Future[tuple[int, RawItem]]] = deque()
        for position in range(len(self._stream)):
            waiting.append(self._pool.submit(self._read, position))
            if len(waiting) > self._depth:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def _read(self, position: int) -> tuple[int, RawItem]:
        self._announce(position)
        number = int(self._stream.source[position])
        reading = self._readings[number]
        row = int(reading.items.rows[self._stream.item[position]])
        run = self._runs.get(int(self._stream.run[position]))
        return number, reading.builder.read(row, run)

    def _announce(self, position: int) -> None:
        """Say which episodes come soon, once each time they come up."""
        if position % _EPISODES_AHEAD:
            return
        for ahead in range(position, min(position + 2 * _EPISODES_AHEAD, len(self._stream))):
            number = int(self._stream.source[ahead])
            reading = self._readings[number]
            episode, _ = reading.builder.place(int(reading.items.rows[self._stream.item[ahead]]))
            if (number, episode) not in self._announced:
                self._announced.add((number, episode))
                reading.source.will_need(episode)
        if len(self._announced) > 1000:
            self._announced.clear()


def _run_ranges(readings: Sequence[Reading], stream: Draws) -> dict[int, range]:
    """From the first to the last row of each run that this stream shows."""
    order = np.argsort(stream.run, kind="stable")
    firsts = np.flatnonzero(np.diff(stream.run[order], prepend=-1))
    ranges = {}
    for part in np.split(order, firsts[1:]):
        if len(part):
            rows = readings[int(stream.source[part[0]])].items.rows[stream.item[part]]
            ranges[int(stream.run[part[0]])] = range(int(rows.min()), int(rows.max()) + 1)
    return ranges
