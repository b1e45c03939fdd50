"""What a block holds of one connection: its messages together, or one by one."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from lerobot_pipelines.model import Stamps
from lerobot_pipelines.recordings.ros.blocks import TAIL_BYTES, Block, Bytes, Flags
from lerobot_pipelines.recordings.ros.container import BagFile, LostMessage, Message, Rows
from lerobot_pipelines.recordings.ros.message_types import Codec

_SHORT_BYTES = 16


class Decoded:
    """A message read and decoded at most once, however many streams come from its topic."""

    def __init__(self, codec: Codec, message: Message) -> None:
        self._codec = codec
        self.message = message
        self._raw: memoryview | None = None
        self._value: Any = None

    @property
    def raw(self) -> memoryview:
        if self._raw is None:
            self._raw = self.message.whole()
        return self._raw

    def get(self) -> Any:
        if self._value is None:
            self._value = self._codec.decode(self.raw)
        return self._value


class Batch:
    """Messages of one connection, in the order of the file. ``places`` are positions in a block."""

    def __init__(self, file: BagFile, block: Block, places: Rows, codec: Codec) -> None:
        self.codec = codec
        self.rows = block.rows[places]
        self.received: Stamps = file.index.stamps[self.rows]
        self.sound: Flags = block.sound[places]
        self.lengths = block.lengths[places]
        self.held = block.held[places]
        self._file = file
        self._block = block
        self._starts = block.starts[places]
        self._ends = block.ends[places]
        self._singles: dict[int, Decoded | LostMessage] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def single(self, at: int) -> Decoded:
        """One of them, read by itself; raises ``LostMessage``."""
        found = self._singles.get(at)
        if found is None:
            try:
                found = Decoded(self.codec, self._file.message(int(self.rows[at])))
            except LostMessage as lost:
                found = lost
            self._singles[at] = found
        if isinstance(found, LostMessage):
            raise found
        return found

    @cached_property
    def header_stamps(self) -> Stamps:
        """Of the sound ones, (n,); ``NO_STAMP`` where there is none."""
        return self.codec.header_stamps(self)

    def beginnings(self, chosen: Flags, size: int) -> Bytes:
        """The first ``size`` bytes of these; all must be held. (count, size)"""
        return self._block.windows(self._starts[chosen], size)

    def begin_with(self, pattern: bytes, offset: int) -> Flags:
        """Which have these bytes at that offset."""
        found = self.sound & (self.held >= offset + len(pattern))
        places = self._starts[found] + offset
        if len(pattern) <= _SHORT_BYTES:  # a window view costs more than it saves
            part = self._block.content[places[:, None] + np.arange(len(pattern))]
        else:
            part = self._block.windows(places, len(pattern))
        found[found] = (part == np.frombuffer(pattern, np.uint8)).all(axis=1)
        return found

    def tails(self) -> tuple[Flags, Bytes]:
        """Whose last ``TAIL_BYTES`` are held, and these, (count, ``TAIL_BYTES``)."""
        found = self.sound & (self._ends >= TAIL_BYTES)
        return found, self._block.windows(self._ends[found] - TAIL_BYTES, TAIL_BYTES)


def contains(lines: Bytes, pattern: bytes) -> Flags:
    """Which lines hold the bytes of the pattern side by side."""
    width = lines.shape[1] - len(pattern) + 1
    found = np.ones((len(lines), max(width, 0)), np.bool_)
    for at, byte in enumerate(pattern):
        np.logical_and(found, lines[:, at : at + width] == byte, out=found)
    hits: Flags = np.any(found, axis=1)
    return hits
