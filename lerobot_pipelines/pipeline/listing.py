"""What the bucket's listing says of an episode: the objects it is made of, and signs of its upload.

One episode is a listing of its folders. Episodes beside one another share listings: a request of a
store elsewhere answers a thousand names, whichever episodes they belong to.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.model import Member
from lerobot_pipelines.pipeline.keys import encode_key
from lerobot_pipelines.pipeline.loose import member_places
from lerobot_pipelines.pipeline.object_stream import ObjectStream
from lerobot_pipelines.recordings.layout import (
    MARKER_NAME,
    OVERRIDES_NAME,
    UPLOADING_NAME,
    EpisodeLayout,
    Section,
    bag_sidecars,
    beside,
    foreign_kind,
    is_data,
    is_file_key,
    is_ignored,
    section_names,
)
from lerobot_pipelines.recordings.limits import above_limit
from lerobot_pipelines.storage.base import ObjectInfo, RangeListing, Storage
from lerobot_pipelines.storage.names import join, key_fault, shown

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Listing:
    """One episode: its objects by path below the raw prefix, and signs of its upload by name."""

    objects: dict[str, ObjectInfo]
    signs: frozenset[str]

    @property
    def members(self) -> tuple[Member, ...]:
        """By path, in UTF-8 byte order."""
        return tuple(
            Member(path, info.size, info.etag)
            for path, info in sorted(self.objects.items(), key=lambda item: item[0].encode())
        )


def look(storage: Storage, config: DatasetConfig, key: str, *, with_signs: bool = False) -> Listing:
    """One episode. ``with_signs`` is for bags only, where each costs a request; folders' are listed
    anyway. Raises ``Refused`` (bad_name) for a key that is none."""
    encode_key(key)
    raw = _raw(config)
    names = sign_names(config)
    if is_file_key(key) and (info := storage.head(join(raw, key))) is not None:
        paths = (*bag_sidecars(key), beside(key, OVERRIDES_NAME))
        described = ((path, storage.head(join(raw, path))) for path in paths)
        objects = {key: info} | {path: found for path, found in described if found is not None}
        places = {join(raw, f"{key}{dot}{name}"): name for name in names for dot in (".", "")}
        there = (name for place, name in places.items() if with_signs and storage.head(place))
        return Listing(objects, frozenset(there))
    folders = _folders(config, key)
    return _of_folders(config, key, ((one, storage.list(join(raw, one))) for one in folders))


def look_at_many(
    storage: Storage, config: DatasetConfig, keys: Sequence[str]
) -> Iterator[tuple[str, Listing | Exception]]:
    """Each episode with its signs, or what went wrong with it, in the order of the listing.

    Neighbours cost one listing together where the store can begin one anywhere. Memory is that of
    one episode.
    """
    if not isinstance(storage, RangeListing):
        for key in keys:
            try:
                yield key, look(storage, config, key, with_signs=True)
            except Exception as error:
                yield key, error
        return
    neighbours = _Neighbours(storage, config)
    for key in sorted(keys, key=lambda key: f"{key}/".encode()):
        try:
            yield key, neighbours.look(key)
        except Exception as error:
            yield key, error


class _Neighbours:
    """Goes through each folder of episodes once, as they are asked for in order."""

    def __init__(self, storage: RangeListing, config: DatasetConfig) -> None:
        self._storage = storage
        self._config = config
        self._raw = _raw(config)
        self._streams: dict[str, ObjectStream] = {}

    def look(self, key: str) -> Listing:
        encode_key(key)
        if is_file_key(key) and (found := self._bag(key)) is not None:
            return found
        folders = _folders(self._config, key)
        below = ((one, self._starting(f"{join(self._raw, one)}/")) for one in folders)
        return _of_folders(self._config, key, below)

    def _bag(self, key: str) -> Listing | None:
        # All that may lie beside a bag has its name up to a dot.
        stem = bag_sidecars(key)[0].removesuffix("json")
        found = {info.key: info for info in self._starting(join(self._raw, stem))}
        if join(self._raw, key) not in found:
            return None
        paths = (key, *bag_sidecars(key), beside(key, OVERRIDES_NAME))
        objects = {path: found[join(self._raw, path)] for path in paths if self._is(path, found)}
        names = sign_names(self._config)
        signs = (n for n in names for dot in (".", "") if self._is(f"{key}{dot}{n}", found))
        return Listing(objects, frozenset(signs))

    def _is(self, path: str, found: dict[str, ObjectInfo]) -> bool:
        return join(self._raw, path) in found

    def _starting(self, start: str) -> Iterator[ObjectInfo]:
        folder = start[:-1].rpartition("/")[0]
        if folder not in self._streams:
            self._streams[folder] = ObjectStream(self._storage, folder)
        return self._streams[folder].starting(start)


def source_of(config: DatasetConfig, key: str) -> str | None:
    """The configured source an episode came from; None if the dataset has no sources."""
    found = [
        source
        for source in (source.strip("/") for source in config.storage.sources)
        if key == source or key.startswith(f"{source}/")
    ]
    return max(found, key=len) if found else None


def marker_name(config: DatasetConfig) -> str:
    """The file that a publisher writes last."""
    return config.storage.scanner.marker or MARKER_NAME


def sign_names(config: DatasetConfig) -> tuple[str, ...]:
    return marker_name(config), UPLOADING_NAME


def sign_folders(config: DatasetConfig, key: str) -> tuple[str, ...]:
    return (key,) if is_file_key(key) else _folders(config, key)


def _raw(config: DatasetConfig) -> str:
    return config.storage.raw_prefix.strip("/")


def _of_folders(
    config: DatasetConfig, key: str, folders: Iterable[tuple[str, Iterable[ObjectInfo]]]
) -> Listing:
    raw = _raw(config)
    names = sign_names(config)
    layout = EpisodeLayout(key, config.layout)
    found: dict[str, ObjectInfo] = {}
    signs: set[str] = set()
    for folder, objects in folders:
        for info in objects:
            path = info.key[len(raw) + 1 :] if raw else info.key
            above, _, name = path.rpartition("/")
            if name in names and (above == folder or above in layout.folders):
                signs.add(name)
            elif not _may_be_member(layout, path):
                continue
            elif (fault := key_fault(info.key)) is not None:
                logger.warning("episode %s: the file %s %s; left out", key, shown(path), fault)
            elif len(found) == (most := config.limits.members):
                raise above_limit(f"episode {key}", most + 1, "files or more", "members", most)
            else:
                found[path] = info
    places = member_places(layout, config, found)
    # A bag inside a folder episode is another copy of it.
    is_kept = places.__contains__ if places else lambda path: _is_of_bag(layout, path)
    kept = {p: i for p, i in found.items() if is_kept(p) or _is_about(layout, p)}
    return Listing(kept, frozenset(signs))


def _may_be_member(layout: EpisodeLayout, path: str) -> bool:
    if _is_about(layout, path):
        return True
    place = layout.place(path)
    inner = place.path if place is not None else path[len(layout.key) + 1 :]
    if any(is_ignored(part) for part in inner.split("/")):
        return False
    kinds = (None, *Section)
    return any(is_data(inner, kind) for kind in kinds) or foreign_kind(inner) is not None


def _is_of_bag(layout: EpisodeLayout, path: str) -> bool:
    folder, _, name = path.rpartition("/")
    return folder == layout.key and is_data(name, None)


def _is_about(layout: EpisodeLayout, path: str) -> bool:
    return layout.is_metadata(path) or layout.is_overrides(path)


def _folders(config: DatasetConfig, key: str) -> tuple[str, ...]:
    """Where the episode's files may lie, below the raw prefix, in either layout."""
    return (key, *_section_folders(config, key).values())


def _section_folders(config: DatasetConfig, key: str) -> dict[Section, str]:
    """Where the split layout keeps the episode's joints and images, below the raw prefix."""
    source = source_of(config, key) or ""
    rest = key[len(source) :].strip("/")
    return {
        section: join(source, name, rest) for section, name in section_names(config.layout).items()
    }
