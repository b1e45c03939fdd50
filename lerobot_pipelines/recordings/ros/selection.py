"""What one stream takes from each message of its topic, whichever way its field is spelled.

Where a message names its numbers (``name`` beside ``position``), all of a field is taken, in the
message's own order, with the names: which column each number belongs to is decided when all
messages are known. Slices then count in the order of the columns, not of the message.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.recordings.ros.fields import FieldError, Path, Values, flatten
from lerobot_pipelines.recordings.ros.message_names import (
    NAME_FIELDS,
    all_of,
    expanded,
    joined,
    names_for,
)
from lerobot_pipelines.recordings.ros.message_types import Codec, Leaf

Columns = NDArray[np.int64]

# What a topic of this type is recorded for, where that is not every number it holds.
_USUAL_FIELDS = {
    "JointState": "position",
    "JointTrajectoryPoint": "positions",
    "MultiDOFJointState": "transforms",
}


@dataclass(frozen=True, slots=True)
class Shape:
    """What messages must have in common to be read alike.

    ``names`` are all names that the message gives its numbers, ``spans`` says which of these belong
    to each path, None for a path without. ``lengths`` are the numbers taken by each path. Where
    ``fits`` is false there are names, but they do not tell all numbers apart: one is there twice,
    or there are more or fewer than numbers.
    """

    names: tuple[str, ...]
    spans: tuple[tuple[int, int] | None, ...]
    lengths: tuple[int, ...]
    fits: bool

    @property
    def joints(self) -> frozenset[str] | None:
        """The joints that the numbers belong to; None where names do not tell."""
        return frozenset(self.names) if self.names and self.fits else None

    @property
    def has_names(self) -> bool:
        """Whether some of the numbers have names."""
        return any(span is not None for span in self.spans)


class Sample(NamedTuple):
    """The numbers of one message; ``names_at`` are the paths of the lists of names it has."""

    shape: Shape
    values: Values
    names_at: tuple[str, ...]


class Selection:
    """The numbers one stream takes from each message of its topic."""

    def __init__(self, codec: Codec, field: str | None, joint_names: Sequence[str] | None) -> None:
        """Raises ``FieldError``: no such path, or a type without numbers."""
        self.type_name = codec.type_name
        self.is_explicit = field is not None
        self._codec = codec
        leaves = codec.numeric_leaves()
        usual = _USUAL_FIELDS.get(codec.short_name) or ",".join(_usual_paths(leaves))
        text = field or usual
        if not text:
            raise FieldError(
                f"{codec.type_name} has no numbers of its own; name one of its fields: "
                f"{', '.join(codec.fields())}"
            )
        self.paths = [Path(part) for part in text.split(",")]
        self.lists = frozenset(leaf.path for leaf in leaves if leaf.is_list)
        self.has_lists = any(path.text in self.lists for path in self.paths)
        self._demanded = [field is not None] * len(self.paths)
        self._is_expanded = False
        self.wanted = tuple(joint_names) if joint_names else None
        is_flat = all("." not in path.text for path in self.paths)
        if self.wanted and is_flat and not set(NAME_FIELDS) & set(codec.fields()):
            raise FieldError(f"{codec.type_name} has no joint names")

    # One message --------------------------------------------------------------------------------

    def sample(self, message: Any) -> Sample:
        """Raises ``FieldError`` if the message has not what is asked for."""
        self._expand(message)
        owners = [names_for(path, message) for path in self.paths]
        lists = dict(owner for owner in owners if owner is not None)
        names, starts = joined(lists)
        is_told = len(set(names)) == len(names)
        parts: list[Values] = []
        spans: list[tuple[int, int] | None] = []
        for path, owner, demanded in zip(self.paths, owners, self._demanded, strict=True):
            span: tuple[int, int] | None = None
            if owner is not None and is_told and len(path.tail) < 2:
                span = starts[owner[0]], starts[owner[0]] + len(owner[1])
            part = None if span is None else all_of(path, message, span[1] - span[0])
            if part is None:
                part, span = flatten(path.read(message)), None
            elif demanded and not len(part) and len(self.paths) > 1:
                raise FieldError(f"{path.text} is empty")
            spans.append(span)
            parts.append(part)
        values = parts[0] if len(parts) == 1 else np.concatenate(parts)
        fits = not lists or None not in spans
        if self.wanted and len(values) and not (fits and len(lists) == 1):
            raise FieldError(self._unfit(lists, parts))
        shape = Shape(names, tuple(spans), tuple(len(part) for part in parts), fits)
        return Sample(shape, values, tuple(lists))

    def _expand(self, message: Any) -> None:
        """A field that is a message with names of its own becomes the fields in there."""
        if self._is_expanded:
            return
        self._is_expanded = True
        paths: list[Path] = []
        demanded: list[bool] = []
        for path, was_demanded in zip(self.paths, self._demanded, strict=True):
            inner = [] if path.tail else expanded(path, path.read(message))
            paths.extend(inner or [path])
            demanded.extend([False] * len(inner) or [was_demanded])
        self.paths, self._demanded = paths, demanded

    def _unfit(self, lists: dict[str, tuple[str, ...]], parts: Sequence[Values]) -> str:
        told = ", ".join(path.text for path in self.paths)
        if not lists:
            return f"the message names no joints for {told}"
        if len(lists) > 1:
            return f"{told} have names of their own each ({', '.join(lists)}); take one a stream"
        names = next(iter(lists.values()))
        if len(set(names)) < len(names):
            return f"a joint is named twice: {', '.join(names)}"
        counts = " and ".join(str(len(part)) for part in parts)
        return f"{len(names)} names for {counts} values"

    # All messages -------------------------------------------------------------------------------

    def columns(self, shape: Shape, reference: Sequence[str] | None) -> Columns | None:
        """Where a sample of this shape has the numbers of the stream, in the stream's order.

        ``reference`` are the names of the joints in that order; None takes the numbers as they
        are. None if a joint is not in the message. Raises ``FieldError`` if a slice reaches beyond
        the joints.
        """
        if reference is None:
            return np.arange(sum(shape.lengths))
        if not set(reference) <= set(shape.names):
            return None
        found: list[int] = []
        start = 0
        for path, span, length in zip(self.paths, shape.spans, shape.lengths, strict=True):
            if span is None:
                found.extend(range(start, start + length))
            elif length:
                block = length // (span[1] - span[0])
                places = {name: at for at, name in enumerate(shape.names[slice(*span)])}
                chosen = [places[name] for name in self._sliced(path, reference, places)]
                found.extend(start + at * block + k for at in chosen for k in range(block))
            start += length
        return np.array(found, dtype=np.int64)

    def labels(self, shape: Shape, reference: Sequence[str] | None) -> tuple[str, ...] | None:
        """Names of the numbers that ``columns`` chooses; None where the recording has none."""
        if reference is None:
            return self._scalar_names()
        endings = {path.base: path.name for path in self.paths}
        is_short = len(set(endings.values())) == len(endings)
        names: list[str] = []
        for path, span, length in zip(self.paths, shape.spans, shape.lengths, strict=True):
            if span is None:
                names.extend(f"{path.text}[{at}]" for at in range(length))
                continue
            ending = f".{path.name if is_short else path.base}" if len(endings) > 1 else ""
            block = length // (span[1] - span[0])
            known = dict.fromkeys(shape.names[slice(*span)], 0)
            for name in self._sliced(path, reference, known) if length else ():
                label = f"{name}{ending}"
                names.extend([label] if block == 1 else (f"{label}.{k}" for k in range(block)))
        return tuple(names) if len(set(names)) == len(names) else None

    def taken(self, shape: Shape, sizes: Mapping[str, int]) -> dict[str, frozenset[int] | None]:
        """Which numbers of each field are taken, None: all; ``sizes`` says how many there are."""
        found: dict[str, frozenset[int] | None] = {}
        for path, span in zip(self.paths, shape.spans, strict=True):
            size = sizes.get(path.base)
            if span is not None or not path.tail or size is None or len(path.tail) > 1:
                found[path.base] = None
                continue
            places = range(size)
            for step in path.tail:
                places = places[step] if isinstance(step, slice) else places[int(step) :][:1]
            known = found.get(path.base, frozenset())
            found[path.base] = None if known is None else known | frozenset(places)
        return found

    def joints_of(self, shape: Shape, reference: Sequence[str]) -> frozenset[str]:
        """The joints whose numbers ``columns`` chooses."""
        found: set[str] = set()
        for path, span in zip(self.paths, shape.spans, strict=True):
            if span is not None:
                known = dict.fromkeys(shape.names[slice(*span)], 0)
                found.update(self._sliced(path, reference, known))
        return frozenset(found)

    def _sliced(self, path: Path, reference: Sequence[str], known: dict[str, int]) -> list[str]:
        own = [name for name in reference if name in known]
        # Joints that are asked for by name need no slice.
        return own if self.wanted else path.chosen(own)

    def _scalar_names(self) -> tuple[str, ...] | None:
        names: list[str] = []
        for path in self.paths:
            below = [
                leaf
                for leaf in self._codec.numeric_leaves()
                if leaf.path == path.text or leaf.path.startswith(f"{path.text}.")
            ]
            if not below or any(leaf.is_array for leaf in below):
                return None
            names.extend(leaf.path for leaf in below)
        return tuple(names)


def _usual_paths(leaves: Sequence[Leaf]) -> list[str]:
    # Lists of messages are many things: objects, points, plans. They count where nothing else does.
    own = [leaf.path for leaf in leaves if not leaf.is_list]
    return own or [leaf.path for leaf in leaves]
