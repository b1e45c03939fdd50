"""The map-style dataset: any item at any time, equal to lerobot's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch.utils.data

from lerobot_pipelines.config.schema import StorageConfig
from lerobot_pipelines.loading.config import LoadingConfig
from lerobot_pipelines.loading.deltas import Rows
from lerobot_pipelines.loading.items import Item, ItemBuilder
from lerobot_pipelines.loading.opening import Place, open_source
from lerobot_pipelines.loading.plan import plan_keys, with_deltas
from lerobot_pipelines.loading.source import Source
from lerobot_pipelines.loading.usable import usable_rows
from lerobot_pipelines.loading.verdict import Verdict, judge


class ChunkDataset(torch.utils.data.Dataset[Item]):
    """Items of one LeRobot dataset: observation history and action chunk of each usable row.

    ``rows`` are the rows of the dataset that are items, int64 (len(self),); all, unless some were
    excluded. ``verdict`` says what was checked and why rows are left out.

    An item is a dict as lerobot's: cameras float32 (3, height, width) from 0 to 1, vectors
    (elements,), with a time axis in front and ``<key>_is_pad`` bool (steps,) where the key has
    steps; timestamp, frame_index, episode_index, index, task_index as 0-d tensors, ``task`` text.
    """

    def __init__(self, builder: ItemBuilder, rows: Rows, verdict: Verdict) -> None:
        self.builder = builder
        self.rows = rows
        self.verdict = verdict

    @property
    def source(self) -> Source:
        return self.builder.source

    @property
    def fps(self) -> int:
        return self.source.fps

    @property
    def tasks(self) -> Sequence[str]:
        """By ``task_index``."""
        return self.source.tasks

    def __len__(self) -> int:
        return len(self.rows)

    def taking(self, items: Sequence[int]) -> ChunkDataset:
        """The dataset of some of its items, in that order; they may repeat."""
        return ChunkDataset(self.builder, self.rows[np.asarray(items, np.int64)], self.verdict)

    def __getitem__(self, index: int) -> Item:
        if not -len(self) <= index < len(self):
            raise IndexError(f"there are {len(self)} items, not one {index}")
        return self.builder.finish(self.builder.read(int(self.rows[index])))

    def __getitems__(self, indices: Sequence[int]) -> list[Item]:
        """Several items at once; what they share of a video is decoded once."""
        order = np.argsort(np.asarray(indices), kind="stable")
        items: dict[int, Item] = {int(one): self[int(indices[one])] for one in order}
        return [items[position] for position in range(len(indices))]


def make_chunk_dataset(
    place: Place,
    config: LoadingConfig | None = None,
    *,
    delta_timestamps: Mapping[str, list[float]] | None = None,
    storage: StorageConfig | None = None,
    episodes: Sequence[int] | None = None,
) -> ChunkDataset:
    """Open a LeRobot dataset (v2.1, v3.0; a folder, ``s3://bucket/prefix``, or a prefix in
    ``storage``) for random access.

    ``delta_timestamps`` as lerobot has it, in seconds by feature; or say more with ``config``.
    ``episodes`` limits the items to those. Raises ``Refused`` (naming the file) or ``ConfigError``.
    """
    config = config or LoadingConfig()
    source = open_source(place, config, storage=storage)
    if delta_timestamps is not None:
        config = with_deltas(config, source, delta_timestamps)
    plans = plan_keys(source, config)
    _require_all(source, config, plans)
    verdict = judge(source, config.validation)
    by_frame = config.validation.exclude == "frame"
    rows = usable_rows(source, verdict, plans, episodes, by_frame=by_frame)
    return ChunkDataset(ItemBuilder(source, plans, config.tasks), rows, verdict)


def _require_all(source: Source, config: LoadingConfig, plans: Mapping[str, object]) -> None:
    from lerobot_pipelines.errors import ConfigError

    absent = [key for key in config.keys if key not in plans]
    if absent:
        raise ConfigError(
            f"{source.name} has no feature, camera or topic for {', '.join(absent)}; it has "
            f"{', '.join(source.features)}"
        )
