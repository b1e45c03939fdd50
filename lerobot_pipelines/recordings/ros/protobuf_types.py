"""Protobuf messages, as Foxglove's tools record them: the schema holds all descriptors it needs."""

from __future__ import annotations

from typing import Any

import numpy as np

from lerobot_pipelines.recordings.ros.container import Connection
from lerobot_pipelines.recordings.ros.message_types import BadMessage, Leaf, UnknownType
from lerobot_pipelines.recordings.ros.plain_messages import (
    DEEPEST,
    PlainCodec,
    PlainMessage,
    is_moment,
)


class ProtobufCodec(PlainCodec):
    """Through Google's own library, with a descriptor pool of its own."""

    def __init__(self, connection: Connection) -> None:
        """Raises ``UnknownType`` (unknown_type) if the schema does not describe the type."""
        from google.protobuf.descriptor_pb2 import FileDescriptorSet
        from google.protobuf.descriptor_pool import DescriptorPool
        from google.protobuf.message_factory import GetMessageClass

        pool = DescriptorPool()
        try:
            files = FileDescriptorSet.FromString(connection.schema)
            for file in _dependencies_first(list(files.file)):
                pool.Add(file)
            descriptor = pool.FindMessageTypeByName(connection.type_name)
            self._make: Any = GetMessageClass(descriptor)
        except Exception as error:  # the library has many
            raise UnknownType("unknown_type") from error
        super().__init__(
            connection.type_name,
            tuple(_leaves(descriptor, "", 0)),
            tuple(field.name for field in descriptor.fields),
        )

    def decode(self, raw: memoryview) -> PlainMessage:
        """See ``Codec``."""
        try:
            return _plain(self._make.FromString(bytes(raw)))
        except Exception as error:  # DecodeError, and what a hostile nesting causes
            raise BadMessage(str(error)) from error


def _dependencies_first(files: list[Any]) -> list[Any]:
    """Some writers list them in any order; the pool wants each after those that it imports."""
    known = {file.name: file for file in files}
    ordered: dict[str, Any] = {}

    def visit(name: str, depth: int) -> None:
        if name in ordered or name not in known or depth > len(files):
            return
        for needed in known[name].dependency:
            visit(needed, depth + 1)
        ordered[name] = known[name]

    for file in files:
        visit(file.name, 0)
    return list(ordered.values())


def _leaves(descriptor: Any, prefix: str, depth: int) -> list[Leaf]:
    fields = descriptor.fields
    if depth > DEEPEST or is_moment([field.name for field in fields]):
        return []
    leaves: list[Leaf] = []
    for field in fields:
        path = f"{prefix}{field.name}"
        if field.type == field.TYPE_MESSAGE:
            if field.is_repeated:
                if _holds_numbers(field.message_type, set()):
                    leaves.append(Leaf(path, is_array=True, is_list=True))
            elif field.name != "header":
                leaves.extend(_leaves(field.message_type, f"{path}.", depth + 1))
        elif field.type not in (field.TYPE_STRING, field.TYPE_BYTES, field.TYPE_GROUP):
            leaves.append(Leaf(path, field.is_repeated))
    return leaves


def _holds_numbers(descriptor: Any, seen: set[str]) -> bool:
    """Whether any field of a type, at any depth, is a number; each type is looked at once."""
    fields = descriptor.fields
    if descriptor.full_name in seen or is_moment([field.name for field in fields]):
        return False
    seen.add(descriptor.full_name)
    return any(
        _holds_numbers(field.message_type, seen)
        if field.type == field.TYPE_MESSAGE
        else field.type not in (field.TYPE_STRING, field.TYPE_BYTES, field.TYPE_GROUP)
        for field in fields
    )


def _plain(message: Any) -> PlainMessage:
    return PlainMessage(
        {field.name: _value(field, getattr(message, field.name)) for field in _set(message)}
    )


def _set(message: Any) -> Any:
    """All fields but messages that were left out, which would never end where types recur."""
    return (
        field
        for field in message.DESCRIPTOR.fields
        if field.type != field.TYPE_MESSAGE or field.is_repeated or message.HasField(field.name)
    )


def _value(field: Any, value: Any) -> Any:
    if field.type == field.TYPE_MESSAGE:
        if not field.is_repeated:
            return _plain(value)
        # A map is given as its keys.
        return [_plain(item) for item in value] if hasattr(value, "add") else []
    if field.type == field.TYPE_BYTES and not field.is_repeated:
        return np.frombuffer(value, np.uint8)
    if field.is_repeated:
        texts = field.type in (field.TYPE_STRING, field.TYPE_BYTES)
        return list(value) if texts else np.array(value, dtype=np.float64)
    return value
