"""The bucket behind a handful of verbs. One file per kind of store; ``open_storage`` chooses.

Keys use "/" and are relative to the storage's URL. Every write is atomic: a reader sees the whole
object or none. Listings come in UTF-8 byte order of the keys.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from lerobot_pipelines.errors import PipelineError


class ObjectNotFound(PipelineError):
    """There is no object under that key."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What a listing says of an object. ``etag`` changes whenever the content does."""

    key: str
    size: int
    etag: str
    modified_ns: int


# Named here because inside the class ``list`` is the method.
Level = tuple[list[str], list[ObjectInfo]]


class Storage(Protocol):
    url: str

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Every object below ``prefix`` (a folder: "a/b" lists "a/b/..." only)."""
        ...

    def list_level(self, prefix: str = "") -> Level:
        """The names of the folders directly below ``prefix`` and the objects directly in it."""
        ...

    def head(self, key: str) -> ObjectInfo | None: ...

    def read(self, key: str) -> bytes:
        """The whole object; for small ones. Raises ``ObjectNotFound``."""
        ...

    def write(self, key: str, data: bytes) -> ObjectInfo: ...

    def create(self, key: str, data: bytes) -> bool:
        """Write only if the key does not exist; False if it does. The compare-and-swap."""
        ...

    def replace(self, key: str, content: bytes | Path, seen: str | None) -> ObjectInfo | None:
        """Write only over the version of the object that was seen, by its ETag.

        ``seen`` None: only if there is no object. None is returned, and nothing written, if there
        is another version. A file is sent in one request, so it may have 5 GB at most.
        """
        ...

    def upload(self, path: Path, key: str, *, is_final: bool = False) -> ObjectInfo:
        """Publish a local file of any size, streamed.

        ``is_final`` is the caller's word never to write to the file again (removing it is fine): a
        store on the same disk then gives it a second name instead of copying it.
        """
        ...

    def copy(self, source: str, key: str) -> ObjectInfo:
        """Publish an object under a further key without moving its bytes through this machine.

        Raises ``ObjectNotFound``.
        """
        ...

    def download(self, key: str, path: Path) -> ObjectInfo:
        """Fetch an object of any size into a local file, streamed. Raises ``ObjectNotFound``."""
        ...

    def delete(self, key: str) -> None:
        """Remove an object; nothing happens if it is not there."""
        ...

    def holds(self, info: ObjectInfo, path: Path) -> bool:
        """Whether the object has the content of a local file; False also where it cannot be told
        without fetching it."""
        ...

    def local_path(self, key: str) -> Path | None:
        """The file or folder itself where the store is this machine's, else None (no copying)."""
        ...


@runtime_checkable
class RangeListing(Protocol):
    """A store that can begin a listing anywhere; where that costs nothing less, none does."""

    def list_after(self, prefix: str, after: str) -> Iterator[ObjectInfo]:
        """As ``list``, only the objects whose keys come after ``after``."""
        ...


@runtime_checkable
class TellsVersions(Protocol):
    """A store in which every write has an ETag of its own, also one of content that was there
    before, and that can remove exactly the version that was seen. Others tell contents apart."""

    def remove(self, key: str, seen: str) -> bool:
        """Remove the object if it is the version that was seen; whether it was."""
        ...
