"""The order of a map-style dataset, for those who build their own DataLoader."""

from __future__ import annotations

from collections.abc import Iterator, Sized
from typing import Any

import numpy as np
import torch.utils.data

from lerobot_pipelines.loading.order import Ends
from lerobot_pipelines.loading.placement import placement_of


class EpochSampler(torch.utils.data.Sampler[int]):
    """Indices of a map-style dataset: this rank's part, in another order every epoch.

    Give it as ``sampler`` to any DataLoader; nothing has to be called between epochs. Each rank
    gets the same number: up to ranks - 1 come twice (``ends="pad"``) or not at all (``"drop"``).
    """

    def __init__(
        self, dataset: Sized, *, seed: int = 0, shuffle: bool = True, ends: Ends = "pad"
    ) -> None:
        self._size = len(dataset)
        self._seed = seed
        self._shuffle = shuffle
        self._ends = ends
        self._epoch = 0  # the next one
        self._skip = 0  # indices of its beginning

    def __len__(self) -> int:
        world = placement_of(self).world
        return self._size // world if self._ends == "drop" else -(-self._size // world)

    def __iter__(self) -> Iterator[int]:
        placement = placement_of(self)
        epoch, skip = self._epoch, self._skip
        self._epoch, self._skip = epoch + 1, 0
        if self._shuffle:
            order = np.random.default_rng([self._seed, epoch]).permutation(self._size)
        else:
            order = np.arange(self._size)
        share = len(self)
        places = np.arange(placement.rank, share * placement.world, placement.world)
        return iter(np.take(order, places, mode="wrap")[skip:].tolist())

    def state_dict(self, taken: int) -> dict[str, Any]:
        """``taken``: items of this rank that the training has had of the epoch it is in.

        It must be told, because a DataLoader asks for indices long before it hands out the items.
        """
        finished = taken >= len(self)
        return {"epoch": self._epoch - (not finished), "taken": 0 if finished else taken}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Let the next iteration be the rest of that epoch."""
        self._epoch, self._skip = int(state["epoch"]), int(state["taken"])
