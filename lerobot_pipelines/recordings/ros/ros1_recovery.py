"""Every whole message of a damaged ROS1 bag, by scanning: the index is neither needed nor believed.

Chunks carry the connections that first appear in them, so a bag whose recorder was killed
(``.bag.active``), whose end is missing or whose middle is overwritten still tells what it holds.
The file is never modified.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from lerobot_pipelines.config.schema import DEFAULT_LIMITS
from lerobot_pipelines.model import Fault
from lerobot_pipelines.recordings.ros.compression import LARGEST_CHUNK_BYTES, decompress
from lerobot_pipelines.recordings.ros.container import (
    Connection,
    DamagedChunk,
    IndexBuilder,
    MessageIndex,
)
from lerobot_pipelines.recordings.ros.filebytes import FileBytes, hole_fault
from lerobot_pipelines.recordings.ros.ros1_records import (
    MAGIC,
    BadRecord,
    Op,
    Record,
    chunk_at,
    parse_connection,
    parse_record,
    read_record,
    records_in,
)

# A chunk header holds three short fields: its "op" lies within this of its start.
_CHUNK_HEADER_REACH = 64


@dataclass(slots=True)
class Recovered:
    connections: list[Connection] = field(default_factory=list)
    compressed_chunks: dict[int, Record] = field(default_factory=dict)
    cut_chunks: set[int] = field(default_factory=set)
    compressions: set[str] = field(default_factory=set)
    faults: list[Fault] = field(default_factory=list)
    index: MessageIndex = field(default_factory=lambda: IndexBuilder().build())


def scan(file: FileBytes, max_messages: int = DEFAULT_LIMITS.messages) -> Recovered:
    """Walk the records; after a fault go on at the next chunk that can be recognised."""
    found = Recovered()
    builder = IndexBuilder(max_messages, file.path.name)
    connections: dict[int, Connection] = {}
    position = len(MAGIC)
    while position < file.size:
        record = _record_at(file, position)
        if record is None:
            following = _next_chunk(file, position + 1)
            found.faults.append(hole_fault(file, position, following))
            if following is None:
                break
            position = following
        elif record.op == Op.CHUNK:
            position = _scan_chunk(file, record, found, builder, connections)
        else:
            if record.op == Op.CONNECTION:
                data = file.read(record.data_start, record.data_length)
                _remember(connections, record, data)
            elif record.op == Op.MESSAGE:
                _add_message(builder, record, record.start, -1)
            position = record.end
    found.index = _only_known(builder.build(), connections, found)
    found.connections = list(connections.values())
    return found


def _record_at(file: FileBytes, position: int) -> Record | None:
    try:
        record = read_record(file, position)
        if record.op == Op.CHUNK:
            return chunk_at(file, position)
        if record.op not in tuple(Op) or record.end > file.size:
            return None
        if record.op in (Op.CONNECTION, Op.MESSAGE) and record.data_length > LARGEST_CHUNK_BYTES:
            return None
    except BadRecord:
        return None
    return record


def _next_chunk(file: FileBytes, start: int) -> int | None:
    """Where the next record begins that can only be a chunk's."""
    for found in file.search(b"op=\x05", start):
        for candidate in range(max(start, found - _CHUNK_HEADER_REACH), found - 7):
            chunk = chunk_at(file, candidate)
            if chunk is not None and candidate < found < chunk.data_start:
                return candidate
    return None


def _scan_chunk(
    file: FileBytes,
    chunk: Record,
    found: Recovered,
    builder: IndexBuilder,
    connections: dict[int, Connection],
) -> int:
    """Take what the chunk holds; returns where to go on."""
    where = f"chunk at byte {chunk.start}"
    end = chunk.end
    if end > file.size:
        # The recorder was stopped inside it, or its length is damaged: then others follow.
        following = _next_chunk(file, chunk.data_start)
        end = file.size if following is None else following
        found.cut_chunks.add(chunk.start)
    cut = chunk.start in found.cut_chunks
    compression = chunk.fields[b"compression"].decode("ascii", errors="replace")
    found.compressions.add(compression)
    if compression == "none":
        whole = _scan_plain_chunk(file, chunk.data_start, end, builder, connections)
        if not whole:
            found.faults.append(Fault("", where, "truncated_chunk" if cut else "rotten_chunk"))
        return end
    try:
        if end - chunk.data_start > LARGEST_CHUNK_BYTES:
            raise DamagedChunk("chunk_too_large")
        data = file.read(chunk.data_start, end - chunk.data_start)
        content = decompress(compression, data, chunk.u32(b"size"), partial=cut)
    except DamagedChunk as error:
        found.faults.append(Fault("", where, str(error)))
        return end
    found.compressed_chunks[chunk.start] = chunk
    position = 0
    for record in records_in(content):
        _take(record, lambda r: content[r.data_start : r.end], chunk.start, builder, connections)
        position = record.end
    if cut or position < len(content):
        found.faults.append(Fault("", where, "truncated_chunk" if cut else "rotten_chunk"))
    return end


def _scan_plain_chunk(
    file: FileBytes,
    start: int,
    end: int,
    builder: IndexBuilder,
    connections: dict[int, Connection],
) -> bool:
    """Walk a chunk where it lies, however large; False if it ends amid a message."""
    position = start
    buffer, base = b"", start
    while position < end:
        if position - base + 512 > len(buffer):
            buffer, base = file.read_upto(position, min(1 << 16, end - position)), position
        try:
            record = parse_record(buffer, position - base, base)
        except BadRecord:
            try:
                record = read_record(file, position)
            except BadRecord:
                return False
        if record.op not in (Op.MESSAGE, Op.CONNECTION) or record.end > end:
            return False
        if record.op == Op.CONNECTION and record.data_length > LARGEST_CHUNK_BYTES:
            return False
        _take(
            record,
            lambda r: file.read(r.data_start, r.data_length),
            None,
            builder,
            connections,
        )
        position = record.end
    return True


def _take(
    record: Record,
    read_data: Callable[[Record], bytes],
    chunk_start: int | None,
    builder: IndexBuilder,
    connections: dict[int, Connection],
) -> None:
    if record.op == Op.CONNECTION:
        _remember(connections, record, read_data(record))
    elif record.op == Op.MESSAGE:
        if chunk_start is None:
            _add_message(builder, record, record.start, -1)
        else:
            _add_message(builder, record, chunk_start, record.start)


def _remember(connections: dict[int, Connection], record: Record, data: bytes) -> None:
    try:
        connection = parse_connection(record, data)
    except BadRecord:
        return
    connections.setdefault(connection.id, connection)


def _add_message(builder: IndexBuilder, record: Record, anchor: int, offset: int) -> None:
    try:
        builder.add(record.u32(b"conn"), record.time_ns(), anchor, offset)
    except BadRecord:
        return


def _only_known(
    index: MessageIndex, connections: dict[int, Connection], found: Recovered
) -> MessageIndex:
    import numpy as np

    known = np.isin(index.connections, list(connections))
    lost = int((~known).sum())
    if lost:
        found.faults.append(Fault("", "whole file", "unknown_connection", lost))
    return MessageIndex(
        index.connections[known], index.stamps[known], index.anchors[known], index.offsets[known]
    )
