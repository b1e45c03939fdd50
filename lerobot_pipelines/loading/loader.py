"""A DataLoader that knows how far the training is, and so can be resumed within an epoch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch.utils.data

from lerobot_pipelines.errors import ConfigError
from lerobot_pipelines.loading.batches import collate
from lerobot_pipelines.loading.chunks import ChunkDataset
from lerobot_pipelines.loading.epochs import Consumed, Pass
from lerobot_pipelines.loading.interleave import stream_of_chunks
from lerobot_pipelines.loading.placement import placement_of
from lerobot_pipelines.loading.streams import StreamDataset


class Loader(torch.utils.data.DataLoader[dict[str, Any]]):
    """Batches of a stream. ``len`` is the batches of this rank in a whole epoch.

    ``state_dict`` counts what the training has taken, not what workers have prefetched; a loader of
    a new process that loads it yields the rest of the epoch, then whole epochs. It holds the same
    on every rank.
    """

    dataset: StreamDataset

    def __iter__(self) -> Iterator[dict[str, Any]]:  # type: ignore[override]
        self._batches = 0
        self._pass: Pass | None = None
        inner = super().__iter__()
        # Single-process loaders claim their pass without a token; see ``EpochBook.claim``.
        self._token: int | None = int(inner._base_seed) if self.num_workers else None
        return self._counted(inner)

    def _counted(self, inner: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        while (batch := _next(inner)) is not None:
            if self._pass is None:
                self._pass = self.dataset.begun(self._token)
            self._batches += 1
            yield batch
        self._pass = None

    def state_dict(self) -> dict[str, Any]:
        """JSON-able. At the end of an epoch it stands for the beginning of the next."""
        current: Pass | None = getattr(self, "_pass", None)
        if current is None:
            return self.dataset.state_of(self.dataset.upcoming())
        world = placement_of(self.dataset).world
        taken = Consumed(self._batches, self._batch(), world, max(self.num_workers, 1))
        return self.dataset.state_of(current.after(taken))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where ``state`` was taken. ``ConfigError`` for the state of another stream."""
        self.dataset.load_state_dict(state)

    def _batch(self) -> int:
        assert self.batch_size is not None
        return self.batch_size


def _whole(dataset: Any) -> StreamDataset | ChunkDataset:
    """A part of a dataset as a dataset of its own."""
    if isinstance(dataset, StreamDataset | ChunkDataset):
        return dataset
    if isinstance(dataset, torch.utils.data.Subset):
        inner = _whole(dataset.dataset)
        if isinstance(inner, ChunkDataset):
            return inner.taking(dataset.indices)
        raise ConfigError("a stream has no parts; take a Subset of make_chunk_dataset's dataset")
    raise ConfigError(
        f"make_loader takes datasets of this package and Subsets of them, no "
        f"{type(dataset).__name__}; several datasets become one by make_interleave_dataset, and "
        "any dataset works with torch.utils.data.DataLoader"
    )


def _next(batches: Iterator[dict[str, Any]]) -> dict[str, Any] | None:
    """The next batch. ``RuntimeError`` for a worker that died, whatever its death broke first:
    torch notices some deaths itself, others only as a connection that is gone."""
    try:
        return next(batches, None)
    except (OSError, EOFError) as error:
        workers = getattr(batches, "_workers", [])
        for worker in workers:
            worker.join(0.1)
        dead = [worker for worker in workers if worker.exitcode]
        if not dead:
            raise
        raise RuntimeError(
            f"loading worker (pid {dead[0].pid}) died with exit code {dead[0].exitcode}; "
            "-9 is often the kernel's when memory runs out: fewer workers or smaller caches help"
        ) from error


def make_loader(
    dataset: StreamDataset | ChunkDataset | torch.utils.data.Subset[dict[str, Any]],
    batch_size: int,
    *,
    num_workers: int = 0,
    seed: int = 0,
    shuffle: bool = True,
    **settings: Any,
) -> Loader:
    """Batches of a dataset, on every rank the same number.

    ``dataset`` may also be a part of a ``ChunkDataset``, as ``torch.utils.data.Subset`` and
    ``random_split`` make them. Raises ``ConfigError`` for other datasets. ``seed`` and ``shuffle``
    are for a ``ChunkDataset``; a stream has its own. ``settings`` go to
    ``torch.utils.data.DataLoader`` (``persistent_workers``, ``pin_memory``, ``prefetch_factor``,
    ``drop_last``, ``collate_fn``, ...).
    """
    for name in ("sampler", "batch_sampler"):
        if settings.get(name) is not None:
            raise ConfigError(f"{name}: the dataset has an order of its own")
    dataset = _whole(dataset)
    if isinstance(dataset, ChunkDataset):
        dataset = stream_of_chunks(dataset, seed=seed, shuffle="full" if shuffle else "none")
    pictures_later = settings.get("collate_fn") is None
    if pictures_later:
        settings["collate_fn"] = collate
    dataset = dataset.for_loader(batch_size, pictures_later=pictures_later)
    if num_workers and dataset.needs_spawn:
        settings.setdefault("multiprocessing_context", "spawn")
    return Loader(dataset, batch_size=batch_size, num_workers=num_workers, **settings)
