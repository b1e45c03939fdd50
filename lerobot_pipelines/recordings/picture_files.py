"""A camera's folder of encoded pictures, without decoding any."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.errors import ContentChanged
from lerobot_pipelines.intake import IntakeEntry
from lerobot_pipelines.model import Fault, Member, Stamps
from lerobot_pipelines.pictures import (
    HEAD_BYTES,
    TAIL_BYTES,
    UnreadablePicture,
    Verdict,
    fault_of,
    read_picture_header,
)
from lerobot_pipelines.recordings.chronology import Chronology, in_order_of_stamps
from lerobot_pipelines.recordings.name_forms import NameStamps

#: Faults of content, as opposed to those of names and stamps.
CORRUPT = frozenset({"empty", "truncated", "not_a_picture", "lfs_pointer"})


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
    problems: dict[str, str] = {}
    encodings: dict[int, str] = {}
    for i, member in enumerate(members):
        verdict = check_picture(root, member)
        if verdict.fault:
            left_out.setdefault(verdict.fault, []).append(member.path)
            problems.setdefault(verdict.fault, verdict.detail)
        elif not usable[i]:
            left_out.setdefault("bad_name", []).append(member.path)
        else:
            encodings[i] = verdict.encoding
    kept = list(encodings)
    # Names do not tell in which order they were given.
    in_time = in_order_of_stamps(stamps[kept])
    chosen = [kept[k] for k in in_time.order.tolist()]
    if repeated := sorted(set(kept) - set(chosen)):
        left_out["duplicate_stamp"] = [members[i].path for i in repeated]
    pictures = tuple(members[i] for i in chosen)
    kinds = Counter(encodings[i] for i in chosen)
    details: dict[str, Any] = {
        "time_unit": unit,
        "encodings": dict(kinds),
        "bytes": sum(member.size for member in pictures),
    }
    if pictures:
        details["encoding"] = kinds.most_common(1)[0][0]
        details |= _described(root / pictures[0].path, encodings[chosen[0]])
    elif left_out:
        worst = max(left_out, key=lambda reason: len(left_out[reason]))
        cause = f" ({problems[worst]})" if problems.get(worst) else ""
        details["problem"] = f"{len(left_out[worst])} {worst}{cause}"
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


def check_picture(root: Path, member: Member) -> Verdict:
    """Whether a file holds a usable picture, by its content; faults are those of ``CORRUPT``."""
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
        return fault_of(head, tail, size, lambda: os.pread(handle, size, 0))
    finally:
        os.close(handle)


def _described(path: Path, encoding: str) -> dict[str, Any]:
    """What the header of one picture says of all."""
    try:
        header = read_picture_header(path.read_bytes(), encoding, sys.maxsize)
    except UnreadablePicture:
        return {}  # decoding says it, should the picture be used
    size = {"width": header.width, "height": header.height}
    return size | ({"is_depth": True} if header.is_depth else {})
