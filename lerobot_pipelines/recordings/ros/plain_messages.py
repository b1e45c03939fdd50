"""Messages of other systems than ROS as objects of the kind that ``rosbags`` makes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from lerobot_pipelines.model import Stamps
from lerobot_pipelines.recordings.ros.clocks import NO_STAMP
from lerobot_pipelines.recordings.ros.container import Message
from lerobot_pipelines.recordings.ros.message_types import BadMessage, Codec, Leaf

if TYPE_CHECKING:
    from lerobot_pipelines.recordings.ros.batch import Batch

# The pairs that systems call the parts of a moment.
_SECONDS = ("seconds", "sec", "secs")
_NANOSECONDS = ("nanos", "nsec", "nanosec", "nsecs", "nanoseconds")
_MOMENTS = ("timestamp", "stamp")

# Recursive types end somewhere.
DEEPEST = 8


class PlainMessage:
    """Fields as attributes, in order."""

    __msgtype__ = ""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self.__dict__.update(fields)
        self.__dataclass_fields__ = dict.fromkeys(fields)


def stamp_of(message: PlainMessage) -> int | None:
    """The message's own moment, or its header's, ns."""
    for holder in (message, getattr(message, "header", None)):
        for name in _MOMENTS:
            moment = getattr(holder, name, None)
            if moment is not None and (found := _nanoseconds(moment)) is not None:
                return found
    return None


def _nanoseconds(moment: Any) -> int | None:
    seconds = next((getattr(moment, n) for n in _SECONDS if hasattr(moment, n)), None)
    rest = next((getattr(moment, n) for n in _NANOSECONDS if hasattr(moment, n)), None)
    if not isinstance(seconds, int) or not isinstance(rest, int):
        return None
    found = seconds * 1_000_000_000 + rest
    return found if abs(found) < 1 << 62 else None


def is_moment(names: Mapping[str, Any] | list[str]) -> bool:
    """Whether fields of these names make a moment or a duration, not values."""
    return set(names) <= {*_SECONDS, *_NANOSECONDS} and bool(names)


class PlainCodec(Codec):
    """What such codecs have in common: messages are decoded one by one."""

    has_layout = False
    frame_offset: int | None = None
    is_ros1 = False
    definitions: Any = None

    def __init__(self, type_name: str, leaves: tuple[Leaf, ...], fields: tuple[str, ...]) -> None:
        self._type_name = type_name
        self._leaves = leaves
        self._fields = fields

    @property
    def type_name(self) -> str:
        return self._type_name

    @property
    def short_name(self) -> str:
        return self._type_name.replace(".", "/").rpartition("/")[2]

    def header_stamp(self, message: Message) -> int | None:
        try:
            return stamp_of(self.decode(message.whole()))
        except BadMessage:
            return None

    def header_stamps(self, batch: Batch) -> Stamps:
        return np.full(len(batch), NO_STAMP)

    def numeric_leaves(self) -> tuple[Leaf, ...]:
        return self._leaves

    def fields(self) -> tuple[str, ...]:
        return self._fields
