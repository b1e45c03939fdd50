"""How messages look that hold usable pictures, so that those after them need not be decoded."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from lerobot_pipelines.pictures import HEAD_BYTES, TAIL_BYTES, Verdict, fault_of
from lerobot_pipelines.pictures.judge import JPEG_END, JPEG_START, PNG_END, PNG_START
from lerobot_pipelines.recordings.ros.batch import Batch, contains
from lerobot_pipelines.recordings.ros.blocks import Flags
from lerobot_pipelines.recordings.ros.container import Message
from lerobot_pipelines.recordings.ros.pictures import BYTES_PER_PIXEL, Content

_ENDS = {"jpeg": (JPEG_START, JPEG_END), "png": (PNG_START, PNG_END)}

# A header, a frame name and a format string lie before the picture: rarely over 100 bytes.
REACH_BYTES = 1024
# Where raw pixels begin is found by the first of them. What differs between messages of one camera,
# its number and stamp, ends here.
_PIXEL_SAMPLE_BYTES = 64
_STAMP_END_BYTES = 12


class Look(NamedTuple):
    """What tells that a message holds a usable picture: bytes at a place, and an end among its
    last bytes; or, of raw pixels, the length of the message."""

    beginning: bytes
    at: int
    end: bytes = b""
    length: int = 0

    def fits(self, message: Message) -> bool:
        """As ``sound``, of one message."""
        if self.length and message.length != self.length:
            return False
        if bytes(message.part(self.at, self.at + len(self.beginning))) != self.beginning:
            return False
        return self.end in bytes(message.part(message.length - TAIL_BYTES, message.length))


def verdict_of(message: Message, encoding: str) -> Verdict | None:
    """The verdict on a picture where it lies, if it is of this encoding; None: decode to see."""
    if encoding not in _ENDS:
        return None
    at = bytes(message.part(0, REACH_BYTES)).find(_ENDS[encoding][0])
    if at < 0:
        return None
    return fault_of(
        bytes(message.part(at, at + HEAD_BYTES)),
        bytes(message.part(max(at, message.length - TAIL_BYTES), message.length)),
        message.length - at,
        lambda: bytes(message.part(at, message.length)),
    )


def sound(batch: Batch, looks: Iterable[Look]) -> Flags:
    """Which of a batch's messages look like one that was accepted, (n,); some may be missed."""
    found = np.zeros(len(batch), np.bool_)
    for look in looks:
        fits = batch.begin_with(look.beginning, look.at)
        if look.length:
            fits &= batch.lengths == look.length
        if look.end:
            ended, tails = batch.tails()
            ended[ended] = contains(tails, look.end)
            fits &= ended
        found |= fits
    return found


def look_of(message: Message, found: Content | None, encoding: str) -> Look | None:
    """How messages look that are as usable as this one; None if that is not known.

    ``found`` is what was decoded of it, where it was.
    """
    if encoding in _ENDS:
        start, end = _ENDS[encoding]
        at = bytes(message.part(0, REACH_BYTES)).find(start)
        return Look(start, at, end) if at >= 0 else None
    if found is None or encoding not in BYTES_PER_PIXEL:
        return None
    # Size and layout stand before the pixels, which come last. Equal ones mean equal pictures.
    head = bytes(message.part(0, REACH_BYTES))
    at = head.find(found.data[:_PIXEL_SAMPLE_BYTES], _STAMP_END_BYTES)
    if at < 0 or len(found.data) < _PIXEL_SAMPLE_BYTES or at + len(found.data) != message.length:
        return None
    return Look(head[_STAMP_END_BYTES:at], _STAMP_END_BYTES, length=message.length)
