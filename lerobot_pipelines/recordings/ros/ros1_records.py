"""Records of the ROS1 bag format, version 2.0: http://wiki.ros.org/Bags/Format/2.0

A record is a header (fields ``name=value``), its length before it, and data, its length before
it. All numbers are little-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum

from lerobot_pipelines.recordings.ros.container import Connection
from lerobot_pipelines.recordings.ros.filebytes import FileBytes, OutOfFile

MAGIC = b"#ROSBAG V2.0\n"

# The longest header holds a topic name. A longer one is damage.
LONGEST_HEADER_BYTES = 1 << 16

_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")
_TIME = struct.Struct("<II")


class BadRecord(Exception):
    """These bytes are not a record of the format."""


class Op(IntEnum):
    MESSAGE = 2
    BAG_HEADER = 3
    INDEX = 4
    CHUNK = 5
    CHUNK_INFO = 6
    CONNECTION = 7


@dataclass(frozen=True, slots=True)
class Record:
    """A record's header and where its data lies, in the file or in an unpacked chunk."""

    op: int
    fields: Mapping[bytes, bytes]
    start: int
    data_start: int
    data_length: int

    @property
    def end(self) -> int:
        return self.data_start + self.data_length

    def u32(self, name: bytes) -> int:
        return int(self._number(_U32, name))

    def u64(self, name: bytes) -> int:
        return int(self._number(_U64, name))

    def _number(self, layout: struct.Struct, name: bytes) -> int:
        try:
            return int(layout.unpack(self.fields[name])[0])
        except (KeyError, struct.error) as error:
            raise BadRecord(f"no field {name!r}") from error

    def time_ns(self, name: bytes = b"time") -> int:
        try:
            seconds, nanoseconds = _TIME.unpack(self.fields[name])
        except (KeyError, struct.error) as error:
            raise BadRecord(f"no field {name!r}") from error
        return int(seconds) * 1_000_000_000 + int(nanoseconds)


def parse_fields(header: bytes | memoryview) -> dict[bytes, bytes]:
    """The fields of a record header; raises ``BadRecord``."""
    raw = bytes(header)
    fields: dict[bytes, bytes] = {}
    position = 0
    while position < len(raw):
        if position + 4 > len(raw):
            raise BadRecord("cut field")
        (length,) = _U32.unpack_from(raw, position)
        position += 4
        if length > len(raw) - position:
            raise BadRecord("field longer than its header")
        name, separator, value = raw[position : position + length].partition(b"=")
        if not separator:
            raise BadRecord("field without value")
        fields[name] = value
        position += length
    return fields


def parse_record(buffer: bytes | memoryview, position: int, base: int = 0) -> Record:
    """The record at ``position`` of a buffer that holds at least its header and data length.

    ``base`` is what position 0 of the buffer is called in the result. Raises ``BadRecord``; the
    data's extent is not checked.
    """
    try:
        (header_length,) = _U32.unpack_from(buffer, position)
        if header_length > LONGEST_HEADER_BYTES:
            raise BadRecord("header too long")
        header_end = position + 4 + header_length
        (data_length,) = _U32.unpack_from(buffer, header_end)
    except struct.error as error:
        raise BadRecord("cut record") from error
    fields = parse_fields(buffer[position + 4 : header_end])
    op = fields.get(b"op", b"")
    if len(op) != 1:
        raise BadRecord("record without op")
    return Record(op[0], fields, base + position, base + header_end + 4, data_length)


def read_record(file: FileBytes, position: int, buffer: bytes | memoryview | None = None) -> Record:
    """The record at a position of the file. Raises ``BadRecord``, also at the file's end.

    The data may reach beyond the end of the file: the caller decides what that means. ``buffer``
    holds what was already read from there.
    """
    if buffer is None:
        buffer = file.read_upto(position, 512)
    try:
        return parse_record(buffer, 0, position)
    except BadRecord:
        if len(buffer) < 4:
            raise
        (header_length,) = _U32.unpack_from(buffer, 0)
        if header_length > LONGEST_HEADER_BYTES or header_length + 8 <= len(buffer):
            raise
    return parse_record(file.read_upto(position, header_length + 8), 0, position)


def records_in(chunk: bytes | memoryview) -> Iterator[Record]:
    """Records of an unpacked chunk; stops before the first that is not whole."""
    position = 0
    while position < len(chunk):
        try:
            record = parse_record(chunk, position)
        except BadRecord:
            return
        if record.end > len(chunk):
            return
        yield record
        position = record.end


def parse_connection(record: Record, data: bytes | memoryview) -> Connection:
    """A connection record; raises ``BadRecord``."""
    fields = parse_fields(data)
    return Connection(
        id=record.u32(b"conn"),
        topic=_text(record.fields.get(b"topic") or fields.get(b"topic", b"")),
        type_name=_text(fields.get(b"type", b"")),
        # Comments may be in any encoding; the definition itself is ASCII.
        definition=_text(fields.get(b"message_definition", b"")),
        definition_format="msg",
        digest=_text(fields.get(b"md5sum", b"")),
        serialization="ros1",
    )


def chunk_at(
    file: FileBytes, position: int, buffer: bytes | memoryview | None = None
) -> Record | None:
    """The chunk record at a position, if there is one; its data may reach beyond the file."""
    try:
        record = read_record(file, position, buffer)
        if record.op == Op.CHUNK and b"compression" in record.fields:
            record.u32(b"size")
            return record
    except (BadRecord, OutOfFile):
        pass
    return None


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", errors="replace")
