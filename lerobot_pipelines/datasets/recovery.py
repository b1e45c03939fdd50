"""What really lies in the bucket: the last complete commit, and what of it cannot be trusted."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from lerobot_pipelines.config.schema import Format
from lerobot_pipelines.datasets.claims import Claims, claims_of
from lerobot_pipelines.datasets.describing import INFO_PATH
from lerobot_pipelines.datasets.ledger import History, Intent, Ledger, Snapshot
from lerobot_pipelines.datasets.placeholder import is_placeholder
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.storage.base import ObjectNotFound, Storage

# Folders of which lerobot reads whatever lies there, and what else it knows by a fixed name.
_READ_BY_LEROBOT = ("data/", "videos/", "meta/")


@dataclass(frozen=True, slots=True)
class SeenInfo:
    """``info.json`` as it was found. ``data`` is None for a placeholder, or where there is none.

    ``etag`` is that of the version that ``data`` was read from, or of an older one.
    """

    data: bytes | None = None
    etag: str | None = None

    @property
    def sha256(self) -> str | None:
        return None if self.data is None else hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True, slots=True)
class Standing:
    """``snapshot`` is the last complete commit's.

    ``pending`` are commits that did not come to their end, by number; ``claims`` their paths.
    ``edited`` paths hold unknown content, or none. ``trusted``: whether the snapshot's other files
    are there.
    """

    number: int  # of the newest intent
    snapshot: Snapshot | None
    info: SeenInfo
    pending: Mapping[int, Intent] = field(default_factory=dict)
    edited: frozenset[str] = frozenset()
    trusted: bool = True

    @property
    def claims(self) -> Claims:
        return claims_of(self.pending.values())

    @property
    def is_intact(self) -> bool:
        return self.trusted and not self.pending and not self.edited

    @property
    def abandoned(self) -> int:
        """The newest commit that another one takes the place of, now or before; 0: none ever."""
        before = self.snapshot.abandoned if self.snapshot else 0
        return max((before, *self.pending))


def take_stock(storage: Storage, root: str, ledger: Ledger, fmt: Format) -> Standing:
    """Read the ledger, and complete a commit that lacks nothing but its marker.

    A dataset that someone deleted counts as gone, all of it. Raises ``Refused`` (bad_config) if
    files of a dataset lie there of which the ledger knows nothing.
    """
    history = ledger.history()
    info = _seen(storage, f"{root}/{INFO_PATH}")
    committed = _in_place(history, info)
    if committed:
        done = history.pending[committed]
        clear_away(storage, root, fmt, done.deletes)
        ledger.finish(committed, {})
        later = {number: one for number, one in history.pending.items() if number > committed}
        history = History(history.number, done, later)
    snapshot = history.done.snapshot if history.done else None
    if snapshot is None:
        _refuse_foreign(storage, root, ledger, history)
    if history.pending:
        return Standing(history.number, snapshot, info, history.pending)
    expected = snapshot.metas.get(INFO_PATH) if snapshot else None
    if info.data is None and expected is not None:
        # The snapshot still tells the order of the episodes.
        return Standing(history.number, snapshot, info, trusted=False)
    edited: frozenset[str] = frozenset()
    if snapshot is not None and info.sha256 != expected:
        edited = frozenset({*snapshot.metas, INFO_PATH})
    return Standing(history.number, snapshot, info, edited=edited)


def has_name_of_its_own(fmt: Format, path: str) -> bool:
    """Whether a path was and will be that of one file only: it can be deleted at any time, also by
    a writer that comes late."""
    if path.startswith("videos/"):
        return True
    return fmt is Format.V30 and path.startswith(("data/", "meta/episodes/"))


def clear_away(storage: Storage, root: str, fmt: Format, paths: Iterable[str]) -> None:
    """Delete what a complete commit has put out of use."""
    for path in paths:
        if has_name_of_its_own(fmt, path):
            storage.delete(f"{root}/{path}")


def _in_place(history: History, info: SeenInfo) -> int:
    """The newest commit that lacks nothing but its marker; 0: none."""
    before = history.done.snapshot.metas.get(INFO_PATH) if history.done else None
    for number, intent in sorted(history.pending.items(), reverse=True):
        if not (intent.writes or intent.deletes):
            return number
        planned = intent.snapshot.metas.get(INFO_PATH)
        # An info.json that the commit leaves as it was tells nothing about how far it came.
        if info.sha256 is not None and info.sha256 == planned != before:
            return number
    return 0


def _refuse_foreign(storage: Storage, root: str, ledger: Ledger, history: History) -> None:
    known = {path for intent in history.pending.values() for path in intent.writes}
    for info in storage.list(root):
        path = info.key.removeprefix(f"{root}/")
        if path.startswith(_READ_BY_LEROBOT) and path not in known:
            if path == INFO_PATH and history.pending:
                continue  # the placeholder of one of them
            ledger.check_still_newest(history.number)  # it may be of one who came since then
            raise Refused(
                Reason.BAD_CONFIG,
                f"{root} holds {path}, which is not this one's: nothing of it is touched; choose "
                "another dataset.pattern or move it away",
            )


def _seen(storage: Storage, key: str) -> SeenInfo:
    there = storage.head(key)
    if there is None:
        return SeenInfo()
    try:
        # After the ETag: a version that is newer than it will not be taken for it.
        data = storage.read(key)
    except ObjectNotFound:
        return SeenInfo()
    return SeenInfo(None if is_placeholder(data) else data, there.etag)
