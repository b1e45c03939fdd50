"""Numbers straight out of raw messages whose layout is known from one like them.

Most topics send messages of one shape: the same names, the same lengths. Where every length in a
message (and every joint name) equals that of a message decoded before, every field lies at the
same place, and the numbers are read there without decoding the rest: some ten times faster, with
the same result. Any difference, and the message is decoded as a whole.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.recordings.ros.fields import SKIPPED_TYPES, Path, Values
from lerobot_pipelines.recordings.ros.message_types import Codec
from lerobot_pipelines.recordings.ros.selection import Columns, Sample, Selection, Shape

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
MAX_LAYOUTS = 8


class _Unknown(Exception):
    """A layout that is not followed here: a rare type, or bytes that do not fit."""


class LeafPlace(NamedTuple):
    """Numbers side by side in a message."""

    offset: int
    dtype: np.dtype[Any]
    size: int
    is_value: bool  # what a message is recorded for: no stamp, no covariance


@dataclass(slots=True)
class _Walk:
    """Goes through one message field by field, noting what its layout hangs on."""

    raw: memoryview
    aligned: bool  # CDR
    definitions: Any
    names_at: tuple[str, ...]  # paths of the lists that tell which number is which
    position: int = 0
    fixed: list[int] = field(default_factory=list)  # bytes that decide where others lie
    leaves: dict[str, LeafPlace] = field(default_factory=dict)
    names: int = 0  # found
    skipped: int = 0  # how deep in a message that holds no values

    def message(self, type_name: str, prefix: str) -> None:
        self.skipped += type_name in SKIPPED_TYPES
        self._fields(type_name, prefix)
        self.skipped -= type_name in SKIPPED_TYPES

    def _fields(self, type_name: str, prefix: str) -> None:
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
            if any(path.startswith(f"{names}[") for names in self.names_at):
                self.names += 1
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
        is_value = not self.skipped and "covariance" not in path
        self.leaves[path] = LeafPlace(self.position, dtype, count, is_value)
        self._skip(count * dtype.itemsize)

    def _align(self, size: int) -> None:
        if self.aligned:  # counted from behind the encapsulation
            self._skip(-(self.position - 4) % size)

    def _skip(self, count: int) -> None:
        self.position += count
        if self.position > len(self.raw):
            raise _Unknown("message too short")


class Layout:
    """Reads the numbers of one selection out of messages that are like the first.

    ``sizes`` are how many numbers such messages hold in each field, lists of messages as a whole.
    """

    def __init__(
        self,
        codec: Codec,
        selection: Selection,
        raw: memoryview,
        sample: Sample,
        columns: Columns | None,
    ) -> None:
        """``columns`` of the sample are wanted, None: all of them.

        Raises ``LayoutUnknown`` if the numbers cannot be read this way.
        """
        if not codec.has_layout:
            raise LayoutUnknown
        start = 0 if codec.is_ros1 else 4
        walk = _Walk(raw, not codec.is_ros1, codec.definitions, sample.names_at, start)
        try:
            walk.message(codec.type_name, "")
            self._reads = [
                read
                for path, span in zip(selection.paths, sample.shape.spans, strict=True)
                for read in _reads(walk, path, whole=span is not None)
            ]
        except (_Unknown, KeyError, ValueError, RecursionError) as error:
            raise LayoutUnknown from error
        if walk.names != len(sample.shape.names):
            raise LayoutUnknown  # not all names that decide are among the fixed bytes
        self.shape: Shape = sample.shape
        self.sizes = _sizes(walk)
        self._columns = columns
        # The encapsulation says the byte order.
        fixed = [*([] if codec.is_ros1 else range(4)), *walk.fixed]
        self._fixed: NDArray[np.int64] = np.array(fixed, dtype=np.int64)
        self._expected = np.frombuffer(raw, np.uint8)[self._fixed]
        self._length = len(raw)
        expected = sample.values if columns is None else sample.values[columns]
        found = self.values(raw)
        if found is None or not np.array_equal(found, expected, equal_nan=True):
            raise LayoutUnknown

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
        if not parts:
            return np.empty(0)
        values: Values = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return values if self._columns is None else values[self._columns]

    def fits(self, batch: Batch) -> Flags:
        """Which of the batch's messages are of this layout, (n,)."""
        found: Flags = batch.sound & (batch.lengths == self._length) & (batch.held == self._length)
        content = batch.beginnings(found, self._length)
        found[found] = (content[:, self._fixed] == self._expected).all(axis=1)
        return found

    def many(self, batch: Batch, chosen: Flags) -> NDArray[np.float64]:
        """``values`` of messages that fit, (count, dimension)."""
        content = batch.beginnings(chosen, self._length)
        parts = [np.empty((len(content), 0))] if not self._reads else []
        for offset, dtype, count, elements in self._reads:
            part = np.ascontiguousarray(content[:, offset : offset + count * dtype.itemsize])
            parts.append(part.view(dtype)[:, elements].astype(np.float64))
        values = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
        return values if self._columns is None else values[:, self._columns]


