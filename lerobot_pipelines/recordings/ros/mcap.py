"""MCAP files, of any profile, with or without summary, cut or rotten.

The file is walked once from its start, over the heads of its records: chunks are skipped, the
message indexes behind them are read. That costs two small reads a chunk, needs no summary, and is
the same walk for a whole file and for one whose recorder was killed. ``rosbags`` refuses every
profile but "ros2" and files without an end; the ``mcap`` package reads neither damaged chunks nor
one message by its place.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

from lerobot_pipelines.config.schema import DEFAULT_LIMITS
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.model import Fault
from lerobot_pipelines.recordings.ros.blocks import Block, read_blocks
from lerobot_pipelines.recordings.ros.compression import (
    LARGEST_CHUNK_BYTES,
    unpacked,
)
from lerobot_pipelines.recordings.ros.container import (
    ChunkCache,
    Connection,
    DamagedChunk,
    IndexBuilder,
    LostMessage,
    Message,
    Rows,
)
from lerobot_pipelines.recordings.ros.filebytes import Ahead, FileBytes, OutOfFile, hole_fault
from lerobot_pipelines.recordings.ros.mcap_records import (
    MAGIC,
    MESSAGE_HEAD,
    PREFIX_BYTES,
    BadRecord,
    Channel,
    Chunk,
    Op,
    Prefix,
    Schema,
    connection_of,
    parse_channel,
    parse_chunk,
    parse_header,
    parse_message_head,
    parse_message_index,
    parse_prefix,
    parse_schema,
    read_heads,
)
from lerobot_pipelines.recordings.ros.mcap_recovery import next_record
from lerobot_pipelines.recordings.ros.reading import fetcher, read_chunk

# The head of a record and all of a small one, in one read.
_FIRST_READ_BYTES = 4096
# A chunk's head, or a message's: a compression's name is the longest part.
_MOST_HEAD_BYTES = 64
# Definitions and indexes are kilobytes; what claims more is not read into memory.
_LARGEST_SMALL_RECORD = 64 << 20


class McapFile:
    """One file, read through its message indexes; chunks without one are unpacked to be listed."""

    def __init__(self, path: Path, max_messages: int = DEFAULT_LIMITS.messages) -> None:
        """Raises ``Refused`` (corrupt_container) if no message can be read."""
        self.path = path
        self.faults: list[Fault] = []
        self.details: dict[str, Any] = {}
        self._file = FileBytes(path)
        self._chunks: dict[int, Chunk] = {}
        self._cut_chunk: int | None = None
        self._schemas: dict[int, Schema] = {}
        self._channels: dict[int, Channel] = {}
        self._builder = IndexBuilder(max_messages, path.name)
        self._cache = ChunkCache(self._load_chunk)
        try:
            self._open()
        except BaseException:
            self._file.close()
            raise

    def _open(self) -> None:
        if self._file.size == 0:
            raise Refused(Reason.CORRUPT_CONTAINER, f"{self.path.name} is empty")
        if self._file.read_upto(0, len(MAGIC)) != MAGIC:
            raise Refused(Reason.CORRUPT_CONTAINER, f"{self.path.name} is not an MCAP file")
        self._walk()
        index = self._builder.build()
        self._find_channels(index.connections, index.anchors)
        self.connections: list[Connection] = [
            connection_of(channel, self._schemas.get(channel.schema_id))
            for channel in self._channels.values()
        ]
        self.index = self._only_known(index)
        if not self.connections:
            cause = "; ".join(f"{fault.reason} at {fault.where}" for fault in self.faults)
            raise Refused(
                Reason.CORRUPT_CONTAINER,
                f"{self.path.name} holds no whole message ({cause or 'no channels'})",
            )
        kinds = {chunk.compression for chunk in self._chunks.values()}
        self.details["compression"] = ",".join(sorted(kinds)) or "none"

    # The walk -------------------------------------------------------------------------------------

    def _walk(self) -> None:
        position = len(MAGIC)
        pending: Chunk | None = None  # a chunk whose indexes may follow
        indexed = False
        ahead = Ahead(self._file)
        while position < self._file.size:
            head = ahead.upto(position, _MOST_HEAD_BYTES)
            try:
                prefix = parse_prefix(head, 0, position)
                if prefix.end > self._file.size and prefix.op != Op.CHUNK:
                    raise BadRecord("cut record")
                if pending and prefix.op == Op.MESSAGE_INDEX:
                    self._take_index(pending, self._content(prefix, ahead))
                    indexed = True
                else:
                    if pending and not indexed:
                        self._list_chunk(pending)
                    pending, indexed = self._take(prefix, ahead), False
                position = prefix.end
            except (BadRecord, OutOfFile):
                if head[: len(MAGIC)] == MAGIC and position + len(MAGIC) == self._file.size:
                    break
                following = next_record(self._file, position + 1, self._channels)
                self.faults.append(hole_fault(self._file, position, following))
                self.details["recovered"] = self.faults[-1].reason
                if following is None:
                    break
                position = following
        if pending and not indexed:
            self._list_chunk(pending)

    def _take(self, prefix: Prefix, ahead: Ahead) -> Chunk | None:
        """Note what a record says; returns it if it is a chunk."""
        head = ahead.upto(prefix.start, _MOST_HEAD_BYTES)
        if prefix.op == Op.CHUNK:
            chunk = parse_chunk(prefix, head[PREFIX_BYTES:])
            if prefix.end > self._file.size:
                self._cut_chunk = chunk.start
                self.faults.append(Fault("", f"chunk at byte {chunk.start}", "truncated_chunk"))
                self.details["recovered"] = "cut short"
            self._chunks[chunk.start] = chunk
            return chunk
        if prefix.op == Op.MESSAGE:
            channel, stamp = parse_message_head(head[PREFIX_BYTES:])
            self._builder.add(channel, stamp, prefix.start, -1)
        elif prefix.op in (Op.SCHEMA, Op.CHANNEL):
            self._take_definition(prefix.op, self._content(prefix, ahead))
        elif prefix.op == Op.HEADER:
            profile, library = parse_header(self._content(prefix, ahead))
            self.details.update(profile=profile, library=library)
        return None

    def _content(self, prefix: Prefix, ahead: Ahead) -> memoryview:
        if prefix.length > _LARGEST_SMALL_RECORD:
            raise BadRecord("record too large")
        return ahead.exactly(prefix.data_start, prefix.length)

    def _take_definition(self, op: int, content: memoryview) -> None:
        if op == Op.SCHEMA:
            id, schema = parse_schema(content)
            self._schemas.setdefault(id, schema)
        else:
            channel = parse_channel(content)
            self._channels.setdefault(channel.id, channel)

    def _take_index(self, chunk: Chunk, content: memoryview) -> None:
        channel, stamps, offsets = parse_message_index(content)
        if len(offsets) == 0:
            return
        if int(offsets.min()) < 0 or int(offsets.max()) >= chunk.size or int(stamps.min()) < 0:
            raise BadRecord("an index points beyond its chunk")
        if chunk.compression == "none":
            places = chunk.data_start + offsets
            self._builder.extend(channel, stamps, places, np.full(len(offsets), -1))
        else:
            self._builder.extend(channel, stamps, np.full(len(offsets), chunk.start), offsets)

    def _list_chunk(self, chunk: Chunk) -> None:
        """Index a chunk that has no index records by reading it."""
        try:
            content = self._cache.get(chunk.start)
        except DamagedChunk as error:
            self.faults.append(Fault("", f"chunk at byte {chunk.start}", str(error)))
            return
        packed = chunk.compression != "none"
        for prefix in _records_in(content):
            data = memoryview(content)[prefix.data_start : prefix.end]
            try:
                if prefix.op == Op.MESSAGE:
                    channel, stamp = parse_message_head(data)
                    anchor = chunk.start if packed else chunk.data_start + prefix.start
                    self._builder.add(channel, stamp, anchor, prefix.start if packed else -1)
                elif prefix.op in (Op.SCHEMA, Op.CHANNEL):
                    self._take_definition(prefix.op, data)
            except BadRecord:
                self.faults.append(Fault("", f"chunk at byte {chunk.start}", "bad_record"))

    def _find_channels(self, used: Any, anchors: Any) -> None:
        """Definitions lie in the chunk of the first message that needs them."""
        unknown = set(np.unique(used).tolist()) - set(self._channels)
        for id in sorted(unknown):
            for anchor in np.unique(anchors[used == id])[:8].tolist():
                chunk = self._chunk_holding(anchor)
                if chunk is not None and id not in self._channels:
                    self._read_definitions(chunk)

    def _chunk_holding(self, place: int) -> Chunk | None:
        if place in self._chunks:
            return self._chunks[place]
        starts = np.array(sorted(self._chunks), dtype=np.int64)
        at = int(np.searchsorted(starts, place, side="right")) - 1
        return self._chunks[int(starts[at])] if at >= 0 else None

    def _read_definitions(self, chunk: Chunk) -> None:
        try:
            content = self._cache.get(chunk.start)
            for prefix in _records_in(content):
                if prefix.op in (Op.SCHEMA, Op.CHANNEL):
                    data = memoryview(content)[prefix.data_start : prefix.end]
                    self._take_definition(prefix.op, data)
        except (DamagedChunk, BadRecord):
            pass  # the messages that need them are counted by ``_only_known``

    def _only_known(self, index: Any) -> Any:
        known = np.isin(index.connections, list(self._channels))
        lost = int(np.count_nonzero(~known))
        if lost:
            self.faults.append(Fault("", "whole file", "unknown_connection", lost))
        return type(index)(
            index.connections[known],
            index.stamps[known],
            index.anchors[known],
            index.offsets[known],
        )

    # Messages -------------------------------------------------------------------------------------

    def blocks(self, rows: Rows) -> Iterator[Block]:
        """See ``BagFile.blocks``."""
        return read_blocks(self.index, rows, self._file, self._cache.get, read_heads)

    def message(self, row: int) -> Message:
        """See ``BagFile.message``."""
        anchor, offset = int(self.index.anchors[row]), int(self.index.offsets[row])
        try:
            if offset < 0:
                window = memoryview(self._file.read_upto(anchor, _FIRST_READ_BYTES))
                prefix, fetch, start = parse_prefix(window, 0, anchor), fetcher(self._file), anchor
                head, end = window[PREFIX_BYTES:], self._file.size
            else:
                window = memoryview(self._cache.get(anchor))
                prefix, fetch, start = parse_prefix(window, offset), None, 0
                head, end = window[prefix.data_start :], len(window)
            if prefix.op != Op.MESSAGE or prefix.end > end:
                raise BadRecord("no message")
            if parse_message_head(head)[0] != self.index.connections[row]:
                raise BadRecord("another channel's message")
            if prefix.length > LARGEST_CHUNK_BYTES:
                raise BadRecord("message too large")
        except DamagedChunk as error:
            raise LostMessage(f"chunk at byte {anchor}", str(error)) from None
        except (BadRecord, OutOfFile):
            raise LostMessage(f"byte {anchor}", "bad_record") from None
        data_start = prefix.data_start + MESSAGE_HEAD.size
        length = prefix.length - MESSAGE_HEAD.size
        return unpacked(Message(window, start, data_start, length, fetch), f"byte {anchor}")

    def _load_chunk(self, anchor: int) -> bytes:
        chunk = self._chunks[anchor]
        cut = anchor == self._cut_chunk
        content = read_chunk(
            self._file,
            (chunk.data_start, chunk.data_length),
            chunk.compression,
            chunk.size,
            partial=cut,
        )
        if chunk.checksum and not cut and crc32(content) != chunk.checksum:
            raise DamagedChunk("rotten_chunk")
        return content

    def close(self) -> None:
        self._file.close()


def _records_in(chunk: bytes) -> Iterator[Prefix]:
    """Records of an unpacked chunk; stops before the first that is not whole."""
    position = 0
    while position < len(chunk):
        try:
            prefix = parse_prefix(chunk, position)
        except BadRecord:
            return
        if prefix.end > len(chunk):
            return
        yield prefix
        position = prefix.end
