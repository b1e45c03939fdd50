"""Where the files of an episode lie below the raw prefix, and which names are no part of any.

An episode of files has a key and two sections, joints and images. The section's folder may stand
anywhere in the path: ``joints/bottle/episode_1/left.parquet`` (layout A) and
``bottle/episode_1/joints/left.parquet`` (layout B) are both the file ``left.parquet`` in the joints
of episode ``bottle/episode_1``. An episode in a bag has the bag's path as its key; a ROS 2
recording split over several files has their folder's.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from lerobot_pipelines.config.schema import LayoutConfig
from lerobot_pipelines.model import Member

METADATA_NAME = "metadata.json"
ROS2_METADATA_NAME = "metadata.yaml"
PARQUET_SUFFIX = ".parquet"
PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png")

ROS1_SUFFIX = ".bag"
ROS2_SUFFIXES = (".db3", ".db3.zstd")
MCAP_SUFFIXES = (".mcap", ".mcap.zstd")
BAG_SUFFIXES = (ROS1_SUFFIX, *ROS2_SUFFIXES, *MCAP_SUFFIXES)
# A bag whose recorder has not finished, or died. Never taken from a bucket; read when named.
ACTIVE_SUFFIX = ".active"

# What browsers, copy tools, editors and recorders call a file that is not finished.
_UNFINISHED_SUFFIXES = (
    *(ACTIVE_SUFFIX, ".tmp", ".temp", ".part", ".partial", ".filepart", ".crdownload", ".download"),
    *(".swp", "~"),
)


class Section(StrEnum):
    JOINTS = "joints"
    IMAGES = "images"


class Place(NamedTuple):
    """A file's section and its path inside it."""

    section: Section
    path: str


def is_ignored(name: str) -> bool:
    """Hidden and unfinished files and folders belong to no episode."""
    return name.startswith(".") or name.lower().endswith(_UNFINISHED_SUFFIXES)


def is_bag(name: str) -> bool:
    """A file that holds a whole recording, or a part of a split ROS 2 one."""
    return name.lower().endswith(BAG_SUFFIXES)


def container_of(members: Iterable[Member]) -> str:
    """The kind of recording its members make: "ros1", "ros2", "mcap" or "folder"."""
    names = [member.path.rpartition("/")[2].lower() for member in members]
    stems = [name.removesuffix(ACTIVE_SUFFIX) for name in names]
    if any(stem.endswith(ROS1_SUFFIX) for stem in stems):
        return "ros1"
    if ROS2_METADATA_NAME in names or any(stem.endswith(ROS2_SUFFIXES) for stem in stems):
        return "ros2"
    if any(stem.endswith(MCAP_SUFFIXES) for stem in stems):
        return "mcap"
    return "folder"


def bag_sidecars(key: str) -> tuple[str, ...]:
    """JSON files that may describe the bag of that key, in order of preference."""
    folder, _, name = key.rpartition("/")
    stem = name.partition(".")[0] if name.lower().endswith((".zstd", ACTIVE_SUFFIX)) else ""
    stem = stem or name.rpartition(".")[0]
    return tuple(f"{folder}/{s}.json" if folder else f"{s}.json" for s in (stem, name))


class EpisodeLayout:
    """Tells a folder episode's files apart. ``key`` is the episode's."""

    def __init__(self, key: str, layout: LayoutConfig) -> None:
        self.key = key
        parts = key.split("/")
        self.folders: dict[str, Section] = {}
        for section, name in section_names(layout).items():
            for at in range(len(parts) + 1):
                self.folders["/".join((*parts[:at], name, *parts[at:]))] = section
        self._places: dict[str, tuple[Section, str] | None] = {}

    def place(self, path: str) -> Place | None:
        """The section and inner path of a member, None if it lies in neither section."""
        folder, _, name = path.rpartition("/")
        # Thousands of pictures share a folder: work each folder out once.
        if folder not in self._places:
            self._places[folder] = self._section(folder)
        if (found := self._places[folder]) is None:
            return None
        section, inner = found
        return Place(section, f"{inner}/{name}" if inner else name)

    def is_metadata(self, path: str) -> bool:
        """``metadata.json`` at the episode's level: of the episode or of one of its sections."""
        folder, _, name = path.rpartition("/")
        return name == METADATA_NAME and (folder == self.key or folder in self.folders)

    def _section(self, folder: str) -> tuple[Section, str] | None:
        for prefix, section in self.folders.items():
            if folder == prefix:
                return section, ""
            if folder.startswith(f"{prefix}/"):
                return section, folder[len(prefix) + 1 :]
        return None


def section_names(layout: LayoutConfig) -> dict[Section, str]:
    """The folder of each section; it may be several levels deep ("data/joints")."""
    return {
        Section.JOINTS: layout.joints.strip("/"),
        Section.IMAGES: layout.images.strip("/"),
    }
