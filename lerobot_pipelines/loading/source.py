"""One dataset as the loaders see it, whatever it is stored as."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.loading.deltas import Rows

Picture = NDArray[np.uint8]  # (height, width, 3), RGB

# Every dataset has them, one number a row.
ROW_KEYS = ("timestamp", "frame_index", "episode_index", "index", "task_index")


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """``shape`` is that of one row; of cameras (height, width, channels)."""

    dtype: str
    shape: tuple[int, ...]
    names: tuple[str, ...] | None = None

    @property
    def is_camera(self) -> bool:
        return self.dtype in ("video", "image")


class Source(Protocol):
    """Episodes of rows and pictures. Reading is safe from several threads, and after a fork."""

    @property
    def name(self) -> str: ...

    @property
    def fps(self) -> int: ...

    @property
    def features(self) -> Mapping[str, FeatureSpec]: ...

    @property
    def lengths(self) -> Rows:
        """Rows of each episode."""
        ...

    @property
    def tasks(self) -> Sequence[str]:
        """By ``task_index``."""
        ...

    @property
    def statistics(self) -> Mapping[str, Mapping[str, NDArray[np.float64]]]:
        """Feature -> "min", "max", "mean", "std", "q01", ... -> array of one row's shape."""
        ...

    @property
    def needs_spawn(self) -> bool:
        """Whether worker processes must be spawned: a fork would break a client at work here."""
        ...

    def values(self, key: str, episode: int, rows: Rows) -> NDArray[Any]:
        """Values of a feature that is no camera: (len(rows), *shape); rows count in the episode."""
        ...

    def pictures(
        self, camera: str, episode: int, rows: Rows, keep: range | None = None
    ) -> list[Picture]:
        """One picture per row. Rows in ``keep`` will be asked for soon: decode them on the way."""
        ...

    def picture_bytes(self, camera: str) -> int:
        """What keeping one decoded picture costs, in bytes."""
        ...

    def will_need(self, episode: int) -> None:
        """The episode will be read soon; a source far away may begin to fetch it."""
        ...


def starts_of(lengths: Rows) -> Rows:
    """The first row of each episode, and the number of all rows at the end: (episodes + 1,)."""
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths, dtype=np.int64)])
