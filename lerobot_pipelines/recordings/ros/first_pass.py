"""What the first pass over a bag found, kept on this machine for the steps that follow.

Each step may run in a process of its own. A kept pass spares the later ones unpacking a compressed
bag again; without it, or where it is damaged or of other content, the pass is made again with the
same result.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

import lerobot_pipelines
from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.intake import IntakeEntry
from lerobot_pipelines.model import EpisodeSource, Fault, Stamps, Stream, Vectors
from lerobot_pipelines.recordings.ros.container import Rows

# Of this module's files; another number makes all of them unknown.
_FORMAT = 4
_SUFFIX = ".npz"

# All kept passes together; the least recently used go first. One of a 10 GB bag has some 60 MB.
_MOST_BYTES = 1 << 30


@dataclass(slots=True)
class FirstPass:
    """Every stream of a bag under one configuration; arrays by stream."""

    messages: int  # that the bag's index lists
    streams: dict[str, Stream] = field(default_factory=dict)
    rows: dict[str, Rows] = field(default_factory=dict)
    stamps: dict[str, Stamps] = field(default_factory=dict)
    vectors: dict[str, Vectors] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    intake: tuple[IntakeEntry, ...] = ()


@dataclass(frozen=True)
class _About:
    messages: int
    streams: tuple[Stream, ...]
    faults: tuple[Fault, ...]
    intake: tuple[IntakeEntry, ...]


class KeptPass:
    """The place of one first pass: of this content, configuration and version."""

    def __init__(self, folder: Path, source: EpisodeSource, config: DatasetConfig) -> None:
        self._folder = folder
        self._path = folder / f"{_key(source, config)}{_SUFFIX}"

    def load(self) -> FirstPass | None:
        """None if there is none that is whole."""
        try:
            with np.load(self._path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}  # sums are checked here
            about = TypeAdapter(_About).validate_json(arrays.pop("about").tobytes())
            found = FirstPass(
                about.messages,
                {one.name: one for one in about.streams},
                faults=about.faults,
                intake=about.intake,
            )
            for number, name in enumerate(found.streams):
                found.rows[name] = arrays[f"rows_{number}"]
                found.stamps[name] = arrays[f"stamps_{number}"]
                if f"vectors_{number}" in arrays:
                    found.vectors[name] = arrays[f"vectors_{number}"]
            os.utime(self._path)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, ValidationError):
            return None
        return found

    def save(self, found: FirstPass) -> None:
        """As far as there is room: nothing depends on it."""
        about = _About(found.messages, tuple(found.streams.values()), found.faults, found.intake)
        arrays: dict[str, NDArray[Any]] = {
            "about": np.frombuffer(TypeAdapter(_About).dump_json(about), np.uint8)
        }
        for number, name in enumerate(found.streams):
            arrays[f"rows_{number}"] = found.rows[name]
            arrays[f"stamps_{number}"] = found.stamps[name]
            if name in found.vectors:
                arrays[f"vectors_{number}"] = found.vectors[name]
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            descriptor, temporary = tempfile.mkstemp(prefix=".", dir=self._folder)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    np.savez(file, allow_pickle=False, **arrays)
                os.replace(temporary, self._path)
            except BaseException:
                Path(temporary).unlink(missing_ok=True)
                raise
            _make_room(self._folder)


def _key(source: EpisodeSource, config: DatasetConfig) -> str:
    """Of everything that the first pass depends on."""
    base = config.base_camera
    parts = [
        [_FORMAT, lerobot_pipelines.__version__, source.key],
        [[member.path, member.size, member.etag] for member in source.members],
        [stream.model_dump(mode="json") for stream in config.streams],
        [camera.model_dump(mode="json") for camera in config.cameras],
        config.filtering.model_dump(mode="json"),
        config.limits.model_dump(mode="json"),
        base.name if base else None,
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _make_room(folder: Path) -> None:
    kept = [entry for entry in os.scandir(folder) if entry.name.endswith(_SUFFIX)]
    total = 0
    for entry in sorted(kept, key=lambda entry: entry.stat().st_mtime, reverse=True):
        total += entry.stat().st_size
        if total > _MOST_BYTES:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(entry.path)
