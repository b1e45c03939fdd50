"""A folder of this machine (or a network mount) as the bucket.

Objects are files. A write goes to a temporary file in the same folder, is flushed to the disk and
then renamed, so a reader, also after a crash, sees the old object, the new one, or none. The
temporary names are reserved: no listing shows them. Create-only writes link the finished temporary
file to the key, which the file system refuses when the key exists: of any number of racing
writers, on one machine or several, one wins.

An ETag is size and modification time: see ``local_versions``, also for how a version that was seen
is replaced. ``modified_ns`` looks at the change time as well: a copy that keeps the times of its
source is as young as its arrival.

Objects are never changed in place, so a copy within the bucket is a hard link: a dataset's video
takes no room beside the artifact that it is. Whoever edits files of the bucket by hand edits both.

Folders exist by their files, as in an object store: ``delete`` removes folders it leaves empty.
Symbolic links are followed as long as they stay inside the root, and a path holds at most
``MAX_LINKS_IN_PATH`` of them to folders.
"""

from __future__ import annotations

import filecmp
import logging
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

from lerobot_pipelines.config.schema import StorageConfig
from lerobot_pipelines.errors import ConfigError, Reason, Refused
from lerobot_pipelines.storage.base import Level, ObjectInfo, ObjectNotFound
from lerobot_pipelines.storage.disk import named_when_full
from lerobot_pipelines.storage.local_files import (
    NO_HARD_LINKS,
    copy_synced,
    link_or_copy,
    replace_file,
    sync_file,
    sync_folder,
    write_synced,
)
from lerobot_pipelines.storage.local_versions import (
    TEMPORARY_PREFIX,
    etag_of,
    taking_turns,
)
from lerobot_pipelines.storage.names import UNREADABLE, check_key, join, shown

logger = logging.getLogger(__name__)

Entries = list[tuple[str, os.DirEntry[str], bool]]

# Folders that link to one another in a lattice have more paths than atoms in the universe.
MAX_LINKS_IN_PATH = 3
MAX_REPORTED = 5

# Another process may remove a folder it has emptied just as we are about to write into it.
_FOLDER_RACES = 5


def open_local(config: StorageConfig) -> LocalStorage:
    return LocalStorage(path_of(config.url))


