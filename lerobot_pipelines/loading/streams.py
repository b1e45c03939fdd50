"""The iterable dataset: several datasets interleaved by weight, for any loader, on any rank."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.utils.data

from lerobot_pipelines.errors import ConfigError
from lerobot_pipelines.loading.balance import (
    Balance,
    BalanceReport,
    compensating,
    normalised,
    quotas,
)
from lerobot_pipelines.loading.epochs import EpochBook, Pass
from lerobot_pipelines.loading.identity import StreamIdentity, identity_of, require_equal
from lerobot_pipelines.loading.items import Item
from lerobot_pipelines.loading.order import Draws, Ends, Layout, Shuffle, draw, worker_stream
from lerobot_pipelines.loading.placement import Placement, consumed_from, placement_of
from lerobot_pipelines.loading.reading import ReadAhead, Reading
from lerobot_pipelines.loading.resuming import rest_of
from lerobot_pipelines.loading.verdict import Verdict

STATE_VERSION = 2


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """See ``interleave.StreamOptions``. ``mixed_runs``: how many runs ``shuffle: local`` mixes.
    ``batch``: the batch size if known, so that batches do not depend on the number of workers."""

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

    def __copy__(self) -> StreamDataset:
        # Not by ``__getstate__``: a copy in this process asks for its rank when it is read.
        copied = object.__new__(StreamDataset)
        copied.__dict__.update(self.__dict__)
        return copied

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
        before = begun.consumed[-1].batch if begun.consumed else 1
        batch = self.settings.batch or placement.batch or before
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

    def state_dict(self, loader: torch.utils.data.DataLoader[Any], batches: int) -> dict[str, Any]:
        """How far a training is that reads this dataset through a loader of its own making, plain
        or prepared by Accelerate; ``make_loader``'s has a ``state_dict`` that counts by itself.

        ``batches``: those that this process had of the epoch it is in. JSON-able, and the same on
        every rank; under Accelerate ask the main process.
        """
        begun = self._book.latest()
        if not batches or begun is None:
            return self.state_of(self.upcoming())
        return self.state_of(begun.after(consumed_from(loader, batches, self._placement().world)))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Let the next pass be the rest of the one that ``state`` was taken in; then whole ones.

        ``ConfigError`` for the state of another stream: of other datasets, of datasets that have
        grown or changed, of another seed or order. ``start_at`` begins a whole epoch with any.
        """
        if state.get("version") != STATE_VERSION:
            raise ConfigError(
                f"the loader's state has version {state.get('version')!r}, not {STATE_VERSION}; "
                "begin the epoch anew with start_at"
            )
        require_equal(StreamIdentity.from_json(state["stream"]), self._identity())
        self._book.resume(Pass.from_json(state["pass"]))

    def state_of(self, rest: Pass) -> dict[str, Any]:
        """What ``load_state_dict`` takes, for the rest of a pass over this stream."""
        stream = self._identity().to_json()
        return {"version": STATE_VERSION, "pass": rest.to_json(), "stream": stream}

    def _identity(self) -> StreamIdentity:
        settings = self.settings
        mixed = settings.mixed_runs if settings.shuffle == "local" else 0
        return StreamIdentity(
            settings.seed,
            settings.shuffle,
            settings.ends,
            settings.epoch_items,
            mixed,
            tuple(identity_of(one) for one in self.readings),
        )

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
        if placement.tensors_only and any(one.builder.must_tell_task for one in self.readings):
            raise ConfigError(
                "Accelerate dispatches tensors only: say tasks: index, and look the text up in "
                "the dataset's tasks; or prepare the loader with dispatch_batches=False"
            )
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
                if placement.tensors_only:
                    item.pop("task", None)
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


def _mean_over_ranks(values: Mapping[str, float]) -> dict[str, float]:
    import torch.distributed as dist

    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return dict(values)
    gathered: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(gathered, dict(values))
    names = list(dict.fromkeys(name for one in gathered for name in one))
    return {name: float(np.mean([one[name] for one in gathered if name in one])) for name in names}
