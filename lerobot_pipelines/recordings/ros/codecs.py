"""Which codec reads the messages of a connection."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lerobot_pipelines.recordings.ros.container import Connection
from lerobot_pipelines.recordings.ros.json_types import JsonCodec
from lerobot_pipelines.recordings.ros.message_types import Codec, RosCodec, UnknownType
from lerobot_pipelines.recordings.ros.protobuf_types import ProtobufCodec

CODECS: Mapping[str, Callable[[Connection], Codec]] = {
    "ros1": RosCodec,
    "cdr": RosCodec,
    "protobuf": ProtobufCodec,
    "json": JsonCodec,
}


class Codecs:
    """The codecs of one bag; equal definitions share one."""

    def __init__(self) -> None:
        self._known: dict[tuple[str | bytes, ...], Codec | UnknownType] = {}

    def of(self, connection: Connection) -> Codec:
        """Raises ``UnknownType``: "unsupported_encoding:NAME" or "unknown_type"."""
        key: tuple[str | bytes, ...] = (
            *(connection.type_name, connection.definition, connection.schema),
            *(connection.definition_format, connection.serialization),
        )
        if key not in self._known:
            try:
                self._known[key] = _codec_of(connection)
            except UnknownType as error:
                self._known[key] = error
        found = self._known[key]
        if isinstance(found, UnknownType):
            raise found
        return found


def _codec_of(connection: Connection) -> Codec:
    make = CODECS.get(connection.serialization)
    if make is None:
        raise UnknownType(f"unsupported_encoding:{connection.serialization}")
    return make(connection)
