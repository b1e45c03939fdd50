"""Which file of a folder episode is what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

from lerobot_pipelines.config.schema import LayoutConfig
from lerobot_pipelines.model import EpisodeSource, Fault, Member
from lerobot_pipelines.recordings.layout import (
    CSV_SUFFIX,
    PARQUET_SUFFIX,
    TABLE_SUFFIXES,
    EpisodeLayout,
    Place,
    Section,
    foreign_kind,
    is_data,
    is_ignored,
)


@dataclass(slots=True)
class FolderFiles:
    """``joints`` maps the path below the joints folder to the member's, ``cameras`` the folder
    below the images folder to its pictures; both in UTF-8 byte order."""

    joints: dict[str, str] = field(default_factory=dict)
    cameras: dict[str, list[Member]] = field(default_factory=dict)
    metadata: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    # What nothing reads: the first file of each kind, and how many there are.
    unread: dict[str, str] = field(default_factory=dict)
    unread_counts: Counter[str] = field(default_factory=Counter)


def sort_files(source: EpisodeSource, layout: LayoutConfig) -> FolderFiles:
    """Sort an episode's members by what they are for; what is for nothing becomes a fault."""
    episode = EpisodeLayout(source.key, layout)
    files = FolderFiles()
    left_out: dict[tuple[str, str], list[str]] = {}
    seen: set[Place] = set()
    places = episode.places(member.path for member in source.members)
    twins = frozenset(places.values())
    for member in sorted(source.members, key=lambda member: member.path.encode()):
        path = member.path
        if episode.is_metadata(path):
            files.metadata.append(path)
            continue
        place = places.get(path)
        stream, reason = _fault_of(place, path, seen, twins)
        if reason == "not_data" and (kind := foreign_kind(path)) is not None:
            files.unread.setdefault(kind, path)
            files.unread_counts[kind] += 1
        elif reason is not None:
            left_out.setdefault((stream, reason), []).append(path)
        elif place is not None:
            seen.add(place)
            _add(files, place, member)
    files.faults = [
        Fault(stream, paths[0], reason, len(paths)) for (stream, reason), paths in left_out.items()
    ]
    # The episode's own word goes before that of its sections: shorter paths first.
    files.metadata.sort(key=lambda path: (path.count("/"), path.encode()))
    return files


def described(choices: Mapping[str, object] | Sequence[str]) -> str:
    """What there is instead, for messages."""
    names = list(choices)
    shown = ", ".join(names[:8]) or "none"
    return shown if len(names) <= 8 else f"{shown} and {len(names) - 8} more"


def _fault_of(
    place: Place | None, path: str, seen: set[Place], twins: Set[Place]
) -> tuple[str, str | None]:
    """The stream concerned ("" if none) and why a file is left out; None if it is not."""
    inner = path if place is None else place.path
    stream = inner.rpartition("/")[0] if place is not None else ""
    if any(is_ignored(part) for part in inner.split("/")):
        return stream, "unfinished_or_hidden"
    if place is None or not is_data(inner, place.section):
        return stream, "not_data"
    if place.section is Section.IMAGES and not stream:
        return stream, "in_no_camera_folder"
    # The same file in both layouts, or as CSV too: one of them is a leftover or a copy.
    if place in seen:
        return stream, "second_layout"
    is_csv = place.section is Section.JOINTS and inner.lower().endswith(CSV_SUFFIX)
    twin = place._replace(path=stream_name(inner) + PARQUET_SUFFIX)
    return stream, "second_format" if is_csv and twin in twins else None


def _add(files: FolderFiles, place: Place, member: Member) -> None:
    if place.section is Section.IMAGES:
        files.cameras.setdefault(place.path.rpartition("/")[0], []).append(member)
    else:
        files.joints[place.path] = member.path


def joints_path(files: FolderFiles, name: str) -> str:
    """The path below the joints folder that a configuration's ``file`` or name means."""
    name = name.strip("/")
    if name in files.joints or name.lower().endswith(TABLE_SUFFIXES):
        return name
    paths = [name + suffix for suffix in TABLE_SUFFIXES]
    return next((path for path in paths if path in files.joints), paths[0])


def stream_name(path: str) -> str:
    """What a joints file's only stream is called: its path without suffix."""
    end = next((s for s in TABLE_SUFFIXES if path.lower().endswith(s)), "")
    return path[: len(path) - len(end)]
