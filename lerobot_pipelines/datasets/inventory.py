"""What a dataset's files were when they were committed, and which of them are others now.

``.ledger/<format>/files.json`` holds size and ETag of every file that the dataset is made of, as
the store listed them after the commit. A file that is missing, or listed otherwise, was deleted or
changed by somebody else: the next update writes it again, and it alone. Without the list (of a
dataset of an earlier version) a file counts as sound that is there with the size known of it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from pydantic import ValidationError

from lerobot_pipelines.datasets.card import CARD_PATH
from lerobot_pipelines.datasets.change import large_files
from lerobot_pipelines.datasets.contents import FileKind, contents_of
from lerobot_pipelines.datasets.ledger import Ledger, Snapshot
from lerobot_pipelines.datasets.records import Record
from lerobot_pipelines.errors import Transient
from lerobot_pipelines.storage.base import ObjectInfo, ObjectNotFound, Storage
from lerobot_pipelines.storage.local_versions import lasting_etag

INVENTORY_NAME = "files.json"

_TRIES = 5  # of a few writers; without the list only sizes are known

# Of a file that was not there when the list was made.
MISSING = (-1, "")

# People may write into these; what they are for no loader reads.
_NOT_KEPT = frozenset({CARD_PATH})

Listed = Mapping[str, ObjectInfo]  # by path below the dataset's root


class Inventory(Record):
    number: int  # of the commit
    files: dict[str, tuple[int, str]]  # path -> size in bytes, ETag


def read_inventory(storage: Storage, folder: str, number: int) -> Inventory | None:
    """That of the commit ``number``; None where there is none, or none that can be read."""
    try:
        found = Inventory.model_validate_json(storage.read(f"{folder}/{INVENTORY_NAME}"))
    except (ObjectNotFound, ValidationError):
        return None
    return found if found.number == number else None


def list_files(storage: Storage, root: str) -> dict[str, ObjectInfo]:
    return {info.key[len(root) + 1 :]: info for info in storage.list(root)}


def damages(listed: Listed, snapshot: Snapshot, inventory: Inventory | None) -> dict[str, str]:
    """What is wrong with the files of a commit, by path; empty if nothing is."""
    known: Mapping[str, tuple[int | None, str]]
    if inventory is not None:
        known = inventory.files
    else:
        known = {path: (size, "") for path, size in _known_sizes(snapshot).items()}
    faults = ((path, _fault(listed.get(path), *one)) for path, one in known.items())
    return {path: fault for path, fault in faults if fault is not None}


def taken_down(
    listed: Listed,
    snapshot: Snapshot,
    number: int,
    before: Inventory | None,
    written: Collection[str],
) -> Inventory:
    """The list after a commit. What it has not written is taken over from the list before it, so
    that no damage becomes the new rule."""
    files: dict[str, tuple[int, str]] = {}
    for path in _known_sizes(snapshot):
        known = before.files.get(path) if before is not None and path not in written else None
        info = listed.get(path)
        files[path] = known or (MISSING if info is None else (info.size, info.etag))
    return Inventory(number=number, files=files)


def write_inventory(
    storage: Storage, folder: str, number: int, take_down: Callable[[], Inventory], ledger: Ledger
) -> None:
    """Put the list of the commit ``number`` in place, unless another writer has come since then.

    As all that several writers write: over the version that was seen before the ledger was.
    """
    key = f"{folder}/{INVENTORY_NAME}"
    for _ in range(_TRIES):
        seen = storage.head(key)
        try:
            ledger.check_still_newest(number)
        except Transient:
            return
        data = take_down().model_dump_json().encode()
        if storage.replace(key, data, seen.etag if seen else None) is not None:
            return


def _known_sizes(snapshot: Snapshot) -> dict[str, int | None]:
    """Every file of the dataset, with its size in bytes where the records tell it."""
    if not snapshot.members:
        return {}
    sizes: dict[str, int | None] = dict.fromkeys(_kept(snapshot.metas))
    for file in large_files(contents_of(snapshot)):
        is_copy = file.kind is FileKind.VIDEO and len(file.episodes) == 1
        camera = file.camera or ""
        sizes[file.path] = file.episodes[0].segment.videos[camera].bytes if is_copy else None
    return sizes


def _kept(paths: Iterable[str]) -> list[str]:
    return [path for path in paths if path not in _NOT_KEPT]


def _fault(info: ObjectInfo | None, size: int | None, etag: str) -> str | None:
    if info is None:
        return "it is missing"
    if size is not None and size >= 0 and info.size != size:
        return f"it has {info.size} bytes, {size} were written"
    if etag and info.etag != lasting_etag(etag):
        return "somebody wrote it again"
    return None
