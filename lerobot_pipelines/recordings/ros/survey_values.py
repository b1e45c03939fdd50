"""Numbers in the first pass: of every message, by the field and the joints that are asked for.

Messages are kept in groups of one shape. Which groups are the stream, and in which order their
numbers are its columns, is decided by ``ValueRows`` when all have been seen.
"""

from __future__ import annotations

from array import array
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from lerobot_pipelines.config.schema import DEFAULT_LIMITS, LimitsConfig
from lerobot_pipelines.recordings.limits import require_table
from lerobot_pipelines.recordings.ros.batch import Batch, Decoded
from lerobot_pipelines.recordings.ros.blocks import Flags
from lerobot_pipelines.recordings.ros.fields import FieldError, Path, Values, flatten
from lerobot_pipelines.recordings.ros.findings import Findings
from lerobot_pipelines.recordings.ros.layout import Layout, Layouts
from lerobot_pipelines.recordings.ros.message_types import BadMessage, Codec
from lerobot_pipelines.recordings.ros.plan import StreamPlan
from lerobot_pipelines.recordings.ros.selection import Columns, Selection, Shape
from lerobot_pipelines.recordings.ros.survey_content import Content, Way

# Lists of names that differ, and lengths: more are no robot's.
MAX_SHAPES = 1024

# Decoded messages in which it is looked up which fields hold numbers.
_MAX_LOOKED_INTO = 16


def selections(plan: StreamPlan, findings: Findings) -> dict[Codec, Selection]:
    """What the plan takes of each type its topic has.

    Raises ``Refused`` (missing_field) if a type has not the field asked for.
    """
    config = plan.stream
    made: dict[Codec, Selection] = {}
    for codec in plan.topic.codecs.values():
        if codec not in made:
            try:
                made[codec] = Selection(
                    codec,
                    config.field if config else None,
                    config.joint_names if config else None,
                )
            except FieldError as error:
                raise findings.refused(str(error)) from error
    return made


@dataclass(slots=True)
class Group:
    """Messages of one shape. ``columns`` were taken of each, None: all; ``values`` are these.

    ``has_all`` is false where joints that were asked for are not in the messages.
    """

    number: int
    selection: Selection
    shape: Shape
    columns: Columns | None
    has_all: bool
    width: int
    values: array[float] = field(default_factory=lambda: array("d"))


class ValueContent(Content):
    """Collects the numbers of every message, or (without ``keeps``) their shapes alone.

    Joints that a configuration names are picked at once; messages that have not all of them leave
    no numbers behind.
    """

    def __init__(
        self,
        findings: Findings,
        chosen: dict[Codec, Selection],
        *,
        keeps: bool,
        limits: LimitsConfig = DEFAULT_LIMITS,
    ) -> None:
        self.groups: dict[tuple[Codec, Shape], Group] = {}
        self.numbers = array("i")  # of the group of each kept message
        self.sizes: dict[str, int] = {}  # the most numbers seen in each field of the messages
        self.keeps = keeps
        self._findings = findings
        self._selections = chosen
        self._layouts = {codec: Layouts(codec, selection) for codec, selection in chosen.items()}
        self._looked_into = 0
        self._limits = limits
        self._held = 0  # numbers kept so far

    @property
    def learned(self) -> int:
        return sum(layouts.learned for layouts in self._layouts.values())

    def ways(self, batch: Batch) -> list[Way]:
        return [Way(one.fits(batch), one) for one in self._layouts[batch.codec].known]

    def interrupted(self) -> None:
        pass

    def take_many(self, batch: Batch, part: slice, layout: Layout | None) -> Flags | None:
        assert layout is not None
        group = self.groups[batch.codec, layout.shape]
        count = len(batch.rows[part])
        if self.keeps and group.width:
            chosen = np.zeros(len(batch), np.bool_)
            chosen[part] = True
            values = layout.many(batch, chosen)
            group.values.frombytes(np.ascontiguousarray(values).tobytes())
            self._require_room(values.size)
        self.numbers.frombytes(np.full(count, group.number, np.intc).tobytes())
        return None

    def take(self, codec: Codec, lazy: Decoded, where: str) -> bool:
        layouts = self._layouts[codec]
        if (known := layouts.find(lazy.raw)) is not None:
            return self._keep(self.groups[codec, known[0].shape], known[1])
        try:
            message = lazy.get()
            sample = self._selections[codec].sample(message)
        except FieldError as error:
            self._findings.last_error = str(error)
            self._findings.lost(where, "missing_field")
            return False
        except BadMessage:
            self._findings.lost(where, "bad_message")
            return False
        group = self.groups.get((codec, sample.shape))
        if group is None:
            if len(self.groups) >= MAX_SHAPES:
                self._findings.last_error = f"messages have more than {MAX_SHAPES} shapes"
                self._findings.lost(where, "missing_field")
                return False
            group = self._new_group(codec, sample.shape)
        layout = layouts.learn(lazy.raw, sample, group.columns)
        self._see(codec, layout, message)
        picked = sample.values if group.columns is None else sample.values[group.columns]
        return self._keep(group, picked)

    def _new_group(self, codec: Codec, shape: Shape) -> Group:
        selection = self._selections[codec]
        columns = selection.columns(shape, selection.wanted) if selection.wanted else None
        has_all = columns is not None or not selection.wanted
        if not has_all:
            columns = np.empty(0, np.int64)
        width = sum(shape.lengths) if columns is None else len(columns)
        group = Group(len(self.groups), selection, shape, columns, has_all, width)
        self.groups[codec, shape] = group
        return group

    def _keep(self, group: Group, values: Values) -> bool:
        if self.keeps and group.width:
            group.values.frombytes(np.ascontiguousarray(values, np.float64).tobytes())
            self._require_room(values.size)
        self.numbers.append(group.number)
        return True

    def _require_room(self, added: int) -> None:
        """Raises ``Refused`` (too_large): a packed bag may hold far more than its size."""
        self._held += added
        plan = self._findings.plan
        what = f"stream {plan.name} (topic {plan.topic.name})"
        require_table(what, len(self.numbers), self._held, self._limits)

    def _see(self, codec: Codec, layout: Layout | None, message: object) -> None:
        """Which fields hold numbers; looked up in some messages, as most are alike."""
        if layout is None and self._looked_into >= _MAX_LOOKED_INTO:
            return
        self._looked_into += layout is None
        found = layout.sizes if layout is not None else _sizes_of(codec, message)
        for path, size in found.items():
            self.sizes[path] = max(size, self.sizes.get(path, 0))


def _sizes_of(codec: Codec, message: object) -> dict[str, int]:
    """How many numbers each field of a message holds, lists of messages as a whole."""
    found: dict[str, int] = {}
    for leaf in codec.numeric_leaves():
        with suppress(FieldError):
            found[leaf.path] = len(flatten(Path(leaf.path).read(message)))
    return found
