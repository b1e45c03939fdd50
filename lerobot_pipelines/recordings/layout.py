"""Where the files of an episode lie below the raw prefix, and which names are no part of any.

An episode of files has a key and two sections, joints and images. The section's folder may stand
anywhere in the path: ``joints/bottle/episode_1/left.parquet`` (layout A) and
``bottle/episode_1/joints/left.parquet`` (layout B) are both the file ``left.parquet`` in the joints
of episode ``bottle/episode_1``. An episode in a bag has the bag's path as its key; a ROS 2
recording split over several files has their folder's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from lerobot_pipelines.config.schema import LayoutConfig
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.model import Member

METADATA_NAME = "metadata.json"
# What a publisher leaves beside a recording: settings for this episode alone, the sign that its
# upload is under way, and the sign that it is complete.
OVERRIDES_NAME = "overrides.json"
UPLOADING_NAME = "_PUBLISHING"
MARKER_NAME = "_READY"
ROS2_METADATA_NAME = "metadata.yaml"
PARQUET_SUFFIX = ".parquet"
CSV_SUFFIX = ".csv"
# Files of columns: joints, and stamps of pictures.
TABLE_SUFFIXES = (PARQUET_SUFFIX, CSV_SUFFIX)
PICTURE_SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm", ".pnm"),
)
VIDEO_SUFFIXES = (".mp4", ".mkv")
# What lies beside a video, or beside pictures that are numbered, with the moment of each picture.
STAMPS_NAME = "stamps.parquet"
STAMPS_NAMES = (STAMPS_NAME, "stamps.csv")

ROS1_SUFFIX = ".bag"
ROS2_SUFFIXES = (".db3", ".db3.zstd")
MCAP_SUFFIXES = (".mcap", ".mcap.zstd")
BAG_SUFFIXES = (ROS1_SUFFIX, *ROS2_SUFFIXES, *MCAP_SUFFIXES)
# A bag whose recorder has not finished, or died. Never taken from a bucket; read when named.
ACTIVE_SUFFIX = ".active"

# What else people keep joints and pictures in: named where it is found, never read.
_FOREIGN = {
    **dict.fromkeys((".hdf5", ".h5", ".hdf"), "HDF5"),
    **dict.fromkeys((".npz", ".npy"), "a NumPy array"),
    **dict.fromkeys((".pkl", ".pickle", ".pt", ".pth"), "a Python pickle"),
    **dict.fromkeys((".svo", ".svo2"), "a ZED recording"),
    **dict.fromkeys((".avi", ".mov", ".webm", ".m4v"), "a video that is neither .mp4 nor .mkv"),
    **dict.fromkeys((".xlsx", ".xls"), "an Excel workbook"),
    **dict.fromkeys((".feather", ".arrow"), "an Arrow file"),
    ".mat": "a MATLAB file",
    ".tfrecord": "a TFRecord",
    ".rrd": "a Rerun recording",
}
# Those of them that hold a whole recording, as a bag does.
FOREIGN_RECORDINGS = (".hdf5", ".h5", ".hdf", ".svo", ".svo2", ".tfrecord", ".rrd")

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


def is_file_key(key: str) -> bool:
    """Whether an episode's key is that of one file: a bag, or a recording that nothing reads."""
    return is_bag(key) or key.lower().endswith(FOREIGN_RECORDINGS)


def is_split_bag(folder: str, bags: Sequence[str], names: Sequence[str]) -> bool:
    """A ROS 2 recorder's folder: it holds metadata (written last) or files named after it."""
    if not bags:
        return False
    if ROS2_METADATA_NAME in names:
        return True
    return all(bag.startswith(f"{folder}_") and bag[len(folder) + 1].isdigit() for bag in bags)


def is_data(name: str, section: Section | None) -> bool:
    """A file that a reader looks into; ``section`` is None outside of joints and images."""
    name = name.lower()
    if section is Section.JOINTS:
        return name.endswith(TABLE_SUFFIXES)
    if section is Section.IMAGES:
        is_stamps = name.rpartition("/")[2] in STAMPS_NAMES
        return name.endswith((*PICTURE_SUFFIXES, *VIDEO_SUFFIXES)) or is_stamps
    return is_bag(name) or name == ROS2_METADATA_NAME


def foreign_kind(name: str) -> str | None:
    """What a file is that may hold joints or pictures and that no reader reads; None otherwise."""
    return next((kind for end, kind in _FOREIGN.items() if name.lower().endswith(end)), None)


