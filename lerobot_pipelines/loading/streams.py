"""The iterable dataset: several datasets interleaved by weight, for any loader, on any rank."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.utils.data

from lerobot_pipelines.config.schema import StorageConfig
from lerobot_pipelines.errors import ConfigError
from lerobot_pipelines.loading.balance import (
    Balance,
    BalanceReport,
    compensating,
    normalised,
    quotas,
)
from lerobot_pipelines.loading.chunks import ChunkDataset
from lerobot_pipelines.loading.config import LoadingConfig
from lerobot_pipelines.loading.deltas import Rows
from lerobot_pipelines.loading.epochs import EpochBook, Pass
from lerobot_pipelines.loading.items import Item, ItemBuilder
from lerobot_pipelines.loading.mixing import common_plans, common_tasks
from lerobot_pipelines.loading.opening import Place, open_source
from lerobot_pipelines.loading.order import (
    Draws,
    Ends,
    Items,
    Layout,
    Shuffle,
    draw,
    rank_sequence,
    runs_of,
    without,
    worker_stream,
)
from lerobot_pipelines.loading.placement import Placement, placement_of
from lerobot_pipelines.loading.reading import ReadAhead, Reading
from lerobot_pipelines.loading.source import Source, starts_of
from lerobot_pipelines.loading.usable import usable_rows
from lerobot_pipelines.loading.verdict import Verdict, judge

RUN_ROWS = 16  # of one decoding stretch under ``shuffle: local``
# Beyond the runs that are mixed, the next one is being decoded; and windows overlap.
_SHARE_FOR_RUNS = 0.7


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """``shuffle``: ``full`` mixes all items; ``local`` decodes stretches of episodes once and mixes
    as many of them as the frame cache holds; ``none`` keeps the order. ``ends``: how ranks get
    equal numbers. ``epoch_items``: draws per epoch of all ranks together. ``batch``: the batch size
    if known, so that batches do not depend on the number of workers."""

    seed: int
    shuffle: Shuffle
    ends: Ends
    epoch_items: int
    mixed_runs: int
    read_ahead: int
    batch: int | None = None


class StreamDataset(torch.utils.data.IterableDataset[Item]):
    """Items of one or more datasets, reshuffled every pass, each rank and worker its own part.

    Give it to any DataLoader, or to ``make_loader``, which also makes batches independent of the
    number of workers and can resume within an epoch. Nothing has to be called between epochs.
    Items are as those of ``ChunkDataset``, with ``dataset_index``, and ``task_index`` counting in
    ``tasks``; all tensors unless the configuration asks for text.
    """

    def __init__(
        self,
        readings: Sequence[Reading],
        balance: Balance,
        tasks: Sequence[str],
        settings: StreamSettings,
    ) -> None:
        self.readings = list(readings)
        self.tasks = list(tasks)
        self.settings = settings
        self._balance = balance
        self._sizes = {one.source.name: len(one.items) for one in self.readings}
        self._targets = balance.targets(self._sizes)
        self._recorded: dict[str, float] = {}
        self._book = EpochBook(len(self.readings))
        self._sent_placement: Placement | None = None
        self._pictures_later = False

    def __getstate__(self) -> dict[str, Any]:
        # A worker that is not forked cannot ask for its rank; a callback is for the main process.
        state = dict(self.__dict__)
        state["_sent_placement"] = self._placement()
        state["_balance"] = replace(self._balance, callback=None)
        return state

    def __deepcopy__(self, memo: dict[int, object]) -> StreamDataset:
        copied = StreamDataset(self.readings, self._balance, self.tasks, self.settings)
        memo[id(self)] = copied
        return copied

    def __len__(self) -> int:
        """Items of a rank in an epoch, as this process's training runs now."""
        world = self._placement().world
        items = self.settings.epoch_items
        return items // world if self.settings.ends == "drop" else -(-items // world)

    def __iter__(self) -> Iterator[Item]:
        info = torch.utils.data.get_worker_info()
        worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
        token = None if info is None else info.seed - info.id
        begun = self._book.claim(token, worker, self._quotas)
        placement = self._placement()
        batch = self.settings.batch or placement.batch or 1
        return self._items(
            begun, self._layout(begun, placement.world, batch, workers), placement, worker
        )

    def for_loader(self, batch: int, *, pictures_later: bool) -> StreamDataset:
        """The same stream, counting the same epochs, for a loader of that batch size.

        ``pictures_later``: its ``collate_fn`` is ``batches.collate``.
        """
        stream = copy.copy(self)
        stream.settings = replace(self.settings, batch=batch)
        stream._pictures_later = pictures_later
        return stream

    def record(self, values: Mapping[str, float]) -> None:
        """Say how the training on each dataset goes, for example the loss, by name.

        With several ranks all must call it; the mean counts. Under ``Balance.dynamic`` with a
        callback its answer becomes the weights of the next epoch.
        """
        self._recorded = _mean_over_ranks(values)
        if self._balance.callback is not None:
            weights = self._balance.callback(self.report())
            shares = Balance.fixed(weights).targets(self._sizes)
            self._book.set_weights(shares.tolist())

    def report(self) -> BalanceReport:
        """Sizes, target weights and draws so far of each dataset."""
        names = list(self._sizes)
        return BalanceReport(
            sizes=dict(self._sizes),
            weights=dict(zip(names, self._targets.tolist(), strict=True)),
            drawn=dict(zip(names, self._book.drawn, strict=True)),
            recorded=dict(self._recorded),
        )

    @property
    def needs_spawn(self) -> bool:
        """Whether workers must not be forked: a client of a store is at work in this process."""
        return any(one.source.needs_spawn for one in self.readings)

    def verdicts(self) -> list[Verdict]:
        """What the check of each dataset found."""
        return [one.verdict for one in self.readings]

    def begun(self, token: int | None) -> Pass | None:
        """The pass that the workers of a loader with that base seed are in."""
        return self._book.begun(token)

    def upcoming(self) -> Pass:
        return self._book.upcoming(self._quotas)

    def resume(self, rest: Pass) -> None:
        """Let the next pass be what is left of this one."""
        self._book.resume(rest)

    def start_at(self, epoch: int) -> None:
        """Let the next pass be that epoch, for weights that do not depend on what was drawn."""
        counts = self._quotas([0] * len(self.readings), None)
        drawn = tuple(epoch * count for count in counts)
        self._book.resume(Pass(epoch, drawn, tuple(counts)))

    def _placement(self) -> Placement:
        if self._sent_placement is not None and torch.utils.data.get_worker_info() is not None:
            return self._sent_placement
        return placement_of(self)

    def _quotas(self, drawn: Sequence[int], weights: list[float] | None) -> list[int]:
        items = self.settings.epoch_items
        shares = self._targets if weights is None else normalised(np.asarray(weights))
        if self._balance.kind == "dynamic" and weights is None and self._balance.callback is None:
            shares = compensating(self._targets, drawn, items)
        return [int(one) for one in quotas(shares, items)]

    def _layout(self, begun: Pass, world: int, batch: int, workers: int) -> Layout:
        mixed = self.settings.mixed_runs if self.settings.shuffle == "local" else 0
        seed = (self.settings.seed, begun.epoch)
        return Layout(world, batch, workers, self.settings.ends, mixed, seed)

    def _items(
        self, begun: Pass, layout: Layout, placement: Placement, worker: int
    ) -> Iterator[Item]:
        stream = self._stream(begun, layout, placement.rank, worker)
        with ReadAhead(
            self.readings,
            stream,
            self.settings.read_ahead,
            decodes_runs=self.settings.shuffle == "local",
        ) as ahead:
            for number, raw in ahead:
                builder = self.readings[number].builder
                item = builder.finish(raw, pictures_later=self._pictures_later)
                item["dataset_index"] = torch.tensor(number)
                yield item

    def _stream(self, begun: Pass, layout: Layout, rank: int, worker: int) -> Draws:
        draws = draw(
            [one.items for one in self.readings],
            begun.quotas,
            begun.drawn,
            self.settings.seed,
            self.settings.shuffle,
        )
        sequence = rest_of(draws, begun, layout, rank)
        own = worker_stream(sequence, layout, worker)
        return Draws(draws.source[own], draws.item[own], draws.run[own])


