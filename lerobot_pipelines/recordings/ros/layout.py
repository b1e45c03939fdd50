"""Numbers straight out of raw messages whose layout is known from one like them.

Most topics send messages of one shape: the same names, the same lengths. Where every length in a
message (and every joint name) equals that of a message decoded before, every field lies at the
same place, and the numbers are read there without decoding the rest: some ten times faster, with
the same result. Any difference, and the message is decoded as a whole.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.recordings.ros.fields import Selection, Values
from lerobot_pipelines.recordings.ros.message_types import Codec

if TYPE_CHECKING:
    from lerobot_pipelines.recordings.ros.batch import Batch
    from lerobot_pipelines.recordings.ros.blocks import Flags

_DTYPES = {
    **{f"int{8 * size}": np.dtype(f"<i{size}") for size in (1, 2, 4, 8)},
    **{f"uint{8 * size}": np.dtype(f"<u{size}") for size in (1, 2, 4, 8)},
    **{f"float{8 * size}": np.dtype(f"<f{size}") for size in (4, 8)},
    **dict.fromkeys(("bool", "byte", "char"), np.dtype("u1")),
}

# More than this many shapes on one topic, and looking for them costs more than it saves.
MOST_LAYOUTS = 8


class _Unknown(Exception):
    """A layout that is not followed here: a rare type, or bytes that do not fit."""


@dataclass(slots=True)
class _Walk:
    """Goes through one message field by field, noting what its layout hangs on."""

    raw: memoryview
    aligned: bool  # CDR
    definitions: Any
    position: int = 0
    fixed: list[int] = field(default_factory=list)  # bytes that decide where others lie
    leaves: dict[str, tuple[int, np.dtype[Any], int]] = field(default_factory=dict)

    def message(self, type_name: str, prefix: str) -> None:
        from rosbags.interfaces import Nodetype

        for name, (kind, details) in self.definitions[type_name][1]:
            path = f"{prefix}{name}"
            if name == "structure_needs_at_least_one_member" and not self.aligned:
                continue
            if kind in (Nodetype.BASE, Nodetype.NAME):
                self._one(kind, details, path)
                continue
            (inner_kind, inner), bound = details
            count = bound if kind == Nodetype.ARRAY else self._length()
            if inner_kind == Nodetype.BASE and inner[0] in _DTYPES:
                self._numbers(inner[0], count, path)
                continue
            for item in range(count):
                self._one(inner_kind, inner, f"{path}[{item}]")

    def _one(self, kind: Any, details: Any, path: str) -> None:
        from rosbags.interfaces import Nodetype

        if kind == Nodetype.NAME:
            self.message(str(details), f"{path}.")
        elif details[0] == "string":
            length = self._length()
            if path.startswith("name["):  # which joint is which
                self.fixed.extend(range(self.position, self.position + length))
            self._skip(length)
        else:
            self._numbers(details[0], 1, path)

    def _length(self) -> int:
        self._align(4)
        self.fixed.extend(range(self.position, self.position + 4))
        start = self.position
        self._skip(4)
        return int.from_bytes(self.raw[start : start + 4], "little")

    def _numbers(self, type_name: str, count: int, path: str) -> None:
        dtype = _DTYPES.get(type_name)
        if dtype is None:
            raise _Unknown(type_name)
        if count:
            self._align(dtype.itemsize)
        self.leaves[path] = (self.position, dtype, count)
        self._skip(count * dtype.itemsize)

    def _align(self, size: int) -> None:
        if self.aligned:  # counted from behind the encapsulation
            self._skip(-(self.position - 4) % size)

    def _skip(self, count: int) -> None:
        self.position += count
        if self.position > len(self.raw):
            raise _Unknown("message too short")


class Layout:
    """Reads the numbers of one selection out of messages that are like the first."""

    def __init__(self, codec: Codec, selection: Selection, raw: memoryview, values: Values) -> None:
        """Raises ``LayoutUnknown`` if the numbers cannot be read this way."""
        if not codec.has_layout:
            raise LayoutUnknown
        walk = _Walk(raw, not codec.is_ros1, codec.definitions, 0 if codec.is_ros1 else 4)
        try:
            walk.message(codec.type_name, "")
            self._reads = [self._read_of(walk, path.text) for path in selection.paths]
        except (_Unknown, KeyError, ValueError, RecursionError) as error:
            raise LayoutUnknown from error
        self._places = selection.places
        self.is_reordered = self._places is not None and not selection.picks_by_name
        # The encapsulation says the byte order.
        fixed = [*([] if codec.is_ros1 else range(4)), *walk.fixed]
        self._fixed: NDArray[np.int64] = np.array(fixed, dtype=np.int64)
        self._expected = np.frombuffer(raw, np.uint8)[self._fixed]
        self._length = len(raw)
        found = self.values(raw)
        if found is None or not np.array_equal(found, values):
            raise LayoutUnknown

    @staticmethod
    def _read_of(walk: _Walk, path: str) -> tuple[int, np.dtype[Any], int, Any]:
        name, bracket, rest = path.partition("[")
        offset, dtype, count = walk.leaves[name.strip()]
        if not bracket:
            return offset, dtype, count, slice(None)
        numbers = [int(part) if part.strip() else None for part in rest.rstrip("] ").split(":")]
        if len(numbers) == 1 and numbers[0] is not None:
            return offset, dtype, count, slice(numbers[0], numbers[0] + 1 or None)
        return offset, dtype, count, slice(*numbers)

    def values(self, raw: memoryview) -> Values | None:
        """The numbers, float64; None if the message is of another layout."""
        if len(raw) != self._length:
            return None
        content = np.frombuffer(raw, np.uint8)
        if not (content[self._fixed] == self._expected).all():
            return None
        parts = [
            np.frombuffer(raw, dtype, count, offset)[chosen].astype(np.float64)
            for offset, dtype, count, chosen in self._reads
        ]
        values: Values = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return values if self._places is None else values[self._places]

    def fits(self, batch: Batch) -> Flags:
        """Which of the batch's messages are of this layout, (n,)."""
        found: Flags = batch.sound & (batch.lengths == self._length) & (batch.held == self._length)
        content = batch.beginnings(found, self._length)
        found[found] = (content[:, self._fixed] == self._expected).all(axis=1)
        return found

    def many(self, batch: Batch, chosen: Flags) -> NDArray[np.float64]:
        """``values`` of messages that fit, (count, dimension)."""
        content = batch.beginnings(chosen, self._length)
        parts = []
        for offset, dtype, count, elements in self._reads:
            part = np.ascontiguousarray(content[:, offset : offset + count * dtype.itemsize])
            parts.append(part.view(dtype)[:, elements].astype(np.float64))
        values = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
        return values if self._places is None else values[:, self._places]


class LayoutUnknown(Exception):
    """Messages of this type or selection must be decoded one by one."""


class Layouts:
    """The layouts met on one topic for one selection, the one used last first."""

    def __init__(self, codec: Codec, selection: Selection) -> None:
        self._codec = codec
        self._selection = selection
        self._known: list[Layout] = []
        self.learned = 0  # grows with each layout
        self._tries = MOST_LAYOUTS

    @property
    def known(self) -> tuple[Layout, ...]:
        return tuple(self._known)

    def values(self, raw: memoryview) -> Values | None:
        """The numbers of a message of a known layout."""
        for place, layout in enumerate(self._known):
            values = layout.values(raw)
            if values is not None:
                if place:
                    self._known.insert(0, self._known.pop(place))
                if layout.is_reordered:
                    self._selection.reordered += 1
                return values
        return None

    def learn(self, raw: memoryview, values: Values) -> None:
        """Remember the layout of a message that was decoded to ``values``."""
        if self._tries == 0:
            return
        self._tries -= 1
        with suppress(LayoutUnknown):
            self._known.append(Layout(self._codec, self._selection, raw, values))
            self.learned += 1
