"""Datasets that save as told: whole, slowly, or not at all."""

from __future__ import annotations

import errno
import threading
from pathlib import Path
from typing import Any

import numpy as np


class FolderDataset:
    """Saves an episode as one file, whole or not at all. ``faults`` maps a label to its fault."""

    def __init__(self, root: Path, faults: dict[int, BaseException] | None = None) -> None:
        self.root = root
        self.faults = faults or {}
        self.may_save = threading.Event()
        self.may_save.set()
        self.begun: list[int] = []
        self.threads: set[int] = set()
        root.mkdir(parents=True, exist_ok=True)

    @property
    def total_episodes(self) -> int:
        return len(list(self.root.glob("*.npy")))

    def save_episode(self, episode_buffer: dict[str, Any]) -> None:
        label = int(episode_buffer["label"])
        self.begun.append(label)
        self.threads.add(threading.get_ident())
        assert self.may_save.wait(30)
        if label in self.faults:
            raise self.faults[label]
        np.save(self.root / f"{episode_buffer['episode_index']:06d}.npy", episode_buffer["label"])

    def labels(self) -> list[int]:
        """What was saved, by index; fails if the indices have a hole."""
        paths = sorted(self.root.glob("*.npy"))
        assert [int(path.stem) for path in paths] == list(range(len(paths)))
        return [int(np.load(path)) for path in paths]


def buffer(label: int, size: int = 8) -> dict[str, Any]:
    return {"episode_index": label, "label": label, "data": np.zeros(size, np.uint8)}


def full_disk() -> OSError:
    return OSError(errno.ENOSPC, "No space left on device")
