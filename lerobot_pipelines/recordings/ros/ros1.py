"""ROS1 bags, version 2.0.

``rosbags`` is not used for the container: it refuses a bag without a whole index, cannot read a
message by its place, and keeps no account of what was lost. It remains the reference in the tests.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.model import Fault
from lerobot_pipelines.recordings.ros.compression import LARGEST_CHUNK_BYTES, decompress
from lerobot_pipelines.recordings.ros.container import (
    ChunkCache,
    Connection,
    DamagedChunk,
    IndexBuilder,
    LostMessage,
    Message,
    MessageIndex,
    Rows,
)
from lerobot_pipelines.recordings.ros.filebytes import FileBytes, OutOfFile
from lerobot_pipelines.recordings.ros.ros1_records import (
    MAGIC,
    BadRecord,
    Op,
    Record,
    chunk_at,
    parse_connection,
    parse_record,
    read_record,
)

_INDEX_ENTRY = np.dtype([("seconds", "<u4"), ("nanoseconds", "<u4"), ("offset", "<u4")])

# A record's header and a small message in one read.
_FIRST_READ_BYTES = 4096


class Ros1File:
    """An opened bag: read through its index where that is whole, else after a scan."""

    def __init__(self, path: Path) -> None:
        """Raises ``Refused`` (corrupt_container, unsupported) if nothing can be read."""
        self.path = path
        self._file = FileBytes(path)
        try:
            self._open()
        except BaseException:
            self._file.close()
            raise

    def _open(self) -> None:
        header = self._check_magic()
        self._chunks: dict[int, Record] = {}  # compressed chunks by their position
        self._cut_chunks: set[int] = set()  # whose end is missing
        self.connections: list[Connection] = []
        self.faults: list[Fault] = []
        self.details: dict[str, Any] = {}
        self._compressions: set[str] = set()
        try:
            self.index = self._read_index(header)
        except (BadRecord, OutOfFile) as error:
            self._recover(str(error))
        self.details["compression"] = ",".join(sorted(self._compressions)) or "none"
        self._cache = ChunkCache(self._load_chunk)

    def _check_magic(self) -> Record | None:
        if self._file.size == 0:
            raise Refused(Reason.CORRUPT_CONTAINER, f"{self.path.name} is empty")
        magic = self._file.read_upto(0, len(MAGIC))
        if magic != MAGIC:
            if magic.startswith(b"#ROS"):
                raise Refused(
                    Reason.UNSUPPORTED,
                    f"{self.path.name} is a bag of version {magic[8:12]!r}; only 2.0 can be read, "
                    "`rosbag fix` converts it",
                )
            raise Refused(Reason.CORRUPT_CONTAINER, f"{self.path.name} is not a ROS1 bag")
        try:
            header = read_record(self._file, len(MAGIC))
        except BadRecord:
            return None
        if header.fields.get(b"encryptor"):
            raise Refused(
                Reason.UNSUPPORTED,
                f"{self.path.name} is encrypted with {header.fields[b'encryptor']!r}; decrypt it "
                "with `rosbag decrypt` first",
            )
        return header

    # The index -------------------------------------------------------------------------------

    def _read_index(self, header: Record | None) -> MessageIndex:
        if header is None or header.op != Op.BAG_HEADER:
            raise BadRecord("no bag header")
        position = header.u64(b"index_pos")
        if position == 0:
            raise BadRecord("not indexed")
        if position > self._file.size:
            raise BadRecord("the index lies beyond the end of the file")
        infos: list[Record] = []
        while position < self._file.size:
            record = read_record(self._file, position)
            if record.op == Op.CONNECTION:
                data = self._file.read(record.data_start, record.data_length)
                self.connections.append(parse_connection(record, data))
            elif record.op == Op.CHUNK_INFO:
                infos.append(record)
            position = record.end
        if (len(self.connections), len(infos)) != (
            header.u32(b"conn_count"),
            header.u32(b"chunk_count"),
        ):
            raise BadRecord("the index is not whole")
        builder = IndexBuilder()
        for info in infos:
            self._index_chunk(info, builder)
        index = builder.build()
        self._probe(index)
        return index

    def _index_chunk(self, info: Record, builder: IndexBuilder) -> None:
        chunk = chunk_at(self._file, info.u64(b"chunk_pos"))
        if chunk is None or chunk.end > self._file.size:
            raise BadRecord("the index names a chunk that is not there")
        self._register(chunk)
        counts = np.frombuffer(
            self._file.read(info.data_start, info.data_length // 8 * 8), "<u4"
        ).reshape(-1, 2)
        expected = {int(connection): int(count) for connection, count in counts}
        position = chunk.end
        for _ in range(len(expected)):
            record = read_record(self._file, position)
            connection = record.u32(b"conn")
            if record.op != Op.INDEX or record.u32(b"ver") != 1:
                raise BadRecord("a chunk's index is not there")
            if record.data_length % _INDEX_ENTRY.itemsize:
                raise BadRecord("a chunk's index is cut")
            entries = np.frombuffer(
                self._file.read(record.data_start, record.data_length), _INDEX_ENTRY
            )
            if expected.get(connection) != len(entries):
                raise BadRecord("a chunk's index counts other messages than the bag's")
            offsets = entries["offset"].astype(np.int64)
            if len(offsets) and int(offsets.max()) >= chunk.u32(b"size"):
                raise BadRecord("the index points beyond its chunk")
            stamps = entries["seconds"].astype(np.int64) * 1_000_000_000 + entries["nanoseconds"]
            self._add(builder, chunk, connection, stamps, offsets)
            position = record.end

    def _register(self, chunk: Record) -> None:
        compression = chunk.fields[b"compression"].decode("ascii", errors="replace")
        self._compressions.add(compression)
        if compression != "none":
            self._chunks[chunk.start] = chunk

    def _add(
        self,
        builder: IndexBuilder,
        chunk: Record,
        connection: int,
        stamps: Rows,
        offsets: Rows,
    ) -> None:
        if chunk.start in self._chunks:
            builder.extend(connection, stamps, np.full(len(offsets), chunk.start), offsets)
        else:
            builder.extend(
                connection, stamps, chunk.data_start + offsets, np.full(len(offsets), -1)
            )

    def _probe(self, index: MessageIndex) -> None:
        """One message of each connection in an unpacked chunk must be where the index says."""
        known = {connection.id for connection in self.connections}
        found, rows = np.unique(index.connections, return_index=True)
        if not known.issuperset(found.tolist()):
            raise BadRecord("the index names an unknown connection")
        for row in rows:
            if index.offsets[row] < 0:
                record = read_record(self._file, int(index.anchors[row]))
                if record.op != Op.MESSAGE or record.u32(b"conn") != index.connections[row]:
                    raise BadRecord("the index points at no message")

    def _recover(self, cause: str) -> None:
        from lerobot_pipelines.recordings.ros.ros1_recovery import scan

        found = scan(self._file)
        if not found.connections:
            raise Refused(
                Reason.CORRUPT_CONTAINER,
                f"{self.path.name} holds no whole message ({cause}); record it again",
            )
        self.connections = found.connections
        self._chunks = found.compressed_chunks
        self._cut_chunks = found.cut_chunks
        self._compressions = found.compressions
        self.faults.extend(found.faults)
        self.faults.append(Fault("", "whole file", "index_rebuilt"))
        self.details["recovered"] = cause
        self.index = found.index

    # Messages --------------------------------------------------------------------------------

    def message(self, row: int) -> Message:
        """See ``BagFile.message``."""
        anchor, offset = int(self.index.anchors[row]), int(self.index.offsets[row])
        try:
            if offset < 0:
                window = memoryview(self._file.read_upto(anchor, _FIRST_READ_BYTES))
                record, fetch, start = read_record(self._file, anchor, window), self._fetch, anchor
            else:
                window = memoryview(self._cache.get(anchor))
                record, fetch, start = parse_record(window, offset), None, 0
            end = self._file.size if fetch else len(window)
            if record.end > end or record.data_length > LARGEST_CHUNK_BYTES:
                raise BadRecord("cut message")
            if record.op != Op.MESSAGE or record.u32(b"conn") != self.index.connections[row]:
                raise BadRecord("other record")
        except DamagedChunk as error:
            raise LostMessage(f"chunk at byte {anchor}", str(error)) from None
        except (BadRecord, OutOfFile):
            raise LostMessage(f"byte {anchor}", "bad_record") from None
        return Message(window, start, record.data_start, record.data_length, fetch)

    def _fetch(self, start: int, length: int) -> bytes:
        try:
            return self._file.read(start, length)
        except OutOfFile:
            raise LostMessage(f"byte {start}", "bad_record") from None

    def _load_chunk(self, anchor: int) -> bytes:
        chunk = self._chunks[anchor]
        length = min(chunk.data_length, self._file.size - chunk.data_start)
        if length > LARGEST_CHUNK_BYTES:
            raise DamagedChunk("chunk_too_large")
        return decompress(
            chunk.fields[b"compression"].decode("ascii", errors="replace"),
            self._file.read(chunk.data_start, length),
            chunk.u32(b"size"),
            partial=anchor in self._cut_chunks,
        )

    def close(self) -> None:
        self._file.close()
