"""Many messages at once: their heads, small ones whole, side by side in one buffer.

The first pass looks at every message of a bag, of most of them at a few bytes. One by one that is
some 20 µs a message; in blocks, with numpy, a tenth. A block holds only what was proven to be the
message that the index names; any other is read, and judged, by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.recordings.ros.container import DamagedChunk, MessageIndex, Rows
from lerobot_pipelines.recordings.ros.filebytes import FileBytes, OutOfFile

Bytes = NDArray[np.uint8]
Flags = NDArray[np.bool_]

# Held of each message: all of a small one; of a larger one enough for its stamp, the names before
# a picture and the picture's own head, and where it ends.
WHOLE_BYTES = 8192
HEAD_BYTES = 1280
# Cameras fill the last bytes of a JPEG up to a multiple of their transfer size.
TAIL_BYTES = 256

# Pieces of the file less than this apart are read together: cheaper than another system call.
_MERGED_GAP_BYTES = 8192

# Bounds the memory of one block; far more than what numpy's calls cost.
_BLOCK_BYTES = 2 << 20


@dataclass(frozen=True, slots=True)
class Block:
    """Messages by row, ascending, (n,) each. Those that are not ``sound`` must be read singly."""

    rows: Rows
    content: Bytes
    sound: Flags
    starts: Rows  # where each begins in ``content``
    held: Rows  # how many of its bytes follow there
    lengths: Rows  # of the message
    ends: Rows  # where it ends in ``content``, its last ``TAIL_BYTES`` before it; else -1

    def windows(self, places: Rows, size: int) -> Bytes:
        """``size`` bytes from each of these places of ``content``, (len(places), size)."""
        if not len(places) or size > len(self.content):
            return np.empty((0, size), np.uint8)
        view = np.lib.stride_tricks.sliding_window_view(self.content, size)
        found: Bytes = view[places]
        return found


class Heads(NamedTuple):
    """What the records at some places of a buffer say, (n,) each."""

    sound: Flags  # a message, of the connection that was expected
    offsets: Rows  # of the message in its record
    lengths: Rows  # of the message


def no_heads(count: int) -> Heads:
    """Of records of which nothing is known yet."""
    return Heads(np.zeros(count, np.bool_), np.zeros(count, np.int64), np.zeros(count, np.int64))


# (content, places of the records in it, bytes held from there, expected connections)
ReadHeads = Callable[[Bytes, Rows, Rows, Rows], Heads]


def unread_blocks(rows: Rows) -> Iterator[Block]:
    """For containers whose messages are read one by one."""
    none = np.zeros(len(rows), np.int64)
    yield Block(rows, np.empty(0, np.uint8), none.astype(np.bool_), none, none, none, none - 1)


def read_blocks(
    index: MessageIndex,
    rows: Rows,
    file: FileBytes,
    chunk: Callable[[int], bytes],
    read_heads: ReadHeads,
) -> Iterator[Block]:
    """The messages of these ascending rows; ``chunk`` gives an unpacked chunk by its place."""
    following = np.append(index.anchors[1:], file.size)
    packed = index.offsets >= 0
    turns = np.flatnonzero(np.diff(packed[rows])) + 1
    for part in np.split(rows, turns):
        if not len(part):
            continue
        anchors = index.anchors[part]
        if packed[part[0]]:
            gathered = _unpacked(part, anchors, index.offsets[part], chunk)
        else:
            extents = following[part] - anchors
            gathered = _gathered(part, anchors, extents, file)
        for found in gathered:
            yield _block(found, index.connections[found.rows], read_heads)


@dataclass(frozen=True, slots=True)
class _Gathered:
    """Records side by side, (n,) each."""

    rows: Rows
    content: Bytes
    places: Rows  # of the records in ``content``
    held: Rows  # bytes from there on that belong to the record or come after it
    extents: Rows  # bytes to the next record: at least as long as the record, if that is sound
    ends: Rows  # where the extent ends in ``content``


def _block(found: _Gathered, connections: Rows, read_heads: ReadHeads) -> Block:
    heads = read_heads(found.content, found.places, found.held, connections)
    sizes = heads.offsets + heads.lengths
    sound = heads.sound & (sizes <= found.extents) & (heads.offsets <= found.held)
    starts = found.places + heads.offsets
    held = np.minimum(heads.lengths, found.held - heads.offsets)
    ends = np.where(sizes == found.extents, found.ends, -1)
    ends = np.where(held == heads.lengths, starts + heads.lengths, ends)
    ends = np.where(heads.lengths >= TAIL_BYTES, ends, -1)
    return Block(found.rows, found.content, sound, starts, held, heads.lengths, ends)


def _gathered(rows: Rows, anchors: Rows, extents: Rows, file: FileBytes) -> Iterator[_Gathered]:
    """Straight from the file."""
    whole = extents <= WHOLE_BYTES
    heads = np.where(whole, extents, HEAD_BYTES)
    for at in _portions(np.cumsum(heads + TAIL_BYTES)):
        try:
            yield _read(rows[at], anchors[at], extents[at], heads[at], file)
        except OutOfFile:
            yield _nothing(rows[at])


def _read(rows: Rows, anchors: Rows, extents: Rows, heads: Rows, file: FileBytes) -> _Gathered:
    stops = anchors + extents
    tailed = heads < extents
    begins = np.concatenate([anchors, stops[tailed] - TAIL_BYTES])
    order = np.argsort(begins, kind="stable")
    begins = begins[order]
    reaches = np.maximum.accumulate(np.concatenate([anchors + heads, stops[tailed]])[order])
    firsts = np.flatnonzero(np.append(True, begins[1:] > reaches[:-1] + _MERGED_GAP_BYTES))
    spans = begins[firsts]
    sizes = reaches[np.append(firsts[1:] - 1, len(reaches) - 1)] - spans
    content = b"".join(map(file.read, spans.tolist(), sizes.tolist()))
    shifts = np.cumsum(sizes) - sizes - spans

    def place(positions: Rows) -> Rows:
        found: Rows = positions + shifts[np.searchsorted(spans, positions, side="right") - 1]
        return found

    # What ends a span is not the beginning of the next one.
    ends = place(stops - 1) + 1
    return _Gathered(rows, np.frombuffer(content, np.uint8), place(anchors), heads, extents, ends)


def _unpacked(
    rows: Rows, anchors: Rows, offsets: Rows, chunk: Callable[[int], bytes]
) -> Iterator[_Gathered]:
    """Out of chunks, several together while they are small."""
    waiting: list[tuple[Rows, Rows, bytes]] = []
    size = 0
    for at in np.split(np.arange(len(rows)), np.flatnonzero(np.diff(anchors)) + 1):
        try:
            content = chunk(int(anchors[at[0]]))
        except (DamagedChunk, OutOfFile):
            yield _nothing(rows[at])
            continue
        waiting.append((rows[at], offsets[at], content))
        size += len(content)
        if size >= _BLOCK_BYTES:
            yield _joined(waiting)
            waiting, size = [], 0
    if waiting:
        yield _joined(waiting)


def _joined(chunks: list[tuple[Rows, Rows, bytes]]) -> _Gathered:
    contents = [content for _, _, content in chunks]
    stops = np.cumsum([len(content) for content in contents])
    counts = [len(rows) for rows, _, _ in chunks]
    limits = np.repeat(stops, counts)
    places = np.concatenate([offsets for _, offsets, _ in chunks])
    places = places + np.repeat(stops - [len(content) for content in contents], counts)
    content = contents[0] if len(contents) == 1 else b"".join(contents)
    left = limits - places
    rows = np.concatenate([rows for rows, _, _ in chunks])
    return _Gathered(rows, np.frombuffer(content, np.uint8), places, left, left, limits)


def _nothing(rows: Rows) -> _Gathered:
    none = np.zeros(len(rows), np.int64)
    return _Gathered(rows, np.empty(0, np.uint8), none, none, none, none)


def _portions(sizes: Rows) -> Iterator[slice]:
    """Slices of some ``_BLOCK_BYTES`` each; ``sizes`` is cumulative."""
    portions = sizes // _BLOCK_BYTES
    turns = [0, *(np.flatnonzero(np.diff(portions)) + 1).tolist(), len(sizes)]
    for start, stop in pairwise(turns):
        yield slice(start, stop)


def numbers(content: Bytes, places: Rows, dtype: str) -> NDArray[Any]:
    """One number of this type at each place, (n,); all must lie in the buffer."""
    size = np.dtype(dtype).itemsize
    found = content[places[:, None] + np.arange(size)]
    return np.ascontiguousarray(found).view(dtype)[:, 0]
