"""What raw messages mean: a type store per message definition, through ``rosbags``.

Two software versions define the same type differently, sometimes within one bag, so nothing is
shared between definitions. ``rosbags`` refuses a whole bag for a constant that is not upper case
or a checksum that differs; neither matters for reading, so constants are left out of the text it
parses and checksums are not compared. Bytes after a message are ignored: some writers pad.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from typing import Any, NamedTuple

from lerobot_pipelines.recordings.ros.container import Connection, Message

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


class Codec:
    """Reads the messages of one connection."""

    def __init__(self, connection: Connection) -> None:
        """Raises ``UnknownType``: "unsupported_encoding" or "unknown_type"."""
        if connection.serialization not in ("ros1", "cdr"):
            raise UnknownType("unsupported_encoding")
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
        """Whether messages are packed as ROS1 does; else plain CDR."""
        return self._is_ros1

    @property
    def definitions(self) -> Any:
        """Fields by type name, in the form ``rosbags`` keeps them."""
        return self._store.fielddefs

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
            is_number = inner[0] == Nodetype.BASE and "string" not in str(inner[1][0])
            if is_number and name != _EMPTY and not name.endswith("covariance"):
                leaves.append(Leaf(path, is_array))
        return leaves

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


_EMPTY = "structure_needs_at_least_one_member"
_NOT_VALUES = (_TIME, _HEADER, "builtin_interfaces/msg/Duration", "std_msgs/msg/MultiArrayLayout")


class Codecs:
    """The codecs of one bag; equal definitions share one."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, str, str], Codec | UnknownType] = {}

    def of(self, connection: Connection) -> Codec:
        """Raises ``UnknownType``."""
        key = (
            *(connection.type_name, connection.definition),
            *(connection.definition_format, connection.serialization),
        )
        if key not in self._known:
            try:
                self._known[key] = Codec(connection)
            except UnknownType as error:
                self._known[key] = error
        found = self._known[key]
        if isinstance(found, UnknownType):
            raise found
        return found


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
