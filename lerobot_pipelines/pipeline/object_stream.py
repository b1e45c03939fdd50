"""One pass over a folder's listing, for many who each want the objects of one name in it."""

from __future__ import annotations

from collections.abc import Iterator

from lerobot_pipelines.storage.base import ObjectInfo, RangeListing

# A page: skipping more costs more requests than beginning the listing anew behind them.
LONGEST_SKIP = 1000


class ObjectStream:
    """Cheap where the names asked for come in the listing's order and lie close to one another.

    Any other order, and names far apart, give the same answers for a request more each.
    """

    def __init__(self, storage: RangeListing, folder: str) -> None:
        self._storage = storage
        self._folder = folder
        self._objects: Iterator[ObjectInfo] | None = None
        self._next: ObjectInfo | None = None
        self._passed = b""  # the last key that was given out or skipped

    def starting(self, start: str) -> Iterator[ObjectInfo]:
        """Every object whose key begins with ``start``, a name in the folder and one character."""
        try:
            self._seek(start)
            while self._next is not None and self._next.key.startswith(start):
                yield self._next
                self._advance()
        except BaseException:
            self._objects = None  # broken, or left half-way: the next one begins anew
            raise

    def _seek(self, start: str) -> None:
        wanted = start.encode()
        is_ahead = self._objects is not None and wanted > self._passed
        if not (is_ahead and self._skipped_to(wanted, LONGEST_SKIP)):
            self._open(start)
            self._skipped_to(wanted, None)

    def _open(self, start: str) -> None:
        # Without its last character, which a listing could not be asked to begin behind.
        self._objects = self._storage.list_after(self._folder, start[:-1])
        self._passed = b""
        self._next = next(self._objects, None)

    def _skipped_to(self, wanted: bytes, most: int | None) -> bool:
        skipped = 0
        while self._next is not None and self._next.key.encode() < wanted:
            if skipped == most:
                return False
            self._advance()
            skipped += 1
        return True

    def _advance(self) -> None:
        assert self._objects is not None
        assert self._next is not None
        self._passed = self._next.key.encode()
        self._next = next(self._objects, None)
