"""What the first pass takes out of messages beside their stamps."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from lerobot_pipelines.recordings.ros.batch import Batch, Decoded
from lerobot_pipelines.recordings.ros.blocks import Flags
from lerobot_pipelines.recordings.ros.layout import Layout
from lerobot_pipelines.recordings.ros.message_types import Codec


class Way(NamedTuple):
    """Messages that can be taken together, (n,) of a batch; numbers by their layout."""

    fits: Flags
    layout: Layout | None = None


class Content(Protocol):
    """Judges messages, and keeps what is needed of those it accepts."""

    @property
    def learned(self) -> int:
        """Grows when a message taught how others like it can be taken together."""
        ...

    def ways(self, batch: Batch) -> list[Way]:
        """How messages can be taken without looking at each."""
        ...

    def take_many(self, batch: Batch, part: slice, layout: Layout | None) -> Flags | None:
        """Take messages of one way; which of them are kept, None: all."""
        ...

    def take(self, codec: Codec, lazy: Decoded, where: str) -> bool:
        """Take one message; whether it is kept. Raises ``LostMessage``."""
        ...

    def interrupted(self) -> None:
        """A message before the next one was lost."""
        ...
