"""Keys of episodes: ``<task>/episode_0001``, counted up without a hole and never used twice."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

from lerobot_pipelines.recorder.disk import write_whole
from lerobot_pipelines.recorder.raw_layout import IMAGES, JOINTS

_EPISODE = re.compile(r"episode_(\d+)")
_COUNTERS = "numbers.json"
_LONGEST_NAME = 60


class EpisodeNumbers:
    """The highest number of each task's episodes. Remembered in ``folder``, for episodes may be
    removed from this disk once they are in the bucket."""

    def __init__(self, root: Path, folder: Path) -> None:
        self._root = root
        self._path = folder / _COUNTERS
        self._saved = self._path.read_bytes() if self._path.exists() else b"{}"
        self._highest: dict[str, int] = json.loads(self._saved)

    def next_key(self, task: str) -> str:
        """The key of the next episode of a task; the same until it is used."""
        name = folder_name(task)
        return f"{name}/episode_{self._highest_of(name) + 1:04d}"

    def use(self, keys: Iterable[str]) -> None:
        """These keys are taken; for good after ``save``."""
        for key in keys:
            name, _, last = key.rpartition("/")
            if (match := _EPISODE.fullmatch(last)) is not None:
                self._highest[name] = max(self._highest_of(name), int(match[1]))

    def save(self) -> None:
        """Remember the numbers on disk, before what they can be told from goes away."""
        content = json.dumps(dict(self._highest)).encode()
        if content != self._saved:
            write_whole(self._path, content)
            self._saved = content

    def _highest_of(self, name: str) -> int:
        if name not in self._highest:
            folders = [self._root / name, self._root / JOINTS / name, self._root / IMAGES / name]
            names = [one.name for folder in folders if folder.is_dir() for one in folder.iterdir()]
            found = [int(match[1]) for one in names if (match := _EPISODE.fullmatch(one))]
            self._highest[name] = max(found, default=0)
        return self._highest[name]


def folder_name(task: str) -> str:
    """A task's text as a folder: "Pick up the block" is ``pick_up_the_block``."""
    name = re.sub(r"\W+", "_", task.lower()).strip("_")
    return name[:_LONGEST_NAME].strip("_") or "task"
