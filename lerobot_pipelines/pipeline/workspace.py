"""Where a dataset's steps read and write: its configuration, its bucket, this machine's cache."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.model import Recording
from lerobot_pipelines.pipeline.cache import REMEDY, RecordingCache
from lerobot_pipelines.storage import open_storage
from lerobot_pipelines.storage.base import Storage
from lerobot_pipelines.storage.disk import named_when_full
from lerobot_pipelines.storage.scratch import CACHE_VARIABLE, ScratchFolder, default_cache_dir

__all__ = [
    "CACHE_VARIABLE",
    "KeptOpen",
    "Workspace",
    "cache_dir_of",
    "default_cache_dir",
    "open_workspace",
]


@dataclass(slots=True)
class KeptOpen:
    """Recordings that stay open between steps, by episode key and fingerprint."""

    until_closed: ExitStack
    recordings: dict[tuple[str, str], Recording] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Workspace:
    """Everything a step needs besides the episode's key."""

    config: DatasetConfig
    storage: Storage
    cache_dir: Path
    kept_open: KeptOpen | None = None  # see ``fetch.kept_open``

    @property
    def dataset(self) -> str:
        return self.config.dataset.name

    @property
    def cache(self) -> RecordingCache:
        """Recordings fetched from a bucket that is not on this machine."""
        limit = int(self.config.storage.cache_size_gb * 1e9)
        return RecordingCache(self.cache_dir / "recordings", limit)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder of one's own on this machine, removed at the end whatever happens; after a
        ``kill -9`` by the next process that asks for one.

        Raises ``DiskFull`` where the block, or making the folder, meets a full disk.
        """
        with named_when_full(self.cache_dir, REMEDY), ScratchFolder(self.cache_dir) as folder:
            yield folder


def open_workspace(config: DatasetConfig, *, cache_dir: Path | None = None) -> Workspace:
    """Connect a dataset's configuration to its bucket.

    ``cache_dir`` goes before the configuration's ``storage.cache_dir``.
    """
    return Workspace(config, open_storage(config.storage), cache_dir or cache_dir_of(config))


def cache_dir_of(config: DatasetConfig) -> Path:
    """This machine's folder for what is fetched and made: the configuration's, else the default."""
    own = config.storage.cache_dir
    return default_cache_dir() if own is None else Path(own)
