"""A camera's folder of encoded pictures, without decoding any."""

from __future__ import annotations

import os
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.errors import ContentChanged
from lerobot_pipelines.intake import IntakeEntry
from lerobot_pipelines.model import Fault, Member, Stamps
from lerobot_pipelines.recordings.chronology import Chronology, in_order_of_stamps
from lerobot_pipelines.recordings.name_forms import NameStamps

HEAD_BYTES, TAIL_BYTES = 8, 64
# Metadata (EXIF with a thumbnail) may come before the size.
_SIZE_HEAD_BYTES = 1 << 17

_JPEG_START, _JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
_PNG_START, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xae\x42\x60\x82"
_JPEG_SCAN = 0xDA
# Start-of-frame markers hold the size; C4, C8 and CC lie between them and mean other things.
_JPEG_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}

#: Faults of content, as opposed to those of names and stamps.
CORRUPT = frozenset({"empty", "truncated", "not_a_picture"})


@dataclass(frozen=True, slots=True)
class CameraFiles:
    """The usable pictures of a camera in the order of time, ``stamps`` (n,).

    ``found`` counts the files before any was left out.
    """

    stamps: Stamps
    members: tuple[Member, ...]
    encodings: tuple[str, ...]
    found: int
    faults: tuple[Fault, ...]
    details: dict[str, Any]
    chronology: Chronology
    video: Member | None = None  # where the pictures are those of a video, see ``video_file``
    packets: NDArray[np.int64] | None = None  # and which of the video's each is (n,)
    intake: tuple[IntakeEntry, ...] = ()

    @property
    def corrupt(self) -> int:
        return sum(fault.count for fault in self.faults if fault.reason in CORRUPT)


def read_camera(
    root: Path,
    name: str,
    members: Sequence[Member],
    moments: NameStamps,
    intake: tuple[IntakeEntry, ...] = (),
) -> CameraFiles:
    """Order a camera's pictures by their moments (of ``members``), and leave out what is none.

    Each file's first and last bytes are looked at, so that alignment never chooses a picture that
    an upload or a recorder cut off. Raises ``ContentChanged`` for a file that is gone or has
    another size than its member.
    """
    stamps, unit, usable, _ = moments
    left_out: dict[str, list[str]] = {}
    encodings: dict[int, str] = {}
    for i, member in enumerate(members):
        verdict = check_picture(root, member)
        if verdict in CORRUPT:
            left_out.setdefault(verdict, []).append(member.path)
        elif not usable[i]:
            left_out.setdefault("bad_name", []).append(member.path)
        else:
            encodings[i] = verdict
    kept = list(encodings)
    # Names do not tell in which order they were given.
    in_time = in_order_of_stamps(stamps[kept])
    chosen = [kept[k] for k in in_time.order.tolist()]
    if repeated := sorted(set(kept) - set(chosen)):
        left_out["duplicate_stamp"] = [members[i].path for i in repeated]
    pictures = tuple(members[i] for i in chosen)
    details: dict[str, Any] = {
        "time_unit": unit,
        "encodings": dict(Counter(encodings[i] for i in chosen)),
        "bytes": sum(member.size for member in pictures),
    }
    if pictures and (size := _size_of(root / pictures[0].path)) is not None:
        details["width"], details["height"] = size
    return CameraFiles(
        stamps=stamps[chosen],
        members=pictures,
        encodings=tuple(encodings[i] for i in chosen),
        found=len(members),
        faults=tuple(
            Fault(name, paths[0], reason, len(paths)) for reason, paths in left_out.items()
        ),
        details=details,
        chronology=in_time,
        intake=intake,
    )


def check_picture(root: Path, member: Member) -> str:
    """The encoding of a picture ("jpeg", "png") by its content, or why it is none (``CORRUPT``)."""
    if member.size == 0:
        return "empty"
    try:
        handle = os.open(root / member.path, os.O_RDONLY)
    except FileNotFoundError as error:
        raise ContentChanged(f"{member.path} disappeared while the episode was read") from error
    try:
        size = os.fstat(handle).st_size
        if size != member.size:
            raise ContentChanged(f"{member.path} changed while the episode was read")
        head = os.pread(handle, HEAD_BYTES, 0)
        tail = os.pread(handle, TAIL_BYTES, max(0, size - TAIL_BYTES))
        if head.startswith(_JPEG_START):
            # Some cameras leave kilobytes of padding or old data behind the picture.
            whole = _JPEG_END in tail or _has_end(os.pread(handle, size, 0))
            return "jpeg" if whole else "truncated"
    finally:
        os.close(handle)
    if head == _PNG_START:
        return "png" if _PNG_END in tail else "truncated"
    return "not_a_picture"


def picture_size(head: bytes) -> tuple[int, int] | None:
    """Width and height from the beginning of a JPEG or PNG, None if they are not in there."""
    if head.startswith(_PNG_START):
        return struct.unpack(">II", head[16:24]) if len(head) >= 24 else None
    for marker, at in _jpeg_segments(head):
        if marker in _JPEG_FRAMES and at + 9 <= len(head):
            height, width = struct.unpack(">HH", head[at + 5 : at + 9])
            return width, height
    return None


def _has_end(data: bytes) -> bool:
    """Whether a JPEG's scan ends. The end of a thumbnail among the metadata does not count."""
    for marker, at in _jpeg_segments(data):
        if marker == _JPEG_SCAN:
            return data.find(_JPEG_END, at) >= 0
    return False


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Markers and their places, up to the first scan."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        yield marker, at
        if marker == _JPEG_SCAN:
            return
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")


def _size_of(path: Path) -> tuple[int, int] | None:
    with path.open("rb") as stream:
        return picture_size(stream.read(_SIZE_HEAD_BYTES))
