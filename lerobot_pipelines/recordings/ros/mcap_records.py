"""Records of the MCAP format: https://mcap.dev/spec

A record is one byte that says what it is, its length, and its content. Little-endian throughout.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal, NamedTuple

import numpy as np

from lerobot_pipelines.recordings.ros.blocks import Bytes, Heads, no_heads, numbers
from lerobot_pipelines.recordings.ros.compression import LARGEST_CHUNK_BYTES, ZSTD_MAGIC
from lerobot_pipelines.recordings.ros.container import Connection, Rows

MAGIC = b"\x89MCAP0\r\n"
PREFIX_BYTES = 9  # op and length

_PREFIX = struct.Struct("<BQ")
_U16 = struct.Struct("<H")
_U32 = struct.Struct("<I")
MESSAGE_HEAD = struct.Struct("<HIQQ")  # channel, sequence, log time, publish time
_CHUNK_HEAD = struct.Struct("<QQQI")  # first and last log time, unpacked size, checksum

_INDEX_ENTRY = np.dtype([("stamp", "<u8"), ("offset", "<u8")])

_DEFINITION_FORMATS: dict[str, Literal["msg", "idl", ""]] = {
    "ros1msg": "msg",
    "ros2msg": "msg",
    "ros2idl": "idl",
    "omgidl": "idl",
}


class BadRecord(Exception):
    """These bytes are not a record of the format."""


class Op(IntEnum):
    HEADER = 0x01
    FOOTER = 0x02
    SCHEMA = 0x03
    CHANNEL = 0x04
    MESSAGE = 0x05
    CHUNK = 0x06
    MESSAGE_INDEX = 0x07
    CHUNK_INDEX = 0x08
    DATA_END = 0x0F


# Ops that this version of the format does not define, up to 0x7F, must be skipped by readers;
# those up to 0x0F are defined. Zero and the private range are damage when met between records.
LAST_DEFINED_OP = 0x0F


class Prefix(NamedTuple):
    op: int
    start: int  # of the record
    data_start: int
    length: int

    @property
    def end(self) -> int:
        return self.data_start + self.length


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk record: where its packed records lie."""

    start: int
    data_start: int
    data_length: int
    size: int  # unpacked
    checksum: int  # CRC-32 of the unpacked records, 0 if the writer left it out
    compression: str  # "none", "lz4", "zstd" or unknown


@dataclass(frozen=True, slots=True)
class Schema:
    name: str
    encoding: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Channel:
    id: int
    schema_id: int
    topic: str
    encoding: str


def parse_prefix(buffer: bytes | memoryview, position: int, base: int = 0) -> Prefix:
    """Raises ``BadRecord`` at the end of the buffer and for an op that cannot be."""
    try:
        op, length = _PREFIX.unpack_from(buffer, position)
    except struct.error as error:
        raise BadRecord("cut record") from error
    if not 0 < op <= LAST_DEFINED_OP:
        raise BadRecord(f"no record begins with {op}")
    start = base + position
    return Prefix(op, start, start + PREFIX_BYTES, length)


class _Content:
    """Reads the fields of one record in turn."""

    def __init__(self, data: bytes | memoryview) -> None:
        self._data = memoryview(data)
        self._position = 0

    def take(self, layout: struct.Struct) -> tuple[int, ...]:
        try:
            values = layout.unpack_from(self._data, self._position)
        except struct.error as error:
            raise BadRecord("cut field") from error
        self._position += layout.size
        return values

    def text(self) -> str:
        return bytes(self.blob()).decode("utf-8", errors="replace")

    def blob(self) -> memoryview:
        (length,) = self.take(_U32)
        if length > len(self._data) - self._position:
            raise BadRecord("field longer than its record")
        found = self._data[self._position : self._position + length]
        self._position += length
        return found

    @property
    def position(self) -> int:
        return self._position