def rest_of(draws: Draws, begun: Pass, layout: Layout, rank: int) -> Rows:
    """The positions that a rank has yet to draw in a pass, in order.

    With the layout that the consumed part had, they are exactly the rest of its sequence; with
    another (more ranks, other batches), what no rank has drawn is dealt out anew.
    """
    positions = np.arange(len(draws), dtype=np.int64)
    for number, part in enumerate(begun.consumed):
        then = replace(layout, world=part.world, batch=part.batch, workers=part.workers)
        if number == len(begun.consumed) - 1 and _deals_alike(then, layout):
            return rank_sequence(draws, positions, then, rank)[part.batches * part.batch :]
        taken = [
            rank_sequence(draws, positions, then, one)[: part.batches * part.batch]
            for one in range(part.world)
        ]
        positions = without(positions, np.concatenate(taken))
    return rank_sequence(draws, positions, layout, rank)


def _deals_alike(one: Layout, other: Layout) -> bool:
    same = one.world == other.world and one.batch == other.batch
    return same and (one.workers == other.workers or not one.mixed_runs)


def make_interleave_dataset(
    places: Mapping[str, Place] | Sequence[Place],
    config: LoadingConfig | None = None,
    *,
    balance: Balance | None = None,
    seed: int = 0,
    shuffle: Shuffle = "full",
    ends: Ends = "pad",
    epoch_items: int | None = None,
    storage: StorageConfig | None = None,
    lazy: bool = False,
) -> StreamDataset:
    """Interleave LeRobot datasets (folders, ``s3://`` addresses, or prefixes in ``storage``).

    ``places`` by name, or a list: then named after their folders. ``epoch_items`` is how many items
    an epoch draws on all ranks together; by default as many as there are. ``ends``: where the ranks
    do not divide them, up to ranks - 1 items come twice (``pad``) or not at all (``drop``). Raises
    ``ConfigError`` or ``Refused`` (naming the file).
    """
    config = config or LoadingConfig()
    named = places.items() if isinstance(places, Mapping) else [(None, place) for place in places]
    sources = [
        open_source(place, config, storage=storage, name=name, lazy=lazy) for name, place in named
    ]
    return stream_of(
        sources,
        config,
        balance=balance or Balance.by_size(),
        seed=seed,
        shuffle=shuffle,
        ends=ends,
        epoch_items=epoch_items,
    )


