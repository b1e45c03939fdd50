"""Episodes whose joints and images lie in no folders of these names, as a configuration tells.

``episode_1/joints.parquet`` with ``episode_1/cam_high/17.jpg`` beside it: which folders are
episodes follows from the files and camera folders that the configuration asks for. What it does not
ask for makes no episode and no part of one, so that a dataset in the bucket is never taken for a
recording.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.recordings.layout import (
    CSV_SUFFIX,
    PARQUET_SUFFIX,
    TABLE_SUFFIXES,
    EpisodeLayout,
    Place,
    Section,
    foreign_kind,
    is_bag,
    is_data,
)


def joints_files(config: DatasetConfig) -> frozenset[str]:
    """The paths below an episode's joints folder at which the configured streams may lie."""
    names = [
        (stream.file or stream.name).strip("/")
        for stream in config.streams
        if stream.file is not None or stream.topic is None
    ]
    return frozenset(
        path
        for name in names
        for path in (
            [name] if name.lower().endswith(TABLE_SUFFIXES) else [name + s for s in TABLE_SUFFIXES]
        )
    )


def camera_folders(config: DatasetConfig) -> frozenset[str]:
    """The folders below an episode's images folder of the configured cameras."""
    return frozenset(
        (camera.folder or camera.name).strip("/")
        for camera in config.cameras
        if camera.folder is not None or camera.topic is None
    )


def member_places(
    layout: EpisodeLayout, config: DatasetConfig, paths: Iterable[str]
) -> dict[str, Place]:
    """The files of an episode that are joints or images, in its folders of these or without them.

    CSV files only where a stream asks for them and there is no parquet file of the name: others
    were no members when episodes were first read. Of joints that nothing reads, one names itself.
    """
    paths = list(paths)
    found = layout.places(paths)
    asked = {Section.JOINTS: bool(config.streams), Section.IMAGES: bool(config.cameras)}
    joints = joints_files(config)
    kept = {
        path: place
        for path, place in found.items()
        if is_data(place.path, place.section)
        and (layout.place(path) is not None or asked[place.section])
        and not (_is_csv(place) and (place.path not in joints or _has_twin(place, found)))
    }
    has_sections = any(layout.place(path) is not None for path in kept)
    if not has_sections and any(map(is_bag, paths_in(layout.key, paths))):
        return {}  # a bag, with whatever its recorder left beside it
    if asked[Section.JOINTS] and not any(p.section is Section.JOINTS for p in kept.values()):
        kept |= _unread(layout, paths)
    return kept


def paths_in(folder: str, paths: Iterable[str]) -> Iterator[str]:
    """Those that lie right in the folder."""
    return (path for path in paths if path.rpartition("/")[0] == folder)


def _is_csv(place: Place) -> bool:
    return place.section is Section.JOINTS and place.path.lower().endswith(CSV_SUFFIX)


def _has_twin(place: Place, found: Mapping[str, Place]) -> bool:
    return place._replace(path=place.path[: -len(CSV_SUFFIX)] + PARQUET_SUFFIX) in found.values()


def _unread(layout: EpisodeLayout, paths: Iterable[str]) -> dict[str, Place]:
    inner = layout.key + "/" if layout.key else ""
    return {
        path: layout.place(path) or Place(Section.JOINTS, path[len(inner) :])
        for path in paths
        if foreign_kind(path) is not None
        and (path.startswith(inner) or layout.place(path) is not None)
    }