def container_of(members: Iterable[Member]) -> str:
    """The kind of recording its members make: "ros1", "ros2", "mcap" or "folder".

    Raises ``Refused`` (unsupported) if they are none of these.
    """
    names = [member.path.rpartition("/")[2].lower() for member in members]
    stems = [name.removesuffix(ACTIVE_SUFFIX) for name in names]
    are_pictures = any(name.endswith((*PICTURE_SUFFIXES, *VIDEO_SUFFIXES)) for name in names)
    are_tables = any(name.endswith(CSV_SUFFIX) for name in names)
    if any(name.endswith(PARQUET_SUFFIX) for name in names) or (are_tables and are_pictures):
        return "folder"
    if any(stem.endswith(ROS1_SUFFIX) for stem in stems):
        return "ros1"
    split = ROS2_METADATA_NAME in names and any(stem.endswith(MCAP_SUFFIXES) for stem in stems)
    if split or any(stem.endswith(ROS2_SUFFIXES) for stem in stems):
        return "ros2"
    if any(stem.endswith(MCAP_SUFFIXES) for stem in stems):
        return "mcap"
    if are_pictures or are_tables:
        return "folder"
    expected = (
        f"joints (.parquet, .csv) with images ({', '.join(PICTURE_SUFFIXES)}), or a bag (.bag, "
        ".db3, .mcap)"
    )
    for name in names:
        if kind := foreign_kind(name):
            raise Refused(
                Reason.UNSUPPORTED,
                f"{name} is {kind}, which is not read; export it as {expected}",
            )
    raise Refused(
        Reason.UNSUPPORTED,
        f"none of the {len(names)} files is a recording: expected are {expected}",
    )


def bag_sidecars(key: str) -> tuple[str, ...]:
    """JSON files that may describe the bag of that key, in order of preference."""
    folder, _, name = key.rpartition("/")
    stem = name.partition(".")[0] if name.lower().endswith((".zstd", ACTIVE_SUFFIX)) else ""
    stem = stem or name.rpartition(".")[0]
    return tuple(f"{folder}/{s}.json" if folder else f"{s}.json" for s in (stem, name))


def beside(key: str, name: str) -> str:
    """Where a file about the episode lies: in its folder, or beside its bag (``a.bag._READY``)."""
    return f"{key}.{name}" if is_file_key(key) else f"{key}/{name}"


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

    def places(self, paths: Iterable[str]) -> dict[str, Place]:
        """The place of each file that has one.

        Of an episode without a folder of joints, or without one of images, the files of that kind
        that lie in it otherwise: ``episode_1/joints.parquet``, ``episode_1/cam_high/17.jpg``.
        """
        paths = list(paths)
        found = {path: place for path in paths if (place := self.place(path)) is not None}
        there = {place.section for place in found.values() if is_data(place.path, place.section)}
        inner = self.key + "/" if self.key else ""
        for path in paths:
            if path not in found and path.startswith(inner):
                section = _loose_section(path[len(inner) :])
                if section is not None and section not in there:
                    found[path] = Place(section, path[len(inner) :])
        return found

    def is_metadata(self, path: str) -> bool:
        """``metadata.json`` at the episode's level: of the episode or of one of its sections."""
        folder, _, name = path.rpartition("/")
        return name == METADATA_NAME and (folder == self.key or folder in self.folders)

    def is_overrides(self, path: str) -> bool:
        """``overrides.json``, where ``metadata.json`` may lie too, or beside a bag."""
        folder, _, name = path.rpartition("/")
        if name == OVERRIDES_NAME and (folder == self.key or folder in self.folders):
            return True
        return path == beside(self.key, OVERRIDES_NAME)

    def _section(self, folder: str) -> tuple[Section, str] | None:
        for prefix, section in self.folders.items():
            if folder == prefix:
                return section, ""
            if folder.startswith(f"{prefix}/"):
                return section, folder[len(prefix) + 1 :]
        return None


def _loose_section(path: str) -> Section | None:
    """What a file is for that lies in an episode and in neither of its folders."""
    folder, _, name = path.rpartition("/")
    if name.lower() in STAMPS_NAMES:
        return Section.IMAGES if folder else None
    if is_data(name, Section.JOINTS):
        return Section.JOINTS
    return Section.IMAGES if folder and is_data(name, Section.IMAGES) else None


def section_names(layout: LayoutConfig) -> dict[Section, str]:
    """The folder of each section; it may be several levels deep ("data/joints")."""
    return {
        Section.JOINTS: layout.joints.strip("/"),
        Section.IMAGES: layout.images.strip("/"),
    }
