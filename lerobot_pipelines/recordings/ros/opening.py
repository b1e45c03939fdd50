"""From the members of an episode to an open recording."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from lerobot_pipelines.config.schema import DEFAULT_LIMITS, DatasetConfig, LimitsConfig
from lerobot_pipelines.errors import ContentChanged, Reason, Refused
from lerobot_pipelines.model import EpisodeSource, Fault, Member
from lerobot_pipelines.recordings.lfs import pointer_fault
from lerobot_pipelines.recordings.ros.compression import decompress_file
from lerobot_pipelines.recordings.ros.container import BagFile
from lerobot_pipelines.recordings.ros.db3 import Db3File
from lerobot_pipelines.recordings.ros.first_pass import KeptPass
from lerobot_pipelines.recordings.ros.mcap import McapFile
from lerobot_pipelines.recordings.ros.parts import SplitFile
from lerobot_pipelines.recordings.ros.recording import BagRecording
from lerobot_pipelines.recordings.ros.ros1 import Ros1File
from lerobot_pipelines.recordings.sidecar import read_metadata
from lerobot_pipelines.storage.scratch import ScratchFolder

_CONTAINERS: Mapping[str, Callable[[Path, int], BagFile]] = {
    ".bag": Ros1File,
    ".db3": Db3File,
    ".mcap": McapFile,
}
_COMPRESSED = (".zstd", ".zst")
_ACTIVE = (".active",)
_NUMBERS = re.compile(r"(\d+)")


def open_bag(
    source: EpisodeSource, config: DatasetConfig | None = None, notes: Path | None = None
) -> BagRecording:
    """The recording in a bag, or in the files a ROS 2 recording was split over.

    With ``config``, its streams and cameras by their configured names; those that may be missing
    and are not there are not in ``streams``. Without, every topic of pictures or numbers under its
    own name. Damaged bags are read as far as they go; ``faults`` says what was lost. ``notes`` is a
    folder in which the first pass is kept for the next who opens the same with it. Raises
    ``Refused`` (corrupt_container, unsupported, missing_stream, missing_camera) where nothing can
    be read or something required is not there, ``ContentChanged`` if a file is not what the source
    lists.
    """
    limits = config.limits if config is not None else DEFAULT_LIMITS
    paths = [_unchanged(source, member) for member in source.members]
    bags = _bags_among(paths)
    if not bags:
        raise Refused(Reason.UNSUPPORTED, f"{source.key} holds no .bag, .db3 or .mcap file")
    described = [m.path for m in source.members if m.path.lower().endswith(".json")]
    metadata, faults, told = read_metadata(source.root, described, limits)
    with ExitStack() as stack:
        listed = [name for path in paths if path.name == "metadata.yaml" for name in _listed(path)]
        parts, lost = _open_parts(_in_order(bags, listed), stack, limits)
        present = {path.name for path in paths}
        lost += [Fault("", name, "missing_file") for name in listed if name not in present]
        file = parts[0] if len(parts) == 1 else SplitFile(parts)
        closing = ExitStack()
        kept = KeptPass(notes, source, config) if notes is not None and config else None
        known = (*faults, *lost)
        recording = BagRecording(source, file, config, metadata, known, closing.close, kept, told)
        closing.enter_context(stack.pop_all())  # only now is it the recording's to close them
        return recording


def _open_parts(
    paths: Sequence[Path], stack: ExitStack, limits: LimitsConfig
) -> tuple[list[BagFile], list[Fault]]:
    """The files that can be read, and those that cannot; raises ``Refused`` if that is all."""
    parts: list[BagFile] = []
    refusals: list[Refused] = []
    lost: list[Fault] = []
    for path in paths:
        try:
            part = _open_file(path, stack, limits)
        except Refused as refusal:
            refusals.append(refusal)
            lost.append(Fault("", path.name, str(refusal.reason)))
        else:
            stack.callback(part.close)
            parts.append(part)
    if not parts:
        raise refusals[0]
    return parts, lost


def _open_file(path: Path, stack: ExitStack, limits: LimitsConfig) -> BagFile:
    name, container = _plain_name(path.name)
    if fault := pointer_fault(path):
        raise Refused(Reason.CORRUPT_CONTAINER, f"{path.name} {fault}")
    if path.name.lower().endswith(_COMPRESSED):
        scratch = stack.enter_context(ScratchFolder())
        path = decompress_file(path, scratch / name)
    return _CONTAINERS[container or ""](path, limits.messages)


def _unchanged(source: EpisodeSource, member: Member) -> Path:
    path = source.root / member.path
    try:
        size = path.stat().st_size
    except FileNotFoundError as error:
        raise ContentChanged(f"{member.path} is not there any more") from error
    if size != member.size:
        raise ContentChanged(f"{member.path} has {size} bytes now; it had {member.size}")
    return path


def _bags_among(paths: Sequence[Path]) -> list[Path]:
    """The bag files, in the order of their numbers; of a file and its packed copy the file."""
    plain: dict[str, Path] = {}
    for path in sorted(paths, key=lambda path: len(path.name), reverse=True):
        name, container = _plain_name(path.name)
        if container is not None:
            plain[name] = path  # the shorter name, which is not packed, comes last
    return sorted(plain.values(), key=_natural)


def _plain_name(name: str) -> tuple[str, str | None]:
    """A bag's name without the suffixes of compression and unfinished recording; its container."""
    lowered = name.lower()
    for suffix in (*_COMPRESSED, *_ACTIVE):
        if lowered.endswith(suffix):
            name, lowered = name[: -len(suffix)], lowered[: -len(suffix)]
    container = next((known for known in _CONTAINERS if lowered.endswith(known)), None)
    return name, container


def _natural(path: Path) -> list[tuple[int, int, str]]:
    # rec_10 comes after rec_9.
    return [
        (0, int(part), "") if part.isdigit() else (1, 0, part) for part in _NUMBERS.split(path.name)
    ]


def _in_order(bags: Sequence[Path], listed: Sequence[str]) -> list[Path]:
    """The order of the recorder's own list; files that it does not name come last."""
    place = {name: at for at, name in enumerate(listed)}
    return sorted(bags, key=lambda path: place.get(path.name, len(place)))


def _listed(path: Path) -> list[str]:
    import yaml

    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8", errors="replace"))
        names = content["rosbag2_bagfile_information"]["relative_file_paths"]
        return [str(name).rpartition("/")[2] for name in names]
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError, RecursionError):
        return []  # the files themselves tell everything else
