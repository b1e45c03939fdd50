"""Which columns of a parquet file are the stamps and which the values of a stream."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from lerobot_pipelines.config.schema import StreamConfig
from lerobot_pipelines.config.slices import parse_slice
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.recordings.stamps import is_time_column, time_column


class ColumnKind(StrEnum):
    NUMBER = "number"
    LIST = "list"  # of numbers
    MOMENT = "moment"  # a date with a time
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    kind: ColumnKind


@dataclass(frozen=True, slots=True)
class Selection:
    """The columns of a stream, side by side in this order, then cut to ``elements``."""

    names: tuple[str, ...]
    elements: slice = field(default_factory=lambda: slice(None))


# What recorders call the measured or commanded joint positions, best first.
_POSITION_WORDS = (
    *(
        "joint",
        "joints",
        "joint_position",
        "joint_positions",
        "joint_pos",
        "joint_q",
        "joint_angle",
    ),
    *("position", "positions", "pos", "qpos", "q", "j", "axis", "motor", "dof", "angle", "angles"),
    *("state", "states", "action", "actions", "cmd", "command", "values", "value", "data"),
)
# Row numbers that data frames and recorders add.
_COUNTER_WORDS = {
    *("index", "idx", "id", "seq", "sequence", "frame", "frame_id", "frame_index", "row", "count"),
    *("episode_index", "task_index", "level_0", "__index_level_0__", "unnamed: 0"),
}
_NUMBERED = re.compile(r"(.*?)[ _.\-]?\[?(\d+)\]?", re.DOTALL)
_FIELD = re.compile(r"(?P<name>[^\[\]]+?)\s*(?:\[(?P<slice>-?\d+|-?\d*(?::-?\d*){1,2})\])?")


def stamp_column(columns: Sequence[Column], what: str) -> tuple[Column, str | None]:
    """The column of stamps and the unit its name gives, if it does.

    Raises ``Refused`` (missing_field) if no name means a stamp and not exactly one column is a
    date.
    """
    usable = {c.name: c for c in columns if c.kind in (ColumnKind.NUMBER, ColumnKind.MOMENT)}
    if (found := time_column(list(usable))) is not None:
        return usable[found.name], found.unit
    moments = [column for column in columns if column.kind is ColumnKind.MOMENT]
    if len(moments) == 1:
        return moments[0], None
    raise Refused(
        Reason.MISSING_FIELD,
        f"{what} has no column of numbers or dates named like a time (timestamps, time, ts, "
        f"stamp); it has {_listed(columns)}",
    )


def value_columns(columns: Sequence[Column], stream: StreamConfig | None, what: str) -> Selection:
    """The columns that hold a stream's values.

    ``columns`` of the configuration names them; ``field`` names one column or the beginning of
    several, with an optional slice (``position[0:7]``). Without these: the columns that
    ``joint_names`` names, else the numbered ones (``joint_0``, ``joint_1``, ...) in the order of
    their numbers, else a column of lists, else all numbers. Where the stream has a topic as well,
    a ``field`` or ``joint_names`` that the file does not have are taken to be for bags. Raises
    ``Refused`` (missing_field).
    """
    usable = [c for c in columns if c.kind in (ColumnKind.NUMBER, ColumnKind.LIST)]
    if stream is not None and (named := _named(stream, usable, columns, what)) is not None:
        return named
    values = [c for c in usable if not is_time_column(c.name) and not is_counter(c.name)]
    chosen = _guessed(values, stream.expected_dimension if stream is not None else None)
    if not chosen:
        raise Refused(
            Reason.MISSING_FIELD,
            f"{what} has no numbers besides its stamps; it has {_listed(columns)}",
        )
    return Selection(tuple(chosen))


def _named(
    stream: StreamConfig, usable: Sequence[Column], columns: Sequence[Column], what: str
) -> Selection | None:
    if stream.columns:
        return Selection(_all_there(stream.columns, usable, columns, what))
    try:
        if stream.field is not None:
            return _of_field(stream.field, usable, columns, what)
        if stream.joint_names:
            return Selection(_all_there(stream.joint_names, usable, columns, what))
    except Refused:
        if stream.topic is None:
            raise
    return None


def _guessed(values: Sequence[Column], expected: int | None) -> list[str]:
    numbers = [c.name for c in values if c.kind is ColumnKind.NUMBER]
    lists = [c.name for c in values if c.kind is ColumnKind.LIST]
    groups = numbered_groups(numbers)
    known = [word for word in _POSITION_WORDS if word in groups]
    group = groups[known[0]] if known else []
    if group and expected is not None and len(group) != expected == len(numbers):
        return numbers
    if group:
        return group
    if lists:
        by_rank = sorted(lists, key=lambda name: (_rank(name), lists.index(name)))
        return by_rank[:1]
    if len(groups) == 1 and len(only := next(iter(groups.values()))) == len(numbers):
        return only
    return numbers


def numbered_groups(names: Sequence[str]) -> dict[str, list[str]]:
    """``joint_10`` and ``joint_9`` under "joint", in the order of their numbers."""
    groups: dict[str, list[tuple[int, str]]] = {}
    for name in names:
        if (match := _NUMBERED.fullmatch(name)) is not None:
            groups.setdefault(match[1].lower(), []).append((int(match[2]), name))
    return {prefix: [name for _, name in sorted(found)] for prefix, found in groups.items()}


def _of_field(
    field: str, usable: Sequence[Column], columns: Sequence[Column], what: str
) -> Selection:
    match = _FIELD.fullmatch(field.strip())
    if match is None:
        raise Refused(
            Reason.MISSING_FIELD, f'{what}: cannot read the field "{field}"; write name[start:stop]'
        )
    name, taken = match["name"], match["slice"]
    elements = slice(None) if taken is None else parse_slice(taken)
    exact = [c.name for c in usable if c.name == name]
    if exact:
        return Selection(tuple(exact), elements)
    group = numbered_groups([c.name for c in usable]).get(name.rstrip("_.- ").lower())
    found = group or [c.name for c in usable if c.name.startswith(name)]
    if not found:
        raise Refused(
            Reason.MISSING_FIELD,
            f'{what} has no column of numbers "{name}" or beginning so; it has {_listed(columns)}',
        )
    return Selection(tuple(found), elements)


def _all_there(
    names: Sequence[str], usable: Sequence[Column], columns: Sequence[Column], what: str
) -> tuple[str, ...]:
    missing = [name for name in names if name not in {column.name for column in usable}]
    if missing:
        raise Refused(
            Reason.MISSING_FIELD,
            f"{what} has no column of numbers {', '.join(missing)}; it has {_listed(columns)}",
        )
    return tuple(names)


def _rank(name: str) -> int:
    lower = name.lower()
    return _POSITION_WORDS.index(lower) if lower in _POSITION_WORDS else len(_POSITION_WORDS)


def is_counter(name: str) -> bool:
    """Whether a name is that of the row numbers that data frames and recorders add."""
    return name.strip().lower() in _COUNTER_WORDS


def _listed(columns: Sequence[Column]) -> str:
    names = [column.name for column in columns]
    shown = ", ".join(names[:12]) or "none"
    return shown if len(names) <= 12 else f"{shown} and {len(names) - 12} more"
