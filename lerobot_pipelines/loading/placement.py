"""Which part of the data is this process's: asked of whoever runs the training, at every pass."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Placement:
    """``batch`` is the batch size, where the loader tells it; None otherwise."""

    rank: int
    world: int
    batch: int | None = None


def placement_of(reader: object) -> Placement:
    """Rank and number of ranks for a dataset or sampler that a loader of this process reads.

    In this order: a loader that Accelerate prepared deals the data out to the ranks itself, so
    there is one reader; torch.distributed; the variables that torchrun sets.
    """
    prepared = _accelerate_loader(reader)
    if prepared is not None:
        return Placement(0, 1, getattr(prepared, "batch_size", None))
    import torch.distributed as dist

    if dist.is_available() and dist.is_initialized():
        return Placement(dist.get_rank(), dist.get_world_size())
    world = int(os.environ.get("WORLD_SIZE", "1"))
    rank = int(os.environ.get("RANK", "0"))
    return Placement(rank, world) if 0 <= rank < world else Placement(0, 1)


def _accelerate_loader(reader: object) -> Any | None:
    """The loader of Accelerate that is reading from ``reader`` now, if there is one."""
    module = sys.modules.get("accelerate.state")
    if module is None or not module.GradientState._shared_state:
        return None
    loader = module.GradientState().active_dataloader
    return loader if any(part is reader for part in _parts(loader)) else None


def _parts(loader: Any) -> Iterator[object]:
    """The datasets and samplers inside a prepared loader, whatever they are wrapped in."""
    wraps = ("dataset", "batch_sampler", "sampler")
    waiting = [getattr(loader, name, None) for name in wraps[:2]]
    while waiting:
        part = waiting.pop()
        if part is not None:
            yield part
            waiting += [getattr(part, name, None) for name in wraps]
