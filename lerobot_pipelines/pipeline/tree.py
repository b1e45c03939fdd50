"""Finds episodes by the shape of the folder tree below the raw prefix.

Only folders are listed, never what an episode is made of, with one exception: an episode whose
images came without joints is recognised by looking into its first camera.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath
from time import monotonic

from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.pipeline.loose import camera_folders, joints_files
from lerobot_pipelines.recordings.layout import (
    PARQUET_SUFFIX,
    PICTURE_SUFFIXES,
    VIDEO_SUFFIXES,
    Section,
    is_bag,
    is_data,
    is_file_key,
    is_ignored,
    is_split_bag,
    section_names,
)
from lerobot_pipelines.storage.base import Storage
from lerobot_pipelines.storage.names import join, key_fault, shown

# Sources are walked side by side: most of the time goes into waiting for the store.
WALK_THREADS = 16

# Where the walk of a source is: which of its parts, and the folder, name by name.
Position = tuple[int, tuple[str, ...]]

_START: Position = (-1, ())


class Probes:
    """Bounds how many unknown folders a walk looks into, by time.

    A walk that is cut short leaves where each source's was in ``next_after``; one that begins there
    goes on, so that every folder has its turn. Only looks at images for want of joints are left to
    the walk without bounds: an episode without joints is not ready anyway.
    """

    def __init__(self, until_s: float, after: Mapping[str, Position] | None = None) -> None:
        self._until_s = until_s  # time.monotonic()
        self._after = dict(after or {})
        self._newest: dict[str, Position] = {}
        self._cut: set[str] = set()

    def may(self, source: str, part: int, key: str) -> bool:
        if source in self._cut:
            return False
        place, after = (part, tuple(key.split("/"))), self._after.get(source, _START)
        if part == after[0] and after[1][: len(place[1])] == place[1]:
            return True  # on the way back to where the last walk was
        if place <= after:
            return False
        if source in self._newest and monotonic() > self._until_s:  # one at least
            self._cut.add(source)
            return False
        self._newest[source] = place
        return True

    @property
    def next_after(self) -> dict[str, Position]:
        """By source; only those whose walk was cut short."""
        return {source: self._newest[source] for source in sorted(self._cut)}


def episode_keys_below(
    storage: Storage,
    config: DatasetConfig,
    known: Collection[str] = frozenset(),
    probes: Probes | None = None,
    unreadable: list[tuple[str, str]] | None = None,
) -> list[str]:
    """Every episode's key, sound or not, in UTF-8 byte order. See ``discovery.list_names``.

    Folders that may not be listed are appended to ``unreadable`` with what helps.
    """
    sources = [source.strip("/") for source in config.storage.sources] or [""]
    trees = [_Tree(storage, config, source, known, probes) for source in sources]
    with ThreadPoolExecutor(min(WALK_THREADS, len(trees))) as pool:
        found = pool.map(_Tree.keys, trees)
        keys = sorted({key for keys in found for key in keys}, key=str.encode)
    if unreadable is not None:
        unreadable.extend(folder for tree in trees for folder in tree.unreadable)
    return keys


class _Tree:
    """The episodes of one source."""

    def __init__(
        self,
        storage: Storage,
        config: DatasetConfig,
        source: str,
        known: Collection[str],
        probes: Probes | None,
    ) -> None:
        self._storage = storage
        self._config = config
        self._raw = config.storage.raw_prefix.strip("/")
        self._source = source
        self._known = known
        self._probes = probes
        self.unreadable: list[tuple[str, str]] = []
        # Known episodes that were not looked into, by the layout of their folder.
        self._assumed: dict[str, set[str]] = {"split": set(), "whole": set()}
        self._sections = section_names(config.layout)
        self._joints_files = sorted(joints_files(config))
        self._camera_folders = sorted(camera_folders(config))
        # A raw prefix of "" holds the results as well.
        self._results = {
            prefix.strip("/")
            for prefix in (config.storage.converted_prefix, config.storage.work_prefix)
        }

    def keys(self) -> set[str]:
        joints = set(self._with_joints(""))
        wants_joints = self._probes is not None and bool(self._config.streams)
        images = set() if wants_joints else set(self._with_images("", joints))
        found = {key for key in joints | images if key} | set(self._whole(self._source))
        # Of one that is a folder in both layouts, either may be a folder of other episodes.
        for key in sorted(self._assumed["split"] & self._assumed["whole"]):
            if self._may_look(3, key):
                found |= self._looked_into(key)
        return found

    def _looked_into(self, key: str) -> set[str]:
        tree = _Tree(self._storage, self._config, self._source, frozenset(), None)
        rest = key[len(self._source) :].strip("/")
        joints = set(tree._with_joints(rest))
        whole = {key} if tree._is_episode(key) else set(tree._whole(key))
        images = set(tree._with_images(rest, joints))
        self.unreadable += tree.unreadable
        return joints | images | whole

    def _may_look(self, part: int, key: str) -> bool:
        return self._probes is None or self._probes.may(self._source, part, key)

    def _with_joints(self, rest: str) -> Iterator[str]:
        """Split layout: the folders below ``joints`` that hold parquet files."""
        folders, names = self._level(self._split(Section.JOINTS, rest))
        if any(self._are_joints(name) for name in names):
            yield join(self._source, rest)
            return
        for name in folders:
            inner = join(rest, name)
            key = join(self._source, inner)
            if key_fault(name):
                yield _unusable(join(self._source, rest), name)
            elif key in self._known:
                self._assumed["split"].add(key)
                yield key
            elif self._may_look(0, key):
                yield from self._with_joints(inner)

    def _with_images(self, rest: str, known: set[str]) -> Iterator[str]:
        """Split layout: the folders below ``images`` whose first folder holds pictures."""
        if join(self._source, rest) in known:
            return
        folders, _ = self._level(self._split(Section.IMAGES, rest))
        for name in folders:
            if key_fault(name):
                yield _unusable(join(self._source, rest), name)
                continue
            inner = join(rest, name)
            key = join(self._source, inner)
            if key in self._known:
                self._assumed["split"].add(key)
                yield key
            elif key not in known and self._may_look(1, key):
                if self._is_camera(inner):
                    yield join(self._source, rest)
                    return
                yield from self._with_images(inner, known)

    def _is_camera(self, rest: str) -> bool:
        _, names = self._level(self._split(Section.IMAGES, rest))
        return any(map(_is_picture, names))

    def _are_joints(self, name: str) -> bool:
        asked = name in self._joints_files and is_data(name, Section.JOINTS)
        return name.lower().endswith(PARQUET_SUFFIX) or asked

    def _whole(self, folder: str) -> Iterator[str]:
        """Episodes that are one folder, and bags."""
        folders, names = self._level(folder)
        bags = [name for name in names if is_bag(name)]
        if folder and is_split_bag(PurePosixPath(folder).name, bags, names):
            yield folder
        else:
            # A recording that nothing reads is an episode that is refused, for people to see.
            yield from (join(folder, name) for name in names if is_file_key(name))
        for name in folders:
            if key_fault(name):
                yield _unusable(folder, name)
                continue
            inner = join(folder, name)
            if inner in self._split_roots():
                continue
            if join(self._raw, inner) in self._results:
                continue
            if inner in self._known:
                self._assumed["whole"].add(inner)
                yield inner
            elif self._may_look(2, inner):
                if self._is_episode(inner):
                    yield inner
                else:
                    yield from self._whole(inner)

    def _is_episode(self, folder: str) -> bool:
        folders, names = self._level(folder)
        below = set(folders)
        for section in self._sections.values():
            first, _, deeper = section.partition("/")
            if first in below and (not deeper or self._exists(join(folder, section))):
                return True
        return self._is_loose(folder, below, names)

    def _is_loose(self, folder: str, below: set[str], names: list[str]) -> bool:
        """Joints or cameras that the configuration asks for, in no folder of their own kind."""
        if any(map(is_bag, names)):
            return False
        for path in self._joints_files:
            above, _, name = path.rpartition("/")
            if above.partition("/")[0] in below and name in self._level(join(folder, above))[1]:
                return True
            if not above and name in names:
                return True
        return any(
            camera.partition("/")[0] in below
            and any(map(_is_picture, self._level(join(folder, camera))[1]))
            for camera in self._camera_folders
        )

    def _exists(self, folder: str) -> bool:
        folders, names = self._level(folder)
        return bool(folders or names)

    def _split(self, section: Section, rest: str) -> str:
        return join(self._source, self._sections[section], rest)

    def _split_roots(self) -> set[str]:
        return {join(self._source, name.split("/")[0]) for name in self._sections.values()}

    def _level(self, folder: str) -> tuple[list[str], list[str]]:
        place = join(self._raw, folder)
        try:
            folders, objects = self._storage.list_level(place)
        except PermissionError as error:
            # The other folders, and the other robots, have done nothing wrong.
            self.unreadable.append((place, f"the folder {shown(place)} is not readable ({error})"))
            return [], []
        names = [info.key.rpartition("/")[2] for info in objects]
        return (
            # In the order of positions, see ``Probes``.
            sorted(name for name in folders if not is_ignored(name)),
            [name for name in names if not is_ignored(name)],
        )


def _is_picture(name: str) -> bool:
    return name.lower().endswith((*PICTURE_SUFFIXES, *VIDEO_SUFFIXES))


def _unusable(above: str, name: str) -> str:
    """The bad key that stands for whatever lies in a folder that no listing can be asked for."""
    return f"{above}/{name}" if above else name
