"""Numbers out of messages: any field by path and slice.

A path is ``name.name[index or slice].name``; several, separated by commas, are concatenated:
``joint_data.joint_q[12:26]``, ``left_hand_position, right_hand_position``, ``pose.position``.
Where it ends at a message, all numbers below it are taken in the order of its definition.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.config.slices import parse_slice

Values = NDArray[np.float64]
Step = str | int | slice

_STEP = re.compile(r"\s*([A-Za-z]\w*)((?:\[[^\[\]]*\])*)\s*")
_BRACKET = re.compile(r"\[([^\[\]]*)\]")


class FieldError(Exception):
    """A message has not the field that is asked for; the text says what it has."""


class Path:
    """One parsed path: ``base`` and, where it ends with them, the subscripts behind it."""

    def __init__(self, text: str) -> None:
        """Raises ``FieldError`` if the text is no path."""
        self.text = text.strip()
        self._steps: list[Step] = []
        for part in self.text.split("."):
            match = _STEP.fullmatch(part)
            if match is None:
                raise FieldError(f"{text!r} is not a path such as joint_data.joint_q[12:26]")
            self._steps.append(match[1])
            self._steps.extend(_subscript(inner, text) for inner in _BRACKET.findall(match[2]))
        size = max(at for at, step in enumerate(self._steps) if isinstance(step, str)) + 1
        self._base, self.tail = self._steps[:size], self._steps[size:]
        self.base = _spelled(self._base)

    @property
    def name(self) -> str:
        """Of the field at its end."""
        return str(self._base[-1])

    def read(self, message: Any) -> Any:
        """The value at this path; raises ``FieldError``."""
        return self._walk(message, self._steps)

    def read_base(self, message: Any) -> Any:
        """The value without the subscripts at the end; raises ``FieldError``."""
        return self._walk(message, self._base)

    def chosen(self, items: Sequence[str]) -> list[str]:
        """Which of these its subscripts take; raises ``FieldError`` if they reach beyond them."""
        taken = [*items]
        for step in self.tail:
            self._require(step, len(taken))
            taken = taken[step] if isinstance(step, slice) else [taken[int(step)]]
        return taken

    def _require(self, step: Step, there: int) -> None:
        needed = 0 if isinstance(step, str) else _needed_length(step)
        if there < needed:
            raise FieldError(f"{self.text} needs {needed} elements, there are {there}")

    def owners(self, message: Any) -> Iterator[tuple[str, Any]]:
        """The messages that hold the field, the innermost first, with their own paths."""
        for size in range(len(self._base) - 1, -1, -1):
            if size == 0 or isinstance(self._base[size], str):
                yield _spelled(self._base[:size]), self._walk(message, self._base[:size])

    def _walk(self, message: Any, steps: Sequence[Step]) -> Any:
        value = message
        for step in steps:
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
        self._require(step, len(value))
        return [value[step]] if isinstance(step, int) and is_message(value[step]) else value[step]


def _spelled(steps: Sequence[Step]) -> str:
    """The path of these steps, without spaces."""
    parts = [f".{step}" if isinstance(step, str) else f"[{_told(step)}]" for step in steps]
    return "".join(parts).removeprefix(".")


def _told(step: int | slice) -> str:
    if isinstance(step, int):
        return str(step)
    bounds = ["" if bound is None else str(bound) for bound in (step.start, step.stop)]
    return ":".join([*bounds, *([] if step.step is None else [str(step.step)])])


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


def is_message(value: Any) -> bool:
    return hasattr(value, "__msgtype__")


def field_names(message: Any) -> list[str]:
    return [name for name in getattr(message, "__dataclass_fields__", {}) if name[0] != "_"]


def flatten(value: Any) -> Values:
    """Every number in a value, in order; raises ``FieldError`` if it holds something else."""
    if isinstance(value, np.ndarray):
        return value.astype(np.float64, copy=False).reshape(-1)
    if isinstance(value, (bool, int, float, np.number, np.bool_)):
        return np.array([value], dtype=np.float64)
    if isinstance(value, list) and value and not isinstance(value[0], (str, list)):
        return np.concatenate([flatten(item) for item in value])
    if isinstance(value, list) and not value:
        return np.empty(0)
    if is_message(value):
        parts = [flatten(getattr(value, name)) for name in value_fields(value)]
        return np.concatenate(parts) if parts else np.empty(0)
    raise FieldError(f"{type(value).__name__} is not a number")


def value_fields(message: Any) -> list[str]:
    return [
        name
        for name in field_names(message)
        if not name.endswith("covariance")
        and not _is_text(getattr(message, name))
        and getattr(getattr(message, name), "__msgtype__", "") not in SKIPPED_TYPES
    ]


def _is_text(value: Any) -> bool:
    return isinstance(value, str) or (
        isinstance(value, list) and bool(value) and isinstance(value[0], str)
    )


# Types whose numbers are no values.
SKIPPED_TYPES = (
    *("std_msgs/msg/Header", "std_msgs/msg/MultiArrayLayout"),
    *("builtin_interfaces/msg/Time", "builtin_interfaces/msg/Duration"),
)
