"""JSON messages with a JSON schema, as Foxglove's tools record them."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
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

_NUMBERS = ("number", "integer", "boolean")
_LONGEST_SCHEMA = 1 << 20
_LARGEST_NUMBER = 1 << 64


class JsonCodec(PlainCodec):
    """Fields are those of the schema; bytes are base64 where the schema says so."""

    def __init__(self, connection: Connection) -> None:
        """Raises ``UnknownType`` (unknown_type) without a schema that lists the fields."""
        try:
            if len(connection.schema) > _LONGEST_SCHEMA:
                raise ValueError("no schema is as long")
            schema = json.loads(connection.schema)
            fields = tuple(_properties(schema))
            leaves = tuple(_leaves(schema, "", 0))
        except (ValueError, RecursionError, AttributeError, TypeError) as error:
            raise UnknownType("unknown_type") from error
        self._schema = schema
        super().__init__(connection.type_name, leaves, fields)

    def decode(self, raw: memoryview) -> PlainMessage:
        """See ``Codec``."""
        try:
            content = json.loads(bytes(raw))
            if isinstance(content, dict):
                return _plain(content, self._schema)
        except (ValueError, RecursionError, OverflowError, AttributeError, TypeError) as error:
            raise BadMessage(str(error)) from error
        raise BadMessage("no JSON object")


def _properties(schema: Any) -> Mapping[str, Any]:
    found: Mapping[str, Any] = schema.get("properties", {}) if isinstance(schema, dict) else {}
    return found


def _leaves(schema: Any, prefix: str, depth: int) -> list[Leaf]:
    properties = _properties(schema)
    if depth > DEEPEST or is_moment(properties):
        return []
    leaves: list[Leaf] = []
    for name, inner in properties.items():
        kind = inner.get("type")
        if kind == "object" and name != "header":
            leaves.extend(_leaves(inner, f"{prefix}{name}.", depth + 1))
        elif kind in _NUMBERS:
            leaves.append(Leaf(f"{prefix}{name}", False))
        elif kind == "array" and (inner.get("items") or {}).get("type") in _NUMBERS:
            leaves.append(Leaf(f"{prefix}{name}", True))
        elif kind == "array" and _holds_numbers(inner.get("items"), depth + 1):
            leaves.append(Leaf(f"{prefix}{name}", is_array=True, is_list=True))
    return leaves


def _holds_numbers(schema: Any, depth: int) -> bool:
    properties = _properties(schema)
    if depth > DEEPEST or is_moment(properties):
        return False
    return any(
        inner.get("type") in _NUMBERS
        or (inner.get("items") or {}).get("type") in _NUMBERS
        or _holds_numbers(inner, depth + 1)
        or _holds_numbers(inner.get("items"), depth + 1)
        for inner in properties.values()
    )


def _plain(content: Mapping[str, Any], schema: Any) -> PlainMessage:
    properties = _properties(schema)
    return PlainMessage(
        {str(name): _value(value, properties.get(name)) for name, value in content.items()}
    )


def _value(value: Any, schema: Any) -> Any:
    if isinstance(value, dict):
        return _plain(value, schema)
    if isinstance(value, list):
        if value and all(isinstance(item, (bool, int, float)) for item in value):
            return np.array(value, dtype=np.float64)
        items = schema.get("items") if isinstance(schema, dict) else None
        return [_value(item, items) for item in value]
    if isinstance(value, int) and abs(value) > _LARGEST_NUMBER:
        raise ValueError("a number beyond 64 bits")
    is_bytes = isinstance(schema, dict) and schema.get("contentEncoding") == "base64"
    if isinstance(value, str) and is_bytes:
        return np.frombuffer(base64.b64decode(value), np.uint8)
    return value
