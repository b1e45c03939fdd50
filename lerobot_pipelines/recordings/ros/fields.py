"""Numbers out of messages: any field by path and slice, joints by name.

A path is ``name.name[index or slice].name``; several, separated by commas, are concatenated:
``joint_data.joint_q[12:26]``, ``left_hand_position, right_hand_position``, ``pose.position``.
Where it ends at a message, all numbers below it are taken in the order of its definition.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.config.slices import parse_slice
from lerobot_pipelines.recordings.ros.message_types import Codec

Values = NDArray[np.float64]

_STEP = re.compile(r"\s*([A-Za-z]\w*)((?:\[[^\[\]]*\])*)\s*")
_BRACKET = re.compile(r"\[([^\[\]]*)\]")

# What a topic of this type is recorded for, where that is not every number it holds.
_USUAL_FIELDS = {
    "JointState": "position",
    "JointTrajectoryPoint": "positions",
    "MultiDOFJointState": "transforms",
}


class FieldError(Exception):
    """A message has not the field that is asked for; the text says what it has."""


class Path:
    """One parsed path."""

    def __init__(self, text: str) -> None:
        """Raises ``FieldError`` if the text is no path."""
        self.text = text.strip()
        self._steps: list[str | int | slice] = []
        for part in self.text.split("."):
            match = _STEP.fullmatch(part)
            if match is None:
                raise FieldError(f"{text!r} is not a path such as joint_data.joint_q[12:26]")
            self._steps.append(match[1])
            self._steps.extend(_subscript(inner, text) for inner in _BRACKET.findall(match[2]))

    @property
    def is_plain(self) -> bool:
        return all(isinstance(step, str) for step in self._steps)

    def read(self, message: Any) -> Any:
        """The value at this path; raises ``FieldError``."""
        value = message
        for step in self._steps:
            value = self._step(value, step)
        return value

    def _step(self, value: Any, step: str | int | slice) -> Any:
        if isinstance(step, str):
            if isinstance(value, list):
                return [self._step(item, step) for item in value]
            found = getattr(value, step, None)
            if found is None:  # rosbags puts an underscore behind Python's own words
                found = getattr(value, f"{step}_", None)
            if found is None:
                raise FieldError(f"no field {step!r}; there are {', '.join(field_names(value))}")
            return found
        if isinstance(value, str) or not hasattr(value, "__len__"):
            raise FieldError(f"{self.text}: {step!r} of a single value")
        needed = _needed_length(step)
        if len(value) < needed:
            raise FieldError(f"{self.text} needs {needed} elements, there are {len(value)}")
        return [value[step]] if isinstance(step, int) and _is_message(value[step]) else value[step]


def _subscript(text: str, path: str) -> int | slice:
    try:
        chosen = parse_slice(text)
    except ValueError as error:
        raise FieldError(f"{path!r}: {error}") from error
    return chosen if ":" in text else int(text)


def _needed_length(step: int | slice) -> int:
    """Python cuts a slice that is too long; a robot with fewer joints than that is a mistake."""
    if isinstance(step, int):
        return step + 1 if step >= 0 else -step
    bounds = [int(bound) for bound in (step.start, step.stop) if bound is not None]
    return max([0, *(bound if bound >= 0 else -bound for bound in bounds)])


def _is_message(value: Any) -> bool:
    return hasattr(value, "__msgtype__")


def field_names(message: Any) -> list[str]:
    return [name for name in getattr(message, "__dataclass_fields__", {}) if name[0] != "_"]


def flatten(value: Any) -> Values:
    """Every number in a value, in order; raises ``FieldError`` if it holds something else."""
    if isinstance(value, np.ndarray):
        return value.astype(np.float64, copy=False).reshape(-1)
    if isinstance(value, (bool, int, float)):
        return np.array([value], dtype=np.float64)
    if isinstance(value, list) and value and not isinstance(value[0], (str, list)):
        return np.concatenate([flatten(item) for item in value])
    if isinstance(value, list) and not value:
        return np.empty(0)
    if _is_message(value):
        parts = [flatten(getattr(value, name)) for name in _value_fields(value)]
        return np.concatenate(parts) if parts else np.empty(0)
    raise FieldError(f"{type(value).__name__} is not a number")


def _value_fields(message: Any) -> list[str]:
    return [
        name
        for name in field_names(message)
        if not name.endswith("covariance")
        and not isinstance(getattr(message, name), str)
        and getattr(getattr(message, name), "__msgtype__", "") not in _SKIPPED
    ]


_SKIPPED = (
    *("std_msgs/msg/Header", "std_msgs/msg/MultiArrayLayout"),
    *("builtin_interfaces/msg/Time", "builtin_interfaces/msg/Duration"),
)


class Selection:
    """The numbers one stream takes from each message of its topic."""

    def __init__(self, codec: Codec, field: str | None, joint_names: Sequence[str] | None) -> None:
        """Raises ``FieldError``: no such path, or a type without numbers."""
        self._codec = codec
        leaves = codec.numeric_leaves()
        usual = _USUAL_FIELDS.get(codec.short_name) or ",".join(leaf.path for leaf in leaves)
        text = field or usual
        if not text:
            raise FieldError(
                f"{codec.type_name} has no numbers of its own; name one of its fields: "
                f"{', '.join(codec.fields())}"
            )
        self.paths = [Path(part) for part in text.split(",")]
        self._by_name = "name" in codec.fields() and len(self.paths) == 1
        self._wanted = tuple(joint_names) if joint_names else None
        if self._wanted and not self._by_name:
            raise FieldError(f"{codec.type_name} has no joint names")
        self._order: tuple[str, ...] = ()  # names of the first message
        self._seen: list[str] | None = None  # names that ``_places`` belongs to
        self._places: NDArray[np.int64] | None = None
        self._applied: NDArray[np.int64] | None = None
        self.reordered = 0  # messages that listed the same joints in another order
        self.element_names: tuple[str, ...] | None = self._wanted or self._scalar_names()

    @property
    def picks_by_name(self) -> bool:
        return self._wanted is not None

    @property
    def places(self) -> NDArray[np.int64] | None:
        """What ``values`` rearranged the last message by; None if it took it as it was."""
        return self._applied

    def _scalar_names(self) -> tuple[str, ...] | None:
        leaves = {leaf.path: leaf for leaf in self._codec.numeric_leaves()}
        names: list[str] = []
        for path in self.paths:
            below = [
                leaf
                for leaf in leaves.values()
                if leaf.path == path.text or leaf.path.startswith(f"{path.text}.")
            ]
            if not below or any(leaf.is_array for leaf in below):
                return None
            names.extend(leaf.path for leaf in below)
        return tuple(names)

    def values(self, message: Any) -> Values | None:
        """One sample; None for a message about other joints. Raises ``FieldError``."""
        self._applied = None
        if self._by_name and (self._wanted or self.paths[0].is_plain):
            names = getattr(message, "name", None)
            if _are_names(names) and (names or self._wanted):
                return self._named(message, names)
        if len(self.paths) == 1:
            return flatten(self.paths[0].read(message))
        return np.concatenate([flatten(path.read(message)) for path in self.paths])

    def _named(self, message: Any, names: list[str]) -> Values | None:
        values = flatten(self.paths[0].read(message))
        if len(values) != len(names):
            if self._wanted:
                raise FieldError(f"{len(names)} names for {len(values)} values")
            return values
        wanted = self._wanted or self._order
        if not wanted:
            self._order = wanted = tuple(names)
            if len(set(names)) == len(names):
                self.element_names = self._order
        if tuple(names) == wanted:
            return values
        if names != self._seen:
            self._seen, self._places = list(names), _places(wanted, names)
        if self._places is None:
            return None
        if not self._wanted:
            self.reordered += 1
        self._applied = self._places
        return values[self._places]


def _are_names(names: Any) -> TypeGuard[list[str]]:
    return isinstance(names, list) and all(isinstance(name, str) for name in names)


def _places(wanted: Sequence[str], names: Sequence[str]) -> NDArray[np.int64] | None:
    """Where the wanted joints are; None if none is there (another node's message)."""
    known = {name: place for place, name in enumerate(names)}
    missing = [name for name in wanted if name not in known]
    if len(missing) == len(wanted):
        return None
    if missing:
        raise FieldError(f"no joint {missing[0]!r}; there are {', '.join(names)}")
    return np.array([known[name] for name in wanted], dtype=np.int64)
