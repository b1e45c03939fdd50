"""Episodes on disk between their recording and their save, so that no crash loses one.

Every take has a number and a folder: its pictures as they come, then ``episode.npz`` with the
rest, written last. A folder without ``episode.npz`` is a take that was never submitted.
"""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lerobot_pipelines.recorder.disk import FolderLock, sync_folder, write_whole

_EPISODE = "episode.npz"
# Everything of the buffer that is no array, as JSON; no feature has this name.
_PLAIN = "/plain"
_ERROR = "error.txt"


@dataclass(frozen=True, slots=True)
class SpooledEpisode:
    """A submitted episode. ``index`` is the one it was submitted under."""

    number: int
    index: int
    folder: Path


def spool_folder(root: Path) -> Path:
    """Beside the dataset, not in it: lerobot counts files, and uploads whatever lies there."""
    return root.with_name(f".{root.name}.spool")


class Spool:
    """The spool of one dataset, for one process at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._takes = folder / "takes"
        self._failed = folder / "failed"
        self._lock: FolderLock | None = None

    def open(self) -> None:
        """Lock it, and clear away takes that were never submitted. Raises ``SpoolInUse``."""
        self._takes.mkdir(parents=True, exist_ok=True)
        self._lock = FolderLock(self.folder)
        for path in self._takes.iterdir():
            if not (path / _EPISODE).exists():
                shutil.rmtree(path)

    def close(self) -> None:
        """Unlock it, and remove it if it is empty."""
        if self._lock is None:
            return
        for folder in (self._takes, self._failed):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        if {path.name for path in self.folder.iterdir()} == {"lock"}:
            shutil.rmtree(self.folder)
        self._lock.release()
        self._lock = None

    def pictures(self, number: int) -> Path:
        """Where the pictures of a take lie, in a folder per camera."""
        return self._takes / f"{number:06d}" / "pictures"

    def put(
        self, number: int, index: int, buffer: dict[str, Any], cameras: list[str]
    ) -> SpooledEpisode:
        """Submit a take: all of its buffer but the pictures, which are there already."""
        folder = self._takes / f"{number:06d}"
        folder.mkdir(parents=True, exist_ok=True)
        plain, arrays = _split(buffer, cameras)
        content = {"index": index, "plain": plain, "keys": list(buffer)}
        arrays[_PLAIN] = np.frombuffer(json.dumps(content).encode(), np.uint8)
        file = io.BytesIO()
        np.savez(file, **arrays)
        write_whole(folder / _EPISODE, file.getbuffer())
        sync_folder(self._takes)
        return SpooledEpisode(number, index, folder)

    def buffer_of(self, episode: SpooledEpisode) -> dict[str, Any]:
        """The buffer as it was put, its keys in the same order; those of pictures are missing."""
        with np.load(episode.folder / _EPISODE, allow_pickle=False) as arrays:
            content = json.loads(arrays[_PLAIN].tobytes())
            values = {key: list(arrays[key]) for key in arrays.files if key != _PLAIN}
        values |= content["plain"]
        return {key: values[key] for key in content["keys"] if key in values}

    def submitted(self) -> Iterator[SpooledEpisode]:
        """What waits to be saved, in the order it was recorded."""
        if not self._takes.is_dir():
            return
        for folder in sorted(self._takes.iterdir()):
            if (folder / _EPISODE).exists():
                with np.load(folder / _EPISODE, allow_pickle=False) as arrays:
                    index = json.loads(arrays[_PLAIN].tobytes())["index"]
                yield SpooledEpisode(int(folder.name), index, folder)

    def failed(self) -> dict[Path, str]:
        """The episodes that could not be saved, each with its error."""
        if not self._failed.is_dir():
            return {}
        return {path: (path / _ERROR).read_text() for path in sorted(self._failed.iterdir())}

    def discard(self, number: int) -> None:
        """Forget a take or an episode that is in the dataset now."""
        folder = self._takes / f"{number:06d}"
        (folder / _EPISODE).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)

    def set_aside(self, episode: SpooledEpisode, error: str) -> None:
        """Keep an episode that could not be saved where an operator finds it."""
        write_whole(episode.folder / _ERROR, error.encode())
        self._failed.mkdir(exist_ok=True)
        target = self._failed / episode.folder.name
        attempt = 1
        while target.exists():
            attempt += 1
            target = self._failed / f"{episode.folder.name}-{attempt}"
        os.replace(episode.folder, target)

    def retry_failed(self) -> int:
        """Submit again what had failed. Returns how many episodes that are."""
        numbers = [int(path.name) for path in self._takes.iterdir()]
        first = max(numbers, default=-1) + 1
        failed = sorted(self.failed())
        for number, path in enumerate(failed, first):
            os.replace(path, self._takes / f"{number:06d}")
        return len(failed)


def _split(buffer: dict[str, Any], cameras: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What JSON holds exactly, and what only arrays do."""
    plain, arrays = {}, {}
    for key, value in buffer.items():
        if key in cameras:
            continue
        if isinstance(value, list) and any(
            isinstance(one, np.ndarray | np.generic) for one in value
        ):
            arrays[key] = np.stack([np.asarray(one) for one in value])
            if arrays[key].dtype == object:
                raise TypeError(f'"{key}" holds objects, not numbers')
        elif isinstance(value, np.ndarray | np.generic):
            plain[key] = value.tolist()
        else:
            plain[key] = value
    return plain, arrays
