"""What raw ROS messages mean: a type store per message definition, through ``rosbags``.

Two software versions define the same type differently, sometimes within one bag, so nothing is
shared between definitions. ``rosbags`` refuses a whole bag for a constant that is not upper case
or a checksum that differs; neither matters for reading, so constants are left out of the text it
parses and checksums are not compared. Bytes after a message are ignored: some writers pad.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.model import Stamps
from lerobot_pipelines.recordings.ros.clocks import NO_STAMP
from lerobot_pipelines.recordings.ros.container import Connection, Message

if TYPE_CHECKING:
    from lerobot_pipelines.recordings.ros.batch import Batch

_SEPARATOR = "=" * 80
_SEPARATOR_LINE = re.compile(r"^={20,}\s*$")
_CONSTANT = re.compile(r"^\s*[\w/\[\]<=]+\s+[A-Za-z]\w*\s*=")
_HEADER_NAME = re.compile(r"^(MSG: \S+)\s*$")

_TIME = "builtin_interfaces/msg/Time"
_HEADER = "std_msgs/msg/Header"
_CDR_ENCAPSULATION_BYTES = 4

# Reading a definition of megabytes is no use to anybody and takes the parser minutes.
_LONGEST_DEFINITION = 1 << 20


class UnknownType(Exception):
    """A topic's messages cannot be understood; the argument is the reason code."""


class BadMessage(Exception):
    """The bytes are not a message of its type."""


class Leaf(NamedTuple):
    """A field that holds numbers, reachable by attribute names alone."""

    path: str
    is_array: bool
    is_list: bool = False  # of messages that hold numbers


class Codec(Protocol):
    """Reads the messages of one connection. Decoded ones have their fields as attributes."""

    @property
    def type_name(self) -> str: ...

    @property
    def short_name(self) -> str:
        """Without its package, e.g. ``JointState``."""
        ...

    @property
    def has_layout(self) -> bool:
        """Whether equal lengths mean equal places, and stamps stand at the beginning."""
        ...

    @property
    def frame_offset(self) -> int | None:
        """Where the header's frame_id begins, if messages begin with a header."""
        ...

    @property
    def is_ros1(self) -> bool:
        """Whether messages are packed as ROS1 does; else plain CDR."""
        ...

    @property
    def definitions(self) -> Any:
        """Fields by type name, in the form ``rosbags`` keeps them."""
        ...

    def decode(self, raw: memoryview) -> Any:
        """A message object; raises ``BadMessage``."""
        ...

    def header_stamp(self, message: Message) -> int | None:
        """The stamp in the message, ns; None if there is none. Raises ``LostMessage``."""
        ...

    def header_stamps(self, batch: Batch) -> Stamps:
        """``header_stamp`` of a batch's sound messages, (n,); ``NO_STAMP`` for the others."""
        ...

    def numeric_leaves(self) -> tuple[Leaf, ...]:
        """Fields that hold numbers, depth first, stamps, headers and covariances left out."""
        ...

    def fields(self) -> tuple[str, ...]:
        """Names of the message's own fields, for messages to people."""
        ...


