"""What really lies in the bucket: the last complete commit, and what of it cannot be trusted."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from lerobot_pipelines.datasets.describing import INFO_PATH
from lerobot_pipelines.datasets.ledger import History, Ledger, Snapshot
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.storage.base import ObjectNotFound, Storage


@dataclass(frozen=True, slots=True)
class Standing:
    """``dirty`` paths hold unknown content, or none: to be written again or deleted.

    ``trusted`` says whether the snapshot's other files are there.
    """

    number: int  # of the newest intent
    snapshot: Snapshot | None
    dirty: frozenset[str] = frozenset()
    trusted: bool = True


def take_stock(storage: Storage, root: str, ledger: Ledger) -> Standing:
    """Read the ledger, and complete a commit that lacks nothing but its marker.

    A dataset that someone deleted counts as gone, all of it. Raises ``Refused`` (bad_config) if a
    dataset lies there of which the ledger knows nothing.
    """
    history = ledger.history()
    info = _sha256_of_object(storage, f"{root}/{INFO_PATH}")
    if history.pending:
        return _after_interruption(history, info, ledger)
    if history.done is None:
        if info is not None:
            raise Refused(
                Reason.BAD_CONFIG,
                f"{root} holds a dataset that is not this one's; choose another dataset.pattern "
                "or move it away",
            )
        return Standing(history.number, None, _paths(storage, root))
    snapshot = history.done.snapshot
    expected = snapshot.metas.get(INFO_PATH)
    if info is None and expected is not None:
        # The snapshot still tells the order of the episodes.
        return Standing(history.number, snapshot, _paths(storage, root), trusted=False)
    if info != expected:
        return Standing(history.number, snapshot, frozenset({*snapshot.metas, INFO_PATH}))
    return Standing(history.number, snapshot)


def _after_interruption(history: History, info: str | None, ledger: Ledger) -> Standing:
    newest = history.pending[-1]
    before = history.done.snapshot.metas.get(INFO_PATH) if history.done else None
    planned = newest.snapshot.metas.get(INFO_PATH)
    # An info.json that the commit leaves as it was tells nothing about how far it came.
    in_place = info is not None and info == planned and info != before
    if in_place or not (newest.writes or newest.deletes):
        ledger.finish(history.number, {})
        return Standing(history.number, newest.snapshot)
    dirty = {path for intent in history.pending for path in (*intent.writes, *intent.deletes)}
    snapshot = history.done.snapshot if history.done else None
    return Standing(history.number, snapshot, frozenset(dirty))


def _paths(storage: Storage, root: str) -> frozenset[str]:
    return frozenset(info.key.removeprefix(f"{root}/") for info in storage.list(root))


def _sha256_of_object(storage: Storage, key: str) -> str | None:
    try:
        return hashlib.sha256(storage.read(key)).hexdigest()
    except ObjectNotFound:
        return None
