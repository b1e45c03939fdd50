"""The samples of a stream out of all messages of its topic: which ones, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.model import Stamps
from lerobot_pipelines.recordings.ros.blocks import Flags
from lerobot_pipelines.recordings.ros.container import Rows
from lerobot_pipelines.recordings.ros.fields import Values
from lerobot_pipelines.recordings.ros.findings import Findings, where_received
from lerobot_pipelines.recordings.ros.joint_sets import JointSet, shortened
from lerobot_pipelines.recordings.ros.selection import Columns
from lerobot_pipelines.recordings.ros.survey_values import Group, ValueContent

# Rows looked at together for numbers that are not finite.
_FINITE_ROWS = 1 << 16


@dataclass(frozen=True, slots=True)
class Chosen:
    """The groups that make one stream, each with the columns of its numbers in the stream's order.

    ``joints`` is the set they are about, None where joints were asked for by name;
    ``joints_taken`` those whose numbers are in the stream, none where numbers have no names.
    """

    groups: tuple[tuple[Group, Columns], ...]
    element_names: tuple[str, ...] | None
    joints: JointSet | None = None
    joints_taken: frozenset[str] = frozenset()
    suffix: str = ""  # tells this stream from others of its topic


@dataclass(slots=True)
class Assembled:
    """``keep`` are the messages that are samples, of all that were kept, (n,)."""

    keep: Flags
    dimension: int | None
    values: Values | None  # (count, dimension); None if only shapes were collected


@dataclass(slots=True)
class Messages:
    """The kept messages of a topic by group; places and stamps are theirs, (n,) each."""

    content: ValueContent
    rows: Rows
    received: Stamps
    numbers: NDArray[np.intc] = field(init=False)
    counts: Rows = field(init=False)

    def __post_init__(self) -> None:
        self.numbers = np.frombuffer(self.content.numbers, np.intc)
        self.counts = np.bincount(self.numbers, minlength=len(self.content.groups))

    def spans(self) -> tuple[Rows, Rows]:
        """The first and last place in the file of each group's messages."""
        first = np.full(len(self.counts), np.iinfo(np.int64).max)
        last = np.full(len(self.counts), -1)
        np.minimum.at(first, self.numbers, self.rows)
        np.maximum.at(last, self.numbers, self.rows)
        return first, last

    def of(self, group: Group) -> Flags:
        found: Flags = self.numbers == group.number
        return found

    def count(self, groups: Sequence[Group]) -> int:
        return sum(int(self.counts[group.number]) for group in groups)


def assemble(messages: Messages, chosen: Chosen, findings: Findings) -> Assembled:
    """The samples of one dimension: the expected one if it is there, else the usual one.

    Notes what it leaves out: other dimensions, numbers that are not finite.
    """
    used = chosen.groups
    if not used:
        none = np.zeros(len(messages.numbers), np.bool_)
        return Assembled(none, None, np.empty((0, 0)) if messages.content.keeps else None)
    dimension = _dimension(messages, used, findings)
    other = messages.count([group for group, columns in used if len(columns) != dimension])
    findings.lost("whole stream", "dimension_changed", other)
    used = tuple((group, columns) for group, columns in used if len(columns) == dimension)
    keep = np.isin(messages.numbers, [group.number for group, _ in used])
    if not messages.content.keeps:
        return Assembled(keep, dimension, None)
    values = _values(messages, used, keep, dimension)
    finite = _finite(values)
    if not finite.all():
        where = where_received(int(messages.received[keep][~finite][0]))
        findings.last_error = _not_finite(values[~finite], chosen.element_names)
        findings.lost(where, "non_finite", int(np.count_nonzero(~finite)))
        keep[keep] = finite
        values = values[finite]
    return Assembled(keep, dimension, values)


def _dimension(
    messages: Messages, used: Sequence[tuple[Group, Columns]], findings: Findings
) -> int:
    counts: dict[int, int] = {}
    for group, columns in used:
        counts[len(columns)] = counts.get(len(columns), 0) + messages.count([group])
    config = findings.plan.stream
    expected = config.expected_dimension if config else None
    # Where no sample has the expected length the alignment says so, in its own words.
    if expected in counts:
        return expected
    return min(counts, key=lambda length: (-counts[length], length))


def _values(
    messages: Messages, used: Sequence[tuple[Group, Columns]], keep: Flags, dimension: int
) -> Values:
    """(count, dimension); the groups' own numbers are let go of."""
    if len(used) == 1:
        return _picked(*used[0])
    kept = messages.numbers[keep]
    values = np.empty((len(kept), dimension))
    for group, columns in used:
        values[kept == group.number] = _picked(group, columns)
        group.values = group.values[:0]
    return values


def _picked(group: Group, columns: Columns) -> Values:
    flat = np.frombuffer(group.values, np.float64).reshape(-1, group.width)
    if np.array_equal(columns, np.arange(group.width)):
        return flat
    return flat[:, columns]


def _not_finite(values: Values, names: Sequence[str] | None) -> str:
    """Which numbers of these samples are not, and what to do about it."""
    which = np.flatnonzero(~np.isfinite(values).all(axis=0)).tolist()
    listed = [names[at] if names else f"number {at}" for at in which]
    some = "" if len(which) == values.shape[1] else "; take others with joint_names or field"
    return f"not finite: {shortened(listed)}{some}"


def _finite(values: Values) -> Flags:
    parts = [
        np.isfinite(values[start : start + _FINITE_ROWS]).all(axis=1)
        for start in range(0, len(values), _FINITE_ROWS)
    ]
    return np.concatenate(parts) if parts else np.ones(0, np.bool_)


def spread(rows: Rows, found: Rows, values: Values | None) -> Values:
    """Values of the rows a stream lists; those whose message has none become NaN."""
    if values is None or not len(values):
        return np.empty((len(rows), 0))
    result = np.full((len(rows), values.shape[1]), np.nan)
    place = {row: at for at, row in enumerate(found.tolist())}
    for at, row in enumerate(rows.tolist()):
        if row in place:
            result[at] = values[place[row]]
    return result
