"""Which episodes share a file of a v3.0 dataset.

Files hold runs of neighbouring episodes. Adding episodes never touches a file that exists, so each
update leaves small files behind; once the last 16 fit into one and none makes up more than half of
it, they are joined. An episode is thereby copied about once for every 16-fold growth of its file
(never more than once for every doubling) up to the size limit, and not beyond: the cost of an
append is bounded by the size limit, not by the dataset.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

# Few enough files for loaders, seldom enough copying.
JOIN_FILES = 16

EpisodeId = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Load:
    """What episodes take of a file's capacity. Only those of equal ``encoding`` share a file."""

    bytes: int
    frames: int = 0
    encoding: str = ""
    episodes: int = 1

    def plus(self, other: Load) -> Load:
        return Load(
            self.bytes + other.bytes,
            self.frames + other.frames,
            other.encoding,
            self.episodes + other.episodes,
        )


@dataclass(frozen=True, slots=True)
class Capacity:
    """A single episode may exceed it and then has a file of its own."""

    bytes: int
    frames: int | None = None
    episodes: int | None = None

    def holds(self, load: Load) -> bool:
        return (
            load.bytes < self.bytes
            and (self.frames is None or load.frames <= self.frames)
            and (self.episodes is None or load.episodes <= self.episodes)
        )


def repack(
    old: Sequence[Sequence[EpisodeId]],
    ids: Sequence[EpisodeId],
    load_of: Callable[[EpisodeId], Load],
    capacity: Capacity,
    *,
    is_settled: bool = False,
) -> list[list[EpisodeId]]:
    """The runs of ``ids``, in their order, that share a file.

    Runs of ``old`` stay together as far as their episodes are still there and still fit; new
    episodes at the end start new files; new ones in between join the file before them.
    ``is_settled`` says that ``ids`` begins with those of ``old``, whose loads and capacity are the
    ones they were packed with: the result is the same, and takes no look at each of them.
    """
    if is_settled:
        appended = ids[sum(map(len, old)) :]
        return _joined(_filled(appended, load_of, capacity), load_of, capacity, settled=old)
    home = {id_: number for number, run in enumerate(old) for id_ in run}
    last_old = max((position for position, id_ in enumerate(ids) if id_ in home), default=-1)
    runs: list[list[EpisodeId]] = []
    current: int | None = None
    for id_ in ids[: last_old + 1]:
        number = home.get(id_, current)
        if number != current or not runs:
            runs.append([])
            current = number
        runs[-1].append(id_)
    kept = [part for run in runs for part in _filled(run, load_of, capacity)]
    new = _filled(ids[last_old + 1 :], load_of, capacity)
    return _joined(kept + new, load_of, capacity)


def _filled(
    ids: Sequence[EpisodeId], load_of: Callable[[EpisodeId], Load], capacity: Capacity
) -> list[list[EpisodeId]]:
    files: list[list[EpisodeId]] = []
    filled = Load(0)
    for id_ in ids:
        load = load_of(id_)
        together = filled.plus(load)
        if files and capacity.holds(together) and filled.encoding == load.encoding:
            files[-1].append(id_)
            filled = together
        else:
            files.append([id_])
            filled = load
    return files


def _joined(
    files: Iterable[Sequence[EpisodeId]],
    load_of: Callable[[EpisodeId], Load],
    capacity: Capacity,
    settled: Sequence[Sequence[EpisodeId]] = (),
) -> list[list[EpisodeId]]:
    """As if the files had come one by one: what was joined before is joined again.

    ``settled`` are files that went through this already and lie before the others.
    """
    kept = [list(file) for file in settled]
    loads: dict[int, Load] = {}  # by position in ``kept``; worked out where a join may reach
    for file in files:
        kept.append(list(file))
        while (first := len(kept) - JOIN_FILES) >= 0:
            for number in range(first, len(kept)):
                if number not in loads:
                    loads[number] = _load(kept[number], load_of)
            tail = [loads[number] for number in range(first, len(kept))]
            together = functools.reduce(Load.plus, tail)
            one_encoding = len({load.encoding for load in tail}) == 1
            uneven = 2 * max(load.bytes for load in tail) > together.bytes
            if uneven or not one_encoding or not capacity.holds(together):
                break
            kept[first:] = [[id_ for file in kept[first:] for id_ in file]]
            loads = {number: load for number, load in loads.items() if number < first}
            loads[first] = together
    return kept


def _load(file: Iterable[EpisodeId], load_of: Callable[[EpisodeId], Load]) -> Load:
    return functools.reduce(Load.plus, map(load_of, file))