def path_of(url: str) -> Path:
    """The folder that a ``file://`` URL or a plain path names.

    A URL may be relative (``file://./x``), carry the host ``localhost``, and escape characters as
    ``%20``. Raises ``ConfigError`` for another host or an empty path.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        path = os.path.expanduser(scheme)
    else:
        path = unquote(rest.removeprefix("localhost") if rest.startswith("localhost/") else rest)
    if not path or "\0" in path:
        raise ConfigError(f'storage.url "{url}" names no folder')
    return Path(path)


def info_of(key: str, status: os.stat_result) -> ObjectInfo:
    arrived_ns = max(status.st_mtime_ns, status.st_ctime_ns)
    return ObjectInfo(key, status.st_size, etag_of(status), arrived_ns)


class LocalStorage:
    """See the module. The root need not exist before the first write."""

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.realpath(root))
        self.url = self.root.as_uri()
        self._reported: set[str] = set()

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        folder, prefix = self._folder(prefix)
        return self._walk(folder, prefix, frozenset(), self._links_in(folder))

    def list_level(self, prefix: str = "") -> Level:
        folder, prefix = self._folder(prefix)
        folders: list[str] = []
        objects: list[ObjectInfo] = []
        for name, entry, is_folder in self._entries(folder, self._links_in(folder)):
            if is_folder:
                folders.append(name)
            elif (info := _info(join(prefix, name), entry.stat)) is not None:
                objects.append(info)
        return folders, objects

    def head(self, key: str) -> ObjectInfo | None:
        return _info(key, self._path(key).stat)

    def read(self, key: str) -> bytes:
        with self._found(key) as path:
            return path.read_bytes()

    def write(self, key: str, data: bytes) -> ObjectInfo:
        return self._put(key, lambda temporary: write_synced(temporary, data), replace_file)

    def replace(self, key: str, content: bytes | Path, seen: str | None) -> ObjectInfo | None:
        def publish(temporary: Path, path: Path) -> None:
            with taking_turns(self.root):
                there = self.head(key)
                if there is None or there.etag != seen:
                    raise FileExistsError(f"{path} is another version")
                replace_file(temporary, path)

        def fill(temporary: Path) -> None:
            if isinstance(content, bytes):
                write_synced(temporary, content)
            else:
                copy_synced(content, temporary)

        try:
            return self._put(key, fill, os.link if seen is None else publish)
        except FileExistsError:
            return None
        except OSError as error:
            raise self._without_links(error) from error

    def remove(self, key: str, seen: str) -> bool:
        with taking_turns(self.root):
            there = self.head(key)
            if there is None or there.etag != seen:
                return False
            self.delete(key)
        return True

    def create(self, key: str, data: bytes) -> bool:
        try:
            self._put(key, lambda temporary: write_synced(temporary, data), os.link)
        except FileExistsError:
            return False
        except OSError as error:
            raise self._without_links(error) from error
        return True

    def upload(self, path: Path, key: str, *, is_final: bool = False) -> ObjectInfo:
        if is_final:
            sync_file(path)
            return self._put(key, lambda temporary: link_or_copy(path, temporary), replace_file)
        return self._put(key, lambda temporary: copy_synced(path, temporary), replace_file)

    def copy(self, source: str, key: str) -> ObjectInfo:
        with self._found(source) as path:
            return self._put(key, lambda temporary: link_or_copy(path, temporary), replace_file)

    def download(self, key: str, path: Path) -> ObjectInfo:
        temporary = path.with_name(f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}")
        with self._found(key) as source:
            try:
                before = source.stat()
                shutil.copyfile(source, temporary)
                os.replace(temporary, path)
            finally:
                temporary.unlink(missing_ok=True)
        return info_of(key, before)

    def delete(self, key: str) -> None:
        path = self._path(key)
        try:
            path.unlink()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return
        for folder in path.parents:
            if folder == self.root:
                return
            try:
                folder.rmdir()
            except OSError:  # not empty
                return

    def holds(self, info: ObjectInfo, path: Path) -> bool:
        with self._found(info.key) as there:
            return filecmp.cmp(there, path, shallow=False)

    def local_path(self, key: str) -> Path | None:
        return self._path(key) if key else self.root

    def _path(self, key: str) -> Path:
        """The file of a key. Raises ``Refused`` (bad_name) for one that leaves the root."""
        check_key(key)
        if TEMPORARY_PREFIX in key:
            raise Refused(Reason.BAD_NAME, f"the name {shown(key)} is reserved; choose another")
        path = self.root / key
        if not self._is_inside(path):
            raise Refused(
                Reason.BAD_NAME,
                f"{shown(key)} is a symbolic link that leads out of {self.root}; "
                "put the files there themselves, or move the bucket's root",
            )
        return path

    def _folder(self, prefix: str) -> tuple[Path, str]:
        prefix = prefix.strip("/")
        return (self._path(prefix) if prefix else self.root), prefix

    def _is_inside(self, path: Path) -> bool:
        return Path(os.path.realpath(path)).is_relative_to(self.root)

    def _links_in(self, folder: Path) -> int:
        """How many of the folders on the way from the root are symbolic links."""
        inner = folder.relative_to(self.root).parts
        places = (self.root.joinpath(*inner[:depth]) for depth in range(1, len(inner) + 1))
        return sum(place.is_symlink() for place in places)

    def _walk(
        self, folder: Path, prefix: str, above: frozenset[str], links: int
    ) -> Iterator[ObjectInfo]:
        real = os.path.realpath(folder)
        if real in above:  # a link to a folder that holds it
            return
        for name, entry, is_folder in self._entries(folder, links):
            key = f"{prefix}/{name}" if prefix else name
            if is_folder:
                through = links + entry.is_symlink()
                yield from self._walk(Path(entry.path), key, above | {real}, through)
            elif (info := _info(key, entry.stat)) is not None:
                yield info

    def _entries(self, folder: Path, links: int) -> Entries:
        """Name, entry and whether it is a folder, in the byte order of the keys below them.

        ``links``: how many lead to the folder.
        """
        try:
            with os.scandir(folder) as entries:
                found = [
                    (_readable(entry.name), entry, entry.is_dir())
                    for entry in entries
                    if not entry.name.startswith(TEMPORARY_PREFIX)
                    and self._may_follow(entry, links)
                ]
        except (FileNotFoundError, NotADirectoryError):
            return []
        # "a/x" comes after "a.b": a folder sorts as its name with the slash.
        return sorted(found, key=lambda item: (item[0] + "/" * item[2]).encode())

    def _may_follow(self, entry: os.DirEntry[str], links: int) -> bool:
        if not entry.is_symlink():
            return True
        if not self._is_inside(Path(entry.path)):
            self._report(entry.path, f"leads out of {self.root}")
            return False
        if links >= MAX_LINKS_IN_PATH and entry.is_dir():
            self._report(entry.path, f"is reached through {links} other links")
            return False
        return os.path.exists(entry.path)

    def _report(self, path: str, what: str) -> None:
        """Once for each path, as long as there are few."""
        if path in self._reported or len(self._reported) >= MAX_REPORTED:
            return
        self._reported.add(path)
        logger.warning("%s %s and is left out", shown(path), what)

    @contextmanager
    def _found(self, key: str) -> Iterator[Path]:
        try:
            yield self._path(key)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise ObjectNotFound(f"there is no {shown(key)} in {self.url}") from error

    def _put(
        self, key: str, fill: Callable[[Path], None], publish: Callable[[Path, Path], None]
    ) -> ObjectInfo:
        path = self._path(key)
        temporary = path.with_name(f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}")
        try:
            for attempt in range(1, _FOLDER_RACES + 1):
                try:
                    with named_when_full(path.parent, "make room on the disk of the bucket"):
                        path.parent.mkdir(parents=True, exist_ok=True)
                        fill(temporary)
                    publish(temporary, path)
                    break
                except FileNotFoundError:
                    if attempt == _FOLDER_RACES:
                        raise
                except (NotADirectoryError, IsADirectoryError) as error:
                    raise self._in_the_way(key) from error
        except FileExistsError as error:
            if path.parent.is_dir() and not path.is_dir():
                raise
            raise self._in_the_way(key) from error
        finally:
            if path.parent.is_dir():
                temporary.unlink(missing_ok=True)
        sync_folder(path.parent)
        return info_of(key, path.stat())

    def _without_links(self, error: OSError) -> OSError | Refused:
        if error.errno not in NO_HARD_LINKS:
            return error
        return Refused(
            Reason.UNSUPPORTED,
            f"the file system of {self.root} refuses a hard link, which an atomic create-only "
            "write needs; keep the bucket on another file system",
        )

    def _in_the_way(self, key: str) -> Refused:
        return Refused(
            Reason.BAD_NAME,
            f"{shown(key)} cannot be written to {self.url}: a file stands where the name needs a "
            "folder, or a folder where it needs a file",
        )


def _info(key: str, status_of: Callable[[], os.stat_result]) -> ObjectInfo | None:
    try:
        status = status_of()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return info_of(key, status)


def _readable(name: str) -> str:
    """Names that are not UTF-8 cannot be keys; the listing shows them all the same."""
    if name.isascii():
        return name
    return "".join(UNREADABLE if "\ud800" <= c <= "\udfff" else c for c in name)
