"""The index of a whole ROS1 bag: every message without reading a chunk.

Behind each chunk lie records that list its messages by connection, at the end of the file the
connections and chunks. Any disagreement between them is a ``BadRecord``: the bag is then scanned.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.recordings.ros.container import Connection, MessageIndex, sorted_index
from lerobot_pipelines.recordings.ros.filebytes import Ahead, FileBytes
from lerobot_pipelines.recordings.ros.ros1_records import (
    BadRecord,
    Op,
    Record,
    chunk_at,
    parse_connection,
    read_record,
)

_ENTRY = np.dtype([("seconds", "<u4"), ("nanoseconds", "<u4"), ("offset", "<u4")])
_MOST_HEADER_BYTES = 512


@dataclass(slots=True)
class Ros1Index:
    connections: list[Connection] = field(default_factory=list)
    compressed_chunks: dict[int, Record] = field(default_factory=dict)
    compressions: set[str] = field(default_factory=set)
    index: MessageIndex = field(default_factory=lambda: _Entries().build())


def read_index(file: FileBytes, header: Record | None) -> Ros1Index:
    """Raises ``BadRecord`` or ``OutOfFile`` if there is no whole index."""
    if header is None or header.op != Op.BAG_HEADER:
        raise BadRecord("no bag header")
    position = header.u64(b"index_pos")
    if position == 0:
        raise BadRecord("not indexed")
    if position > file.size:
        raise BadRecord("the index lies beyond the end of the file")
    found = Ros1Index()
    entries = _Entries(file.size)
    ahead, behind_chunks = Ahead(file), Ahead(file)
    chunks = 0
    places: set[int] = set()
    while position < file.size:
        record = read_record(file, position, ahead.upto(position, _MOST_HEADER_BYTES))
        if record.op == Op.CONNECTION:
            data = ahead.exactly(record.data_start, record.data_length)
            found.connections.append(parse_connection(record, data))
        elif record.op == Op.CHUNK_INFO:
            counts = ahead.exactly(record.data_start, record.data_length // 8 * 8)
            pairs = np.frombuffer(counts, "<u4").reshape(-1, 2).tolist()
            # Read again, an index of a few bytes could fill any memory.
            if (place := record.u64(b"chunk_pos")) in places:
                raise BadRecord("the index names a chunk twice")
            places.add(place)
            _read_chunk(file, behind_chunks, record, dict(pairs), found, entries)
            chunks += 1
        position = record.end
    if (len(found.connections), chunks) != (header.u32(b"conn_count"), header.u32(b"chunk_count")):
        raise BadRecord("the index is not whole")
    found.index = entries.build()
    _probe(file, found)
    return found


def _read_chunk(
    file: FileBytes,
    ahead: Ahead,
    info: Record,
    expected: dict[int, int],
    found: Ros1Index,
    entries: _Entries,
) -> None:
    place = info.u64(b"chunk_pos")
    chunk = chunk_at(file, place, ahead.upto(place, _MOST_HEADER_BYTES))
    if chunk is None or chunk.end > file.size:
        raise BadRecord("the index names a chunk that is not there")
    compression = chunk.fields[b"compression"].decode("ascii", errors="replace")
    found.compressions.add(compression)
    if compression != "none":
        found.compressed_chunks[chunk.start] = chunk
    position = chunk.end
    for _ in range(len(expected)):
        record = read_record(file, position, ahead.upto(position, _MOST_HEADER_BYTES))
        connection = record.u32(b"conn")
        if record.op != Op.INDEX or record.u32(b"ver") != 1:
            raise BadRecord("a chunk's index is not there")
        count, rest = divmod(record.data_length, _ENTRY.itemsize)
        if rest:
            raise BadRecord("a chunk's index is cut")
        if expected.get(connection) != count:
            raise BadRecord("a chunk's index counts other messages than the bag's")
        data = ahead.exactly(record.data_start, record.data_length)
        entries.add(connection, count, chunk, compression != "none", data)
        position = record.end


class _Entries:
    """Index entries as they lie in the file, made into rows all together."""

    def __init__(self, max_bytes: int = 0) -> None:
        self._max_bytes = max_bytes
        self._data = bytearray()
        # Of each run: connection, count, where the chunk starts, where its data does or -1, size.
        self._runs = array("q")

    def add(
        self, connection: int, count: int, chunk: Record, packed: bool, data: memoryview
    ) -> None:
        # Chunks that overlap could have the same records counted over and over.
        if len(self._data) + len(data) > self._max_bytes:
            raise BadRecord("the index is larger than the file")
        self._data += data
        start = -1 if packed else chunk.data_start
        self._runs.extend((connection, count, chunk.start, start, chunk.u32(b"size")))

    def build(self) -> MessageIndex:
        """Raises ``BadRecord`` if an entry points beyond its chunk."""
        entries = np.frombuffer(self._data, _ENTRY)
        runs = np.array(self._runs, np.int64).reshape(-1, 5)
        per_entry: NDArray[np.int64] = np.repeat(runs, runs[:, 1], axis=0)
        offsets = entries["offset"].astype(np.int64)
        if (offsets >= per_entry[:, 4]).any():
            raise BadRecord("the index points beyond its chunk")
        packed = per_entry[:, 3] < 0
        stamps = entries["seconds"].astype(np.int64) * 1_000_000_000 + entries["nanoseconds"]
        return sorted_index(
            per_entry[:, 0],
            stamps,
            np.where(packed, per_entry[:, 2], per_entry[:, 3] + offsets),
            np.where(packed, offsets, -1),
        )


def _probe(file: FileBytes, found: Ros1Index) -> None:
    """One message of each connection in an unpacked chunk must be where the index says."""
    index = found.index
    known = {connection.id for connection in found.connections}
    used, rows = np.unique(index.connections, return_index=True)
    if not known.issuperset(used.tolist()):
        raise BadRecord("the index names an unknown connection")
    for row in rows:
        if index.offsets[row] < 0:
            record = read_record(file, int(index.anchors[row]))
            if record.op != Op.MESSAGE or record.u32(b"conn") != index.connections[row]:
                raise BadRecord("the index points at no message")