class RosCodec:
    """ROS messages, of either version, through ``rosbags``."""

    has_layout = True

    def __init__(self, connection: Connection) -> None:
        """Raises ``UnknownType`` (unknown_type)."""
        self._is_ros1 = connection.serialization == "ros1"
        self._store = _store_for(connection)
        self.type_name = _full_name(connection.type_name)
        self.short_name = self.type_name.rpartition("/")[2]
        try:
            self._definition = self._store.get_msgdef(self.type_name)
        except Exception as error:  # a dependency is missing, or the generated code is refused
            raise UnknownType("unknown_type") from error
        self._stamp_offset = self._find_stamp()

    def decode(self, raw: memoryview) -> Any:
        """A message object as ``rosbags`` makes them; raises ``BadMessage``."""
        definition = self._definition
        try:
            if self._is_ros1:
                return definition.deserialize_ros1(raw, 0, definition.cls, self._store)[0]
            little = self._little_endian(raw)
            read = definition.deserialize_cdr_le if little else definition.deserialize_cdr_be
            return read(raw[_CDR_ENCAPSULATION_BYTES:], 0, definition.cls, self._store)[0]
        except BadMessage:
            raise
        except Exception as error:  # whatever generated code raises on bytes that do not fit
            raise BadMessage(str(error)) from error

    @property
    def is_ros1(self) -> bool:
        return self._is_ros1

    @property
    def definitions(self) -> Any:
        return self._store.fielddefs

    @property
    def frame_offset(self) -> int | None:
        if self._stamp_offset is None or self._definition.fields[0][1][1] != _HEADER:
            return None
        return self._stamp_offset + 8

    @property
    def has_stamp(self) -> bool:
        """Whether messages begin with a header, or a time of their own."""
        return self._stamp_offset is not None

    def header_stamp(self, message: Message) -> int | None:
        """The stamp in the header, ns, without reading the rest; None if there is none."""
        if self._stamp_offset is None:
            return None
        offset = self._stamp_offset
        head = message.part(0, offset + 8)
        if len(head) < offset + 8:
            return None
        if self._is_ros1:
            seconds, nanoseconds = struct.unpack_from("<II", head, offset)
        else:
            try:
                order = "<" if self._little_endian(head) else ">"
            except BadMessage:
                return None
            seconds, nanoseconds = struct.unpack_from(order + "iI", head, offset)
        return int(seconds) * 1_000_000_000 + int(nanoseconds)

    def header_stamps(self, batch: Batch) -> Stamps:
        """``header_stamp`` of a batch's sound messages, (n,); ``NO_STAMP`` for the others."""
        found = np.full(len(batch), NO_STAMP)
        if self._stamp_offset is None:
            return found
        stop = self._stamp_offset + 8
        there = batch.sound & (batch.held >= stop)
        heads = batch.beginnings(there, stop)
        times = np.ascontiguousarray(heads[:, self._stamp_offset :])
        if self._is_ros1:
            found[there] = _nanoseconds(times, "<u4", "<u4")
        else:
            plain = (heads[:, 0] == 0) & (heads[:, 1] <= 1)
            stamps = np.where(
                heads[:, 1] == 1,
                _nanoseconds(times, "<i4", "<u4"),
                _nanoseconds(times, ">i4", ">u4"),
            )
            found[there] = np.where(plain, stamps, NO_STAMP)
        return found

    def numeric_leaves(self) -> tuple[Leaf, ...]:
        """Fields that hold numbers, depth first, stamps, headers and covariances left out."""
        return tuple(self._leaves(self.type_name, "", 0))

    def fields(self) -> tuple[str, ...]:
        """Names of the message's own fields, for messages to people."""
        return tuple(name for name, _ in self._definition.fields)

    def _leaves(self, type_name: str, prefix: str, depth: int) -> list[Leaf]:
        from rosbags.interfaces import Nodetype

        if type_name in _NOT_VALUES or depth > 8:
            return []
        leaves: list[Leaf] = []
        for name, (kind, details) in self._store.fielddefs[type_name][1]:
            path = f"{prefix}{name}"
            if kind == Nodetype.NAME:
                leaves.extend(self._leaves(str(details), f"{path}.", depth + 1))
                continue
            is_array = kind != Nodetype.BASE
            inner = details[0] if is_array else (kind, details)
            if inner[0] == Nodetype.NAME and self._holds_numbers(str(inner[1]), set()):
                leaves.append(Leaf(path, is_array=True, is_list=True))
            is_number = inner[0] == Nodetype.BASE and "string" not in str(inner[1][0])
            if is_number and name != _EMPTY and not name.endswith("covariance"):
                leaves.append(Leaf(path, is_array))
        return leaves

    def _holds_numbers(self, type_name: str, seen: set[str]) -> bool:
        """Whether any field of a type, at any depth, is a number; each type is looked at once."""
        from rosbags.interfaces import Nodetype

        if type_name in _NOT_VALUES or type_name in seen:
            return False
        seen.add(type_name)
        for name, (kind, details) in self._store.fielddefs[type_name][1]:
            inner = (kind, details) if kind in (Nodetype.BASE, Nodetype.NAME) else details[0]
            if inner[0] == Nodetype.NAME:
                if self._holds_numbers(str(inner[1]), seen):
                    return True
            elif "string" not in str(inner[1][0]) and name != _EMPTY:
                return True
        return False

    def _find_stamp(self) -> int | None:
        from rosbags.interfaces import Nodetype

        kind, details = self._definition.fields[0][1]
        start = 0 if self._is_ros1 else _CDR_ENCAPSULATION_BYTES
        if (kind, details) == (Nodetype.NAME, _TIME):
            return start
        if (kind, details) == (Nodetype.NAME, _HEADER):
            return start + 4 if self._is_ros1 else start  # ROS1 counts messages first
        return None

    @staticmethod
    def _little_endian(raw: memoryview) -> bool:
        # The second byte is 0 or 1 for plain CDR; the higher ones are parameter lists and CDR 2.
        if len(raw) < _CDR_ENCAPSULATION_BYTES or raw[0] != 0 or raw[1] > 1:
            raise BadMessage("not plain CDR")
        return raw[1] == 1