def stream_of(
    sources: Sequence[Source],
    config: LoadingConfig,
    *,
    balance: Balance,
    seed: int,
    shuffle: Shuffle,
    ends: Ends,
    epoch_items: int | None,
) -> StreamDataset:
    """The stream over opened sources."""
    if not sources:
        raise ConfigError("there is no dataset to stream")
    if len({source.name for source in sources}) < len(sources):
        raise ConfigError("two datasets have the same name; give places by name")
    tasks, numbers = common_tasks(sources)
    readings = []
    by_frame = config.validation.exclude == "frame"
    for source, plans, numbering in zip(
        sources, common_plans(sources, config), numbers, strict=True
    ):
        verdict = judge(source, config.validation)
        rows = usable_rows(source, verdict, plans, by_frame=by_frame)
        builder = ItemBuilder(source, plans, config.tasks or "index", numbering)
        runs = runs_of(rows, starts_of(source.lengths), RUN_ROWS)
        readings.append(Reading(builder, Items(rows, runs), verdict))
    items = epoch_items or sum(len(one.items) for one in readings)
    settings = StreamSettings(
        seed, shuffle, ends, items, _mixed_runs(readings, config), config.read_ahead
    )
    return StreamDataset(readings, balance, tasks, settings)


def stream_of_chunks(dataset: ChunkDataset, *, seed: int, shuffle: Shuffle) -> StreamDataset:
    """The stream of a map-style dataset's items."""
    source = dataset.source
    runs = runs_of(dataset.rows, starts_of(source.lengths), RUN_ROWS)
    reading = Reading(dataset.builder, Items(dataset.rows, runs), dataset.verdict)
    settings = StreamSettings(seed, shuffle, "pad", len(dataset), 1, read_ahead=2)
    return StreamDataset([reading], Balance.by_size(), source.tasks, settings)


def _mixed_runs(readings: Sequence[Reading], config: LoadingConfig) -> int:
    """How many runs the frame cache holds at once, of the most expensive dataset."""
    most = 1
    for one in readings:
        cameras = [plan for plan in one.builder.plans.values() if plan.is_camera and plan.feature]
        run_bytes = sum(
            one.source.picture_bytes(plan.feature or "") * (RUN_ROWS + _extent(plan.offsets))
            for plan in cameras
        )
        most = max(most, run_bytes)
    return max(int(config.frame_cache_mb * 1e6 * _SHARE_FOR_RUNS / most), 1) if most > 1 else 64


def _extent(offsets: Rows | None) -> int:
    return 0 if offsets is None else int(max(offsets.max(), 0) - min(offsets.min(), 0))


def _mean_over_ranks(values: Mapping[str, float]) -> dict[str, float]:
    import torch.distributed as dist

    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return dict(values)
    gathered: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(gathered, dict(values))
    names = list(dict.fromkeys(name for one in gathered for name in one))
    return {name: float(np.mean([one[name] for one in gathered if name in one])) for name in names}