def parse_chunk(prefix: Prefix, head: bytes | memoryview) -> Chunk:
    """A chunk from its first bytes (64 are enough); raises ``BadRecord``."""
    content = _Content(head)
    _, _, size, checksum = content.take(_CHUNK_HEAD)
    compression = content.text()
    (length,) = content.take(struct.Struct("<Q"))
    if content.position + length != prefix.length:
        raise BadRecord("a chunk's lengths disagree")
    return Chunk(
        start=prefix.start,
        data_start=prefix.data_start + content.position,
        data_length=length,
        size=size,
        checksum=checksum,
        compression=compression or "none",
    )


def parse_schema(data: bytes | memoryview) -> tuple[int, Schema]:
    content = _Content(data)
    (id,) = content.take(_U16)
    return id, Schema(content.text(), content.text(), bytes(content.blob()))


def parse_channel(data: bytes | memoryview) -> Channel:
    content = _Content(data)
    (id,) = content.take(_U16)
    (schema_id,) = content.take(_U16)
    return Channel(id, schema_id, content.text(), content.text())


def parse_message_index(
    data: bytes | memoryview,
) -> tuple[
    int, np.ndarray[tuple[int], np.dtype[np.int64]], np.ndarray[tuple[int], np.dtype[np.int64]]
]:
    """Channel, stamps and offsets in the unpacked chunk of its messages."""
    content = _Content(data)
    (channel,) = content.take(_U16)
    entries = content.blob()
    if len(entries) % _INDEX_ENTRY.itemsize:
        raise BadRecord("cut index")
    table = np.frombuffer(entries, _INDEX_ENTRY)
    return channel, table["stamp"].astype(np.int64), table["offset"].astype(np.int64)


def parse_message_head(data: bytes | memoryview) -> tuple[int, int]:
    """Channel and log time, ns."""
    try:
        channel, _, stamp, _ = MESSAGE_HEAD.unpack_from(data, 0)
    except struct.error as error:
        raise BadRecord("cut message") from error
    if stamp >= 1 << 63:
        raise BadRecord("a stamp beyond the year 2262")
    return channel, stamp


def parse_header(data: bytes | memoryview) -> tuple[str, str]:
    """Profile and library."""
    content = _Content(data)
    return content.text(), content.text()


def connection_of(channel: Channel, schema: Schema | None) -> Connection:
    encoding = schema.encoding if schema else ""
    kind = _DEFINITION_FORMATS.get(encoding, "")
    return Connection(
        id=channel.id,
        topic=channel.topic,
        type_name=schema.name if schema else "",
        definition=schema.data.decode("utf-8", errors="replace") if schema and kind else "",
        definition_format=kind,
        digest="",
        serialization=channel.encoding,
        schema=schema.data if schema and not kind else b"",
    )


def read_heads(content: Bytes, places: Rows, held: Rows, connections: Rows) -> Heads:
    """``ReadHeads`` of MCAP. Messages that the recorder compressed are not sound: see message."""
    size = PREFIX_BYTES + MESSAGE_HEAD.size
    heads = no_heads(len(places))
    there = np.flatnonzero(held >= size + len(ZSTD_MAGIC))
    at = places[there]
    lengths = numbers(content, at + 1, "<u8")
    sound = (content[at] == Op.MESSAGE) & (lengths <= LARGEST_CHUNK_BYTES)
    sound &= (lengths >= MESSAGE_HEAD.size) & (
        numbers(content, at + PREFIX_BYTES, "<u2") == connections[there]
    )
    # A log time beyond the year 2262, as ``parse_message_head`` says.
    sound &= content[at + PREFIX_BYTES + 13] < 0x80
    sound &= numbers(content, at + size, "<u4") != int.from_bytes(ZSTD_MAGIC, "little")
    heads.sound[there], heads.offsets[there] = sound, size
    heads.lengths[there] = np.where(sound, lengths, MESSAGE_HEAD.size) - MESSAGE_HEAD.size
    return heads