def _nanoseconds(times: NDArray[np.uint8], seconds: str, rest: str) -> Stamps:
    """(n, 8) bytes of seconds and nanoseconds as stamps, (n,)."""
    whole = times.view(seconds)[:, 0].astype(np.int64)
    stamps: Stamps = whole * 1_000_000_000 + times.view(rest)[:, 1].astype(np.int64)
    return stamps


_EMPTY = "structure_needs_at_least_one_member"
_NOT_VALUES = (_TIME, _HEADER, "builtin_interfaces/msg/Duration", "std_msgs/msg/MultiArrayLayout")


def _full_name(type_name: str) -> str:
    from rosbags.typesys.msg import normalize_msgtype

    return str(normalize_msgtype(type_name))


def _store_for(connection: Connection) -> Any:
    from rosbags.typesys import Stores, get_typestore

    if connection.definition:
        store = get_typestore(Stores.EMPTY)
        try:
            store.register(_parse(connection))
            store.get_msgdef(_full_name(connection.type_name))
            return store
        except Exception:  # a parser's or a generator's own; the usual definition may still do
            pass
    store = get_typestore(
        Stores.ROS1_NOETIC if connection.serialization == "ros1" else Stores.LATEST
    )
    if _full_name(connection.type_name) not in store.fielddefs:
        raise UnknownType("unknown_type")
    return store


def _parse(connection: Connection) -> Mapping[str, Any]:
    from rosbags.typesys import get_types_from_idl, get_types_from_msg

    if len(connection.definition) > _LONGEST_DEFINITION:
        raise UnknownType("unknown_type")
    if connection.definition_format == "msg":
        types: Mapping[str, Any] = get_types_from_msg(
            plain_definition(connection.definition), connection.type_name
        )
        return types
    found: dict[str, Any] = {}
    text = connection.definition.replace("\r\n", "\n")
    for part in text.split(_SEPARATOR + "\n"):
        head, _, rest = part.partition("\n")
        body = rest if head.startswith("IDL: ") else part
        if body.strip():
            found.update(get_types_from_idl(body))
    return found


def plain_definition(text: str) -> str:
    """A message definition without constants, comments and odd line ends."""
    lines: list[str] = []
    for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        if _SEPARATOR_LINE.match(line):
            lines.append(_SEPARATOR)
        elif header := _HEADER_NAME.match(line):
            lines.append(header[1])
        elif not _CONSTANT.match(line):
            lines.append(line.partition("#")[0].replace("\t", " ").rstrip())
    return "\n".join(lines).strip() + "\n"
