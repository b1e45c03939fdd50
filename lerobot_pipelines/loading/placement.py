"""Which part of the data is this process's: asked of whoever runs the training, at every pass."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any

from lerobot_pipelines.loading.epochs import Consumed

_FRAMES = 8  # between a dataset's or sampler's __len__ and the loader around it


@dataclass(frozen=True, slots=True)
class Placement:
    """``batch`` is the batch size, where the loader tells it; None otherwise. ``tensors_only``:
    whether the loader dispatches batches to other ranks, which text does not survive."""

    rank: int
    world: int
    batch: int | None = None
    tensors_only: bool = False


def placement_of(reader: object) -> Placement:
    """Rank and number of ranks for a dataset or sampler that a loader of this process reads.

    In this order: a loader that Accelerate prepared deals the data out to the ranks itself, so
    there is one reader; torch.distributed; the variables that torchrun sets.
    """
    prepared = _reading_loader(reader)
    prepared = _asking_loader() if prepared is None else prepared
    if prepared is not None:
        batch = getattr(prepared, "batch_size", None)
        return Placement(0, 1, batch, tensors_only=_dispatches(prepared))
    import torch.distributed as dist

    if dist.is_available() and dist.is_initialized():
        return Placement(dist.get_rank(), dist.get_world_size())
    world = int(os.environ.get("WORLD_SIZE", "1"))
    rank = int(os.environ.get("RANK", "0"))
    return Placement(rank, world) if 0 <= rank < world else Placement(0, 1)


def consumed_from(loader: Any, batches: int, world: int) -> Consumed:
    """What batches that each rank took of a loader were drawn as; ``world`` is the ranks' number.

    A plain loader does not tell its dataset how large batches are, so items are dealt singly. One
    that Accelerate prepared reads for all ranks: it dispatches a batch to each, or lets every rank
    read all and keep its part.
    """
    workers, batch = max(loader.num_workers, 1), loader.batch_size
    if not _is_accelerates(loader):
        return Consumed(batches, batch, world, workers, dealt=1)
    if _dispatches(loader):
        ranks = 1 if loader.split_batches else loader.state.num_processes
        return Consumed(batches * ranks, batch, 1, workers)
    ranks = getattr(loader.dataset, "num_processes", 1)
    return Consumed(batches, batch * ranks, 1, workers, dealt=batch)


def _reading_loader(reader: object) -> Any | None:
    """The loader of Accelerate that is reading from ``reader`` now, if there is one."""
    module = sys.modules.get("accelerate.state")
    if module is None or not module.GradientState._shared_state:
        return None
    loader = module.GradientState().active_dataloader
    return loader if any(part is reader for part in _parts(loader)) else None


def _asking_loader() -> Any | None:
    """The loader of Accelerate that is asking for a length, before it says that it reads."""
    if "accelerate.data_loader" not in sys.modules:
        return None
    frame: FrameType | None = sys._getframe(2)
    for _ in range(_FRAMES):
        if frame is None:
            return None
        asking = frame.f_locals.get("self")
        if _is_accelerates(asking):
            return asking
        frame = frame.f_back
    return None


def _dispatches(loader: object) -> bool:
    return type(loader).__name__ == "DataLoaderDispatcher"


def _is_accelerates(thing: object) -> bool:
    return type(thing).__module__ == "accelerate.data_loader"


def _parts(loader: Any) -> Iterator[object]:
    """The datasets and samplers inside a prepared loader, whatever they are wrapped in."""
    wraps = ("dataset", "batch_sampler", "sampler")
    waiting = [getattr(loader, name, None) for name in wraps[:2]]
    while waiting:
        part = waiting.pop()
        if part is not None:
            yield part
            waiting += [getattr(part, name, None) for name in wraps]
