"""The heads of many ROS1 message records at once.

A writer gives all its message records headers of one shape: they differ in connection and time
alone. One is parsed, the others are compared with it byte by byte; what differs is left to be
parsed by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lerobot_pipelines.recordings.ros.blocks import Bytes, Flags, Heads, no_heads, numbers
from lerobot_pipelines.recordings.ros.compression import LARGEST_CHUNK_BYTES
from lerobot_pipelines.recordings.ros.container import Rows
from lerobot_pipelines.recordings.ros.ros1_records import BadRecord, Op, parse_record

# Several writers in one bag are rare: the parts that were joined to make it.
_MOST_SHAPES = 4

_VARYING = {b"conn=": 4, b"time=": 8}
_LONGEST_HEAD = 256


@dataclass(frozen=True, slots=True)
class _Shape:
    size: int  # of the head, with both lengths
    fixed: Rows  # places of the bytes that are the same in every head
    expected: Bytes
    connection: int  # where its number stands

    def matches(self, content: Bytes, places: Rows, held: Rows, connections: Rows) -> Flags:
        found = held >= self.size
        inside = places[found]
        heads = content[inside[:, None] + self.fixed]
        same = (heads == self.expected).all(axis=1)
        same &= numbers(content, inside + self.connection, "<u4") == connections[found]
        found[found] = same
        return found


class HeadReader:
    """``ReadHeads`` of one bag, which remembers the shapes it met."""

    def __init__(self) -> None:
        self._shapes: list[_Shape] = []

    def __call__(self, content: Bytes, places: Rows, held: Rows, connections: Rows) -> Heads:
        heads = no_heads(len(places))
        left = np.flatnonzero(held > 0)
        known = list(self._shapes)
        while len(left):
            if not known:
                shape = self._learn(content, int(places[left[0]]))
                if shape is None:
                    break
                known.append(shape)
            shape = known.pop(0)
            same = shape.matches(content, places[left], held[left], connections[left])
            there = left[same]
            lengths = numbers(content, places[there] + shape.size - 4, "<u4").astype(np.int64)
            heads.sound[there] = lengths <= LARGEST_CHUNK_BYTES
            heads.offsets[there], heads.lengths[there] = shape.size, lengths
            left = left[~same]
        return heads

    def _learn(self, content: Bytes, place: int) -> _Shape | None:
        if len(self._shapes) >= _MOST_SHAPES:
            return None
        head = content[place : place + _LONGEST_HEAD].tobytes()
        try:
            record = parse_record(head, 0)
            record.u32(b"conn")
        except BadRecord:
            return None
        if record.op != Op.MESSAGE:
            return None
        head = head[: record.data_start]
        varies = np.zeros(len(head), np.bool_)
        varies[-4:] = True  # the message's length
        for name, size in _VARYING.items():
            if (at := head.find(name)) >= 0:
                varies[at + len(name) : at + len(name) + size] = True
        fixed = np.flatnonzero(~varies)
        expected = np.frombuffer(head, np.uint8)[fixed]
        shape = _Shape(len(head), fixed, expected, head.find(b"conn=") + len(b"conn="))
        # A name may also stand inside a value: then the shape does not fit its own record.
        number = int.from_bytes(head[shape.connection : shape.connection + 4], "little")
        if number != record.u32(b"conn"):
            return None
        self._shapes.append(shape)
        return shape
