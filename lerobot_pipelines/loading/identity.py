"""What a stream is, so that the state of one is not taken for the state of another.

A place within an epoch means something only for the same items in the same order. The number of
ranks, workers and the batch size are no part of it: ``resuming`` deals what is left out anew.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from lerobot_pipelines.errors import ConfigError
from lerobot_pipelines.loading.reading import Reading


@dataclass(frozen=True, slots=True)
class DatasetIdentity:
    """``content`` (64 hex digits) is of the episodes' lengths, tasks and statistics, and of which
    rows are items; ``name`` is for messages, for a dataset may be moved."""

    name: str = field(compare=False)
    items: int
    content: str


@dataclass(frozen=True, slots=True)
class StreamIdentity:
    """See ``streams.StreamSettings``; ``mixed_runs`` is 0 where it has no part in the order."""

    seed: int
    shuffle: str
    ends: str
    epoch_items: int
    mixed_runs: int
    datasets: tuple[DatasetIdentity, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(state: dict[str, Any]) -> StreamIdentity:
        datasets = tuple(DatasetIdentity(**one) for one in state["datasets"])
        return StreamIdentity(**{**state, "datasets": datasets})


def identity_of(reading: Reading) -> DatasetIdentity:
    """Of one dataset of a stream; reads nothing that was not read when it was opened."""
    source, rows = reading.source, reading.items.rows
    digest = hashlib.sha256(f"{source.fps}\0{chr(0).join(source.tasks)}\0".encode())
    for array in (source.lengths, rows):
        digest.update(np.ascontiguousarray(array, np.int64).tobytes() + b"\0")
    for key in sorted(source.statistics):
        for measure, values in sorted(source.statistics[key].items()):
            digest.update(f"{key}\0{measure}\0".encode())
            digest.update(np.ascontiguousarray(values, np.float64).tobytes())
    return DatasetIdentity(source.name, len(rows), digest.hexdigest())


def require_equal(then: StreamIdentity, now: StreamIdentity) -> None:
    """Raises ``ConfigError`` that says what differs, and what can be done."""
    found = [
        f"{name} was {getattr(then, name)!r} and is {getattr(now, name)!r}"
        for name in ("seed", "shuffle", "ends", "mixed_runs")
        if getattr(then, name) != getattr(now, name)
    ]
    if len(then.datasets) != len(now.datasets):
        found.append(f"it is of {len(then.datasets)} datasets, not {len(now.datasets)}")
    for before, after in zip(then.datasets, now.datasets, strict=False):
        if before.items != after.items:
            found.append(f"{after.name} had {before.items} items and has {after.items}")
        elif before.content != after.content:
            found.append(f"{after.name} has other content than {before.name} had")
    if not found and then.epoch_items != now.epoch_items:
        found.append(f"epoch_items was {then.epoch_items} and is {now.epoch_items}")
    if found:
        raise ConfigError(
            f"the loader's state is of another stream: {'; '.join(found)}. Items would come twice "
            "or never; open the same dataset in the same way, or begin a whole epoch with start_at"
        )
