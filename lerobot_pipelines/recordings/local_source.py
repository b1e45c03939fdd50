"""A recording on this machine, found from whichever of its paths a person has at hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lerobot_pipelines.config.schema import LayoutConfig
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.model import EpisodeSource, Member
from lerobot_pipelines.recordings.layout import (
    ACTIVE_SUFFIX,
    PICTURE_SUFFIXES,
    TABLE_SUFFIXES,
    VIDEO_SUFFIXES,
    bag_sidecars,
    foreign_kind,
    is_bag,
    is_split_bag,
    section_names,
)
from lerobot_pipelines.storage.local import LocalStorage


def source_from_path(path: Path) -> EpisodeSource:
    """The episode that ``path`` is or belongs to.

    A bag (also an unfinished ``.active`` one); a ROS 2 recorder's folder; an episode's folder with
    ``joints`` and ``images`` in it, or one of these two; a folder ``joints/<task>/<episode>`` or
    ``images/<task>/<episode>`` of the split layout; a folder with joints or cameras right in it.
    Files that belong to no stream are members too, so that readers can report them. Raises
    ``Refused`` (unsupported) for anything else.
    """
    path = path.absolute()
    if path.is_file():
        if not is_bag(path.name.removesuffix(ACTIVE_SUFFIX)):
            kind = foreign_kind(path.name)
            named = f"is {kind}, which is not read: it " if kind else ""
            raise _no_recording(path, f"{named}is neither a bag (.bag, .db3, .mcap) nor a folder")
        return _source(path.parent, path.name, [path.name, *bag_sidecars(path.name)])
    if not path.is_dir():
        raise _no_recording(path, "does not exist")
    sections = tuple(section_names(LayoutConfig()).values())
    if any(_is_section(path / name) for name in sections):
        return _source(path.parent, path.name, [path.name])
    if (bag := _bag_folder(path)) is not None:
        return bag
    if path.name in sections and _is_section(path):
        return _source(path.parent.parent, path.parent.name, [path.parent.name])
    if (split := _split_episode(path, sections)) is not None:
        return split
    if _is_section(path):
        return _source(path.parent, path.name, [path.name])
    raise _nothing_in(path, sections)


def _bag_folder(path: Path) -> EpisodeSource | None:
    names = sorted(entry.name for entry in path.iterdir() if entry.is_file())
    bags = [name for name in names if is_bag(name)]
    if is_split_bag(path.name, bags, names):
        files = [f"{path.name}/{name}" for name in names if not name.startswith(".")]
        return _source(path.parent, path.name, files)
    if len(bags) == 1 and not _holds_folders(path):
        return source_from_path(path / bags[0])
    if bags:
        beside = " beside folders of recordings" if len(bags) == 1 else ""
        bag = "bag" if len(bags) == 1 else "bags"
        raise _no_recording(
            path, f"holds {len(bags)} {bag}{beside}; name one of them, such as {bags[0]}"
        )
    return None


def _holds_folders(path: Path) -> bool:
    """Whether there is anything that a folder recording is made of, or one right below."""
    sections = section_names(LayoutConfig()).values()
    below = [entry for entry in path.iterdir() if entry.is_dir()]
    return _is_section(path) or any(
        _is_section(folder) or any(_is_section(folder / name) for name in sections)
        for folder in below
    )


def _split_episode(path: Path, sections: Sequence[str]) -> EpisodeSource | None:
    parts = path.parts
    for at in range(len(parts) - 2, 0, -1):
        if parts[at] in sections:
            root, key = Path(*parts[:at]), "/".join(parts[at + 1 :])
            source = _source(root, key, [f"{name}/{key}" for name in sections])
            if any(member.path.lower().endswith(_DATA_SUFFIXES) for member in source.members):
                return source
    return None


def _nothing_in(path: Path, sections: Sequence[str]) -> Refused:
    inner = [name for name in sections if (path / name).is_dir()]
    if inner:
        fault = f"seems to hold several episodes; name one of the folders below {path / inner[0]}"
        return _no_recording(path, fault)
    kinds = {kind: entry.name for entry in path.iterdir() if (kind := foreign_kind(entry.name))}
    named = "".join(
        f" (there is {name}, {kind}, which is not read)" for kind, name in kinds.items()
    )
    return _no_recording(path, f"holds neither a bag nor {' nor '.join(sections)}{named}")


_DATA_SUFFIXES = (*TABLE_SUFFIXES, *PICTURE_SUFFIXES, *VIDEO_SUFFIXES)


def _is_section(folder: Path) -> bool:
    """Joints directly in it, or cameras' folders with pictures."""
    if not folder.is_dir():
        return False
    entries = list(folder.iterdir())
    if any(entry.name.lower().endswith(TABLE_SUFFIXES) for entry in entries):
        return True
    return any(
        inner.suffix.lower() in (*PICTURE_SUFFIXES, *VIDEO_SUFFIXES)
        for entry in entries
        if entry.is_dir()
        for inner in entry.iterdir()
    )


def _source(root: Path, key: str, below: Sequence[str]) -> EpisodeSource:
    storage = LocalStorage(root)
    found = []
    for prefix in below:
        info = storage.head(prefix)
        found += [info] if info is not None else list(storage.list(prefix))
    members = tuple(Member(info.key, info.size, info.etag) for info in found)
    return EpisodeSource(key, storage.root, members, (storage.root / key).as_uri())


def _no_recording(path: Path, fault: str) -> Refused:
    return Refused(Reason.UNSUPPORTED, f"{path} {fault}")
