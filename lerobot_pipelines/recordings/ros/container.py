"""What the three bag formats have in common: connections, an index of messages, raw bytes.

A ``BagFile`` knows nothing of message contents. It lists every message with its receive stamp
and its place in the file, and reads raw messages by row of that list. Rows are sorted by place,
so ascending rows are one pass over the file, each compressed chunk being unpacked once.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.config.schema import DEFAULT_LIMITS
from lerobot_pipelines.model import Fault
from lerobot_pipelines.recordings.limits import above_limit

if TYPE_CHECKING:
    from lerobot_pipelines.recordings.ros.blocks import Block

Rows = NDArray[np.int64]

# Several cameras whose messages interleave over a chunk border need two chunks at once; more are
# kept while they are small, so that messages slightly out of stamp order cost nothing.
CACHED_CHUNK_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class Connection:
    """One topic as one writer recorded it. ``id`` is the file's own."""

    id: int
    topic: str
    type_name: str  # as recorded, e.g. "sensor_msgs/JointState" or "sensor_msgs/msg/JointState"
    definition: str  # message definition with its dependencies; empty if the bag has none
    definition_format: Literal["msg", "idl", ""]
    digest: str  # md5 (ROS1) or RIHS01 hash (ROS2) as recorded
    serialization: str  # "ros1", "cdr", "protobuf", "json", or one that cannot be read
    schema: bytes = b""  # instead of a definition, for protobuf and JSON


class LostMessage(Exception):
    """A message that the index lists cannot be read."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{where}: {reason}")
        self.where = where
        self.reason = reason


class DamagedChunk(Exception):
    """A chunk cannot be unpacked; the argument is the reason code."""


@dataclass(frozen=True, slots=True)
class MessageIndex:
    """Every message of a file, one row each, in file order.

    ``anchors`` is where the message's chunk starts, or the message itself where it can be read
    without unpacking a chunk (``offsets`` is then -1); ``offsets`` is its place in the unpacked
    chunk.
    """

    connections: NDArray[np.int64]
    stamps: NDArray[np.int64]
    anchors: NDArray[np.int64]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.stamps)


def sorted_index(connections: Rows, stamps: Rows, anchors: Rows, offsets: Rows) -> MessageIndex:
    """The index of rows given in any order."""
    order = np.lexsort((offsets, anchors))
    return MessageIndex(connections[order], stamps[order], anchors[order], offsets[order])


class Message:
    """One raw message: its length, and any part of it, read only when asked for."""

    __slots__ = ("_fetch", "_start", "_window", "_window_start", "length")

    def __init__(
        self,
        window: memoryview,
        window_start: int,
        start: int,
        length: int,
        fetch: Callable[[int, int], bytes] | None = None,
    ) -> None:
        """``window`` holds the bytes from ``window_start`` on; ``fetch`` reads those beyond it."""
        self._window = window
        self._window_start = window_start
        self._start = start
        self._fetch = fetch
        self.length = length

    def part(self, start: int, stop: int) -> memoryview:
        """Bytes ``start`` to ``stop`` of the message, cut to its length."""
        start, stop = max(start, 0), min(stop, self.length)
        if stop <= start:
            return memoryview(b"")
        first = self._start + start
        last = self._start + stop
        end_of_window = self._window_start + len(self._window)
        if self._fetch is None or (first >= self._window_start and last <= end_of_window):
            return self._window[first - self._window_start : last - self._window_start]
        return memoryview(self._fetch(first, last - first))

    def whole(self) -> memoryview:
        return self.part(0, self.length)


class BagFile(Protocol):
    """An open bag. All attributes are for reading."""

    @property
    def path(self) -> Path: ...

    @property
    def connections(self) -> Sequence[Connection]: ...

    @property
    def index(self) -> MessageIndex: ...

    @property
    def faults(self) -> Sequence[Fault]:
        """What was lost before any stream was known; their stream is ""."""
        ...

    @property
    def details(self) -> Mapping[str, Any]:
        """Compression, profile, "recovered" if the index had to be rebuilt."""
        ...

    def message(self, row: int) -> Message:
        """The message of one row of the index; raises ``LostMessage``."""
        ...

    def blocks(self, rows: Rows) -> Iterator[Block]:
        """The messages of these ascending rows, each row once, many at a time."""
        ...

    def close(self) -> None: ...


class IndexBuilder:
    """Collects rows in any order; 32 bytes a message.

    Raises ``Refused`` (too_large) for more than ``max_messages``: a chunk of a few kilobytes may
    unpack to millions.
    """

    def __init__(self, max_messages: int = DEFAULT_LIMITS.messages, shown: str = "the bag") -> None:
        self._max_messages = max_messages
        self._shown = shown
        self._columns = tuple(array("q") for _ in range(4))

    def add(self, connection: int, stamp: int, anchor: int, offset: int) -> None:
        for column, value in zip(self._columns, (connection, stamp, anchor, offset), strict=True):
            column.append(value)
        self._require_room()

    def extend(
        self,
        connection: int,
        stamps: NDArray[np.int64],
        anchors: NDArray[np.int64],
        offsets: NDArray[np.int64],
    ) -> None:
        for column, values in zip(
            self._columns,
            (np.full(len(stamps), connection), stamps, anchors, offsets),
            strict=True,
        ):
            column.frombytes(np.ascontiguousarray(values, dtype=np.int64).tobytes())
        self._require_room()

    def _require_room(self) -> None:
        if len(self) > self._max_messages:
            raise above_limit(self._shown, len(self), "messages", "messages", self._max_messages)

    def __len__(self) -> int:
        return len(self._columns[0])

    def build(self) -> MessageIndex:
        return sorted_index(*(np.array(column, dtype=np.int64) for column in self._columns))


class ChunkCache:
    """Unpacked chunks, the least recently used leaving first. Damage is remembered, not retried."""

    def __init__(self, load: Callable[[int], bytes]) -> None:
        self._load = load
        self._chunks: OrderedDict[int, bytes] = OrderedDict()
        self._damaged: dict[int, str] = {}
        self._held = 0

    def get(self, anchor: int) -> bytes:
        """The unpacked chunk at ``anchor``; raises ``DamagedChunk``."""
        if anchor in self._damaged:
            raise DamagedChunk(self._damaged[anchor])
        chunk = self._chunks.get(anchor)
        if chunk is not None:
            self._chunks.move_to_end(anchor)
            return chunk
        while self._chunks and self._held > CACHED_CHUNK_BYTES:
            self._held -= len(self._chunks.popitem(last=False)[1])
        try:
            chunk = self._load(anchor)
        except DamagedChunk as error:
            self._damaged[anchor] = str(error)
            raise
        self._chunks[anchor] = chunk
        self._held += len(chunk)
        return chunk
