"""Which file of a folder episode is what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lerobot_pipelines.config.schema import LayoutConfig
from lerobot_pipelines.model import EpisodeSource, Fault, Member
from lerobot_pipelines.recordings.layout import (
    PARQUET_SUFFIX,
    EpisodeLayout,
    Place,
    Section,
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


def sort_files(source: EpisodeSource, layout: LayoutConfig) -> FolderFiles:
    """Sort an episode's members by what they are for; what is for nothing becomes a fault."""
    episode = EpisodeLayout(source.key, layout)
    files = FolderFiles()
    left_out: dict[tuple[str, str], list[str]] = {}
    seen: set[Place] = set()
    for member in sorted(source.members, key=lambda member: member.path.encode()):
        path = member.path
        if episode.is_metadata(path):
            files.metadata.append(path)
            continue
        place = episode.place(path)
        stream, reason = _fault_of(place, path, seen)
        if reason is not None:
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


def _fault_of(place: Place | None, path: str, seen: set[Place]) -> tuple[str, str | None]:
    """The stream concerned ("" if none) and why a file is left out; None if it is not."""
    inner = path if place is None else place.path
    stream = inner.rpartition("/")[0] if place is not None else ""
    if any(is_ignored(part) for part in inner.split("/")):
        return stream, "unfinished_or_hidden"
    if place is None or not is_data(inner, place.section):
        return stream, "not_data"
    if place.section is Section.IMAGES and not stream:
        return stream, "in_no_camera_folder"
    # The same file in both layouts: one of them is a leftover.
    return stream, "second_layout" if place in seen else None


def _add(files: FolderFiles, place: Place, member: Member) -> None:
    if place.section is Section.IMAGES:
        files.cameras.setdefault(place.path.rpartition("/")[0], []).append(member)
    else:
        files.joints[place.path] = member.path


def parquet_path(files: FolderFiles, name: str) -> str:
    """The path below the joints folder that a configuration's ``file`` or name means."""
    name = name.strip("/")
    return name if name in files.joints or name.endswith(PARQUET_SUFFIX) else name + PARQUET_SUFFIX
