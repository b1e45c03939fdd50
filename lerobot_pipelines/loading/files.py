"""A dataset's files on this machine: in place, or fetched from a bucket into a bounded cache."""

from __future__ import annotations

import hashlib
import shutil
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.loading.forks import ForkLock, PerProcess
from lerobot_pipelines.pipeline.cache import RecordingCache


class DatasetFiles(Protocol):
    """Names are relative to the dataset's root, with "/"."""

    def path(self, name: str) -> Path:
        """The file, here. Raises ``Refused`` (corrupt_artifact) naming it if it is not there."""
        ...

    def will_need(self, names: Iterable[str]) -> None:
        """Begin to fetch these in the background."""
        ...

    def fingerprint(self) -> str:
        """64 hexadecimal digits that change when any file does."""
        ...


class LocalFiles:
    """A dataset that lies on this machine."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, name: str) -> Path:
        path = (self.root / name).resolve()
        if not path.is_relative_to(self.root.resolve()) or not path.is_file():
            raise Refused(Reason.CORRUPT_ARTIFACT, f"{self.root / name} is missing")
        return path

    def will_need(self, names: Iterable[str]) -> None:
        """Nothing to do: all is here."""

    def fingerprint(self) -> str:
        """From names, sizes and times of the files in meta, data and videos."""
        digest = hashlib.sha256()
        for part in ("meta", "data", "videos", "images"):
            for path in sorted((self.root / part).rglob("*")):
                if path.is_file():
                    facts = path.stat()
                    name = path.relative_to(self.root).as_posix()
                    digest.update(f"{name}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
        return digest.hexdigest()


class BucketFiles(PerProcess):
    """A dataset in a bucket. Files are fetched when asked for, by a process of their own.

    ``listing`` says size and ETag of each file as the dataset was opened; one that has changed
    since is refused. The files of the last ``HELD`` names asked for stay whatever the bound says,
    long enough to be opened; one that is open can go, the system keeps it for its readers.
    """

    HELD = 4
    SETTINGS = ("_storage", "_prefix", "_listing", "_cache")

    def __init__(
        self,
        storage: dict[str, object],
        prefix: str,
        listing: dict[str, tuple[int, str]],
        folder: Path,
        limit_bytes: int,
    ) -> None:
        self._storage = storage
        self._prefix = prefix
        self._listing = listing
        self._cache = RecordingCache(folder, limit_bytes)
        self._start()

    def _start(self) -> None:
        from lerobot_pipelines.loading.fetching import Fetcher

        self._fetcher = Fetcher(self._storage)
        self._lock = ForkLock()
        self._held: OrderedDict[str, tuple[Path, ExitStack]] = OrderedDict()

    def path(self, name: str) -> Path:
        if name not in self._listing:
            raise Refused(Reason.CORRUPT_ARTIFACT, f"{self._prefix}/{name} is not in the bucket")
        with self._lock:
            if name not in self._held:
                self._held[name] = self._hold(name)
                if len(self._held) > self.HELD:
                    _, (_, stack) = self._held.popitem(last=False)
                    stack.close()
            self._held.move_to_end(name)
            return self._held[name][0]

    def will_need(self, names: Iterable[str]) -> None:
        wanted = [name for name in names if name in self._listing and name not in self._held]
        if wanted:
            self._fetcher.in_background(lambda: [self.path(name) for name in wanted])

    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        for name, (size, etag) in sorted(self._listing.items()):
            digest.update(f"{name}\0{size}\0{etag}\n".encode())
        return digest.hexdigest()

    def _hold(self, name: str) -> tuple[Path, ExitStack]:
        size, etag = self._listing[name]
        identity = hashlib.sha256(f"{self._prefix}/{name}\0{size}\0{etag}".encode()).hexdigest()

        def fetch(folder: Path) -> None:
            self._fetcher.fetch(f"{self._prefix}/{name}", folder / "file", etag)

        stack = ExitStack()
        folder = stack.enter_context(self._cache.held(identity, size, fetch))
        return folder / "file", stack


def copy_meta(files: DatasetFiles, names: Iterable[str], folder: Path) -> None:
    """The small files below ``meta`` as a folder of their own, for readers that want one."""
    for name in names:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(files.path(name), target)
