"""The folder where takes lie from their first sample until they are in the raw layout."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from lerobot_pipelines.recorder.disk import FolderLock
from lerobot_pipelines.recorder.journal import SUFFIX, DamagedTake, Take
from lerobot_pipelines.recorder.numbering import EpisodeNumbers

if TYPE_CHECKING:
    from lerobot_pipelines.recorder.raw_layout import RawWriter

# The process of a recorder that was killed notices, and lets go of its spool.
_PATIENCE_S = 3.0
_ASIDE = "interrupted"


class TakeSpool:
    """Locked by this process. Takes that were not submitted when it was opened are set aside.

    ``root`` is where the episodes go. Raises ``SpoolInUse``.
    """

    def __init__(self, folder: Path, root: Path) -> None:
        self.folder = folder
        self.notes = folder / "undelivered"
        self._aside = folder / _ASIDE
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = FolderLock(folder, _PATIENCE_S)
        self.numbers = EpisodeNumbers(root, folder)
        takes = [(path, key_of_submitted(path)) for path in self._takes()]
        for path, key in takes:
            if key is None:
                self.set_aside(path)
        # The numbers are saved when a take leaves the spool.
        self.numbers.use(key for _, key in takes if key is not None)

    def path_of(self, key: str) -> Path:
        return take_path(self.folder, key)

    def submitted(self) -> list[Path]:
        """Takes that wait to be written, oldest first."""
        return self._takes()

    def interrupted(self) -> list[Path]:
        return interrupted_takes(self.folder)

    def set_aside(self, path: Path) -> None:
        """Keep a take that is not whole, under a name that no take in progress has."""
        self._aside.mkdir(exist_ok=True)
        target, attempt = self._aside / path.name, 1
        while target.exists():
            attempt += 1
            target = self._aside / f"{path.stem}-{attempt}{SUFFIX}"
        os.replace(path, target)

    def close(self) -> None:
        self._lock.release()

    def _takes(self) -> list[Path]:
        return sorted(self.folder.glob(f"*{SUFFIX}"), key=lambda path: path.stat().st_mtime_ns)


class FinishedTakes:
    """What ``AsyncEpisodeSaver`` saves to: the raw layout, then the delivery, then the spool is
    rid of the take. Each step may be repeated, so a crash between two of them harms nothing.

    ``put`` notes an episode for delivery.
    """

    def __init__(
        self, writer: RawWriter, spool: TakeSpool, put: Callable[[str, Path], object] | None
    ) -> None:
        self._writer = writer
        self._spool = spool
        self._put = put

    def save_episode(self, take: Take, *, salvage: bool = False) -> None:
        folder = self._writer.save_episode(take, salvage=salvage)
        if self._put is not None:
            self._put(take.info.key, folder)
        self._spool.numbers.save()
        take.path.unlink()


def take_path(spool: Path, key: str) -> Path:
    """Where a take lies while it is recorded, and until it is in its folder."""
    return spool / f"{key.replace('/', '__')}{SUFFIX}"


def interrupted_takes(spool: Path) -> list[Path]:
    """Takes in a spool that were cut off."""
    return sorted((spool / _ASIDE).glob(f"*{SUFFIX}"))


def key_of_submitted(path: Path) -> str | None:
    """The key of a take that was submitted, None for an interrupted one."""
    try:
        take = Take(path)
    except DamagedTake:
        return None
    return take.info.key if take.is_submitted else None