def _sizes(walk: _Walk) -> dict[str, int]:
    sizes: Counter[str] = Counter()
    for path, leaf in walk.leaves.items():
        if leaf.is_value:
            sizes[path.partition("[")[0]] += leaf.size
    return dict(sizes)


_Read = tuple[int, np.dtype[Any], int, Any]


def _reads(walk: _Walk, path: Path, *, whole: bool) -> list[_Read]:
    """Where the numbers of a path lie; ``whole``: without the subscripts at its end."""
    leaf = walk.leaves.get(path.base)
    if leaf is not None:
        if whole or not path.tail:
            return [] if leaf.size == 0 else [(leaf.offset, leaf.dtype, leaf.size, slice(None))]
        if len(path.tail) > 1 or leaf.size == 0:
            raise _Unknown(path.text)
        chosen = path.tail[0]
        if isinstance(chosen, int):
            chosen = slice(chosen, chosen + 1 or None)
        return [(leaf.offset, leaf.dtype, leaf.size, chosen)]
    if path.tail and not whole:
        raise _Unknown(path.text)
    below = [
        leaf
        for at, leaf in walk.leaves.items()
        if at.startswith((f"{path.base}.", f"{path.base}[")) and leaf.is_value and leaf.size
    ]
    if not below:
        raise _Unknown(path.text)
    return _merged(below)


def _merged(leaves: list[LeafPlace]) -> list[_Read]:
    """One read for numbers of one type that lie side by side."""
    reads: list[_Read] = []
    for offset, dtype, count, _ in leaves:
        if reads and reads[-1][1] == dtype:
            begin, _, known, _ = reads[-1]
            if begin + known * dtype.itemsize == offset:
                reads[-1] = begin, dtype, known + count, slice(None)
                continue
        reads.append((offset, dtype, count, slice(None)))
    return reads


class LayoutUnknown(Exception):
    """Messages of this type or selection must be decoded one by one."""


class Layouts:
    """The layouts met on one topic for one selection, the one used last first."""

    def __init__(self, codec: Codec, selection: Selection) -> None:
        self._codec = codec
        self._selection = selection
        self._known: list[Layout] = []
        self.learned = 0  # grows with each layout
        self._tries = MAX_LAYOUTS

    @property
    def known(self) -> tuple[Layout, ...]:
        return tuple(self._known)

    def find(self, raw: memoryview) -> tuple[Layout, Values] | None:
        """The layout of a message, if it is a known one, and its numbers."""
        for place, layout in enumerate(self._known):
            values = layout.values(raw)
            if values is not None:
                if place:
                    self._known.insert(0, self._known.pop(place))
                return layout, values
        return None

    def learn(self, raw: memoryview, sample: Sample, columns: Columns | None) -> Layout | None:
        """Remember the layout of a message that was decoded to ``sample``."""
        if self._tries == 0:
            return None
        self._tries -= 1
        with suppress(LayoutUnknown):
            found = Layout(self._codec, self._selection, raw, sample, columns)
            self._known.append(found)
            self.learned += 1
            return found
        return None
