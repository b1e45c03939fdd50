"""A writer's turn: what it does to names that others know as well.

Every writer announces its commit in the ledger, and sees all that were announced before. One that
was overtaken may wake up at any time and go on. So whatever lies under a name that another writer
may use too (``info.json``, the other metadata, rows) is written only over the version that was
seen, and the look comes before a check that nobody else has announced a commit: a version from
before the next writer's turn is never what it finds after it.

``info.json`` is the lock among them: it is the first thing that a writer takes when others have not
come to their end, and the last that it puts in place. After that none of them can commit any more.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from lerobot_pipelines.datasets.describing import INFO_PATH
from lerobot_pipelines.datasets.ledger import Ledger
from lerobot_pipelines.datasets.placeholder import placeholder
from lerobot_pipelines.datasets.recovery import SeenInfo
from lerobot_pipelines.datasets.stamping import stamped
from lerobot_pipelines.errors import Reason, Refused, Transient
from lerobot_pipelines.storage.base import ObjectInfo, Storage, TellsVersions

# Each of the other writers writes a name once, so one that is always written anew is a stranger's.
MAX_TRIES = 20


@dataclass(frozen=True, slots=True)
class Turn:
    """``is_contested``: another writer was overtaken, now or ever, and may come late."""

    storage: Storage
    root: str
    ledger: Ledger
    number: int
    is_contested: bool

    def check(self) -> None:
        """Raises ``Transient`` if it is over."""
        self.ledger.check_still_newest(self.number)

    def close_info(self, info: SeenInfo, *, stays_readable: bool) -> str | None:
        """Make sure that no other writer can put its ``info.json`` in place; the new ETag.

        ``stays_readable``: with the content as it is. Else readers find none, or a placeholder.
        """
        key = f"{self.root}/{INFO_PATH}"
        if stays_readable and info.data is not None:
            content = info.data
            if not isinstance(self.storage, TellsVersions):
                content = stamped(content, self.number)
        elif self.is_contested or not (
            info.etag is None or isinstance(self.storage, TellsVersions)
        ):
            content = placeholder(self.number)
        else:
            if isinstance(self.storage, TellsVersions) and info.etag is not None:
                self._require(self.storage.remove(key, info.etag))
            return None
        closed = self.storage.replace(key, content, info.etag)
        self._require(closed is not None)
        assert closed is not None
        return closed.etag

    def put_info(self, data: bytes, seen: str | None) -> None:
        """The commit point."""
        self.check()
        there = self.storage.replace(f"{self.root}/{INFO_PATH}", data, seen)
        self._require(there is not None)

    def observed(self, folders: Collection[str], *, deep: bool = True) -> dict[str, str]:
        """The ETags of what lies in the folders of the dataset, by path, and a check behind it.

        ``deep``: also of what lies in folders below.
        """
        skipped = len(self.root) + 1
        found: dict[str, str] = {}
        for folder in folders:
            prefix = f"{self.root}/{folder}".rstrip("/")
            infos = self.storage.list(prefix) if deep else self.storage.list_level(prefix)[1]
            found |= {info.key[skipped:]: info.etag for info in infos}
        if folders:
            self.check()
        return found

    def put(
        self, path: str, content: bytes | Path, seen: str | None, *, is_ours: bool
    ) -> ObjectInfo:
        """Write over whatever others have left there. ``is_ours``: the dataset knows the path.

        Raises ``Refused`` for a file of a stranger, ``Transient`` when the turn is over.
        """
        key = f"{self.root}/{path}"
        for _ in range(MAX_TRIES):
            written = self.storage.replace(key, content, seen)
            if written is not None:
                return written
            there = self.storage.head(key)
            self.check()
            if there is not None and not is_ours:
                raise Refused(
                    Reason.BAD_CONFIG,
                    f"{key} is no file of this dataset's; move it away, or choose another "
                    "dataset.pattern",
                )
            seen = there.etag if there else None
        raise Transient(f"another program keeps writing {key}")

    def take_away(self, path: str, seen: str | None) -> bool:
        """Remove a file whose name others use too; False where the store cannot do that safely."""
        if not isinstance(self.storage, TellsVersions):
            return False
        return seen is None or self.storage.remove(f"{self.root}/{path}", seen)

    def _require(self, is_done: bool) -> None:
        if not is_done:
            raise Transient(f"another writer was faster in {self.root}")
