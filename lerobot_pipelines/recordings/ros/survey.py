"""The first pass: stamps, numbers, and both ends of every picture, in one walk over the file."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.intake import Intake
from lerobot_pipelines.model import Stamps, StreamKind, Vectors
from lerobot_pipelines.recordings.calibration import calibrated, shifted
from lerobot_pipelines.recordings.ros import pictures
from lerobot_pipelines.recordings.ros.batch import Batch, Decoded
from lerobot_pipelines.recordings.ros.blocks import Flags
from lerobot_pipelines.recordings.ros.clocks import NO_STAMP, stamps_by
from lerobot_pipelines.recordings.ros.container import LostMessage, Rows
from lerobot_pipelines.recordings.ros.damage import Damage
from lerobot_pipelines.recordings.ros.fields import FieldError, Selection, Values
from lerobot_pipelines.recordings.ros.layout import Layout, Layouts
from lerobot_pipelines.recordings.ros.message_types import BadMessage, Codec
from lerobot_pipelines.recordings.ros.plan import StreamPlan
from lerobot_pipelines.recordings.ros.tally import Faults
from lerobot_pipelines.recordings.stamps import chronological

# Where a picture begins changes with the names before it, which rarely change.
_MOST_OFFSETS = 8


class _Way(NamedTuple):
    """Messages that can be taken together, (n,) of a batch; numbers by their layout."""

    fits: Flags
    layout: Layout | None = None


def _where(received_ns: int) -> str:
    return f"message received at {received_ns} ns"


class Survey:
    """What the first pass learns of one stream."""

    def __init__(
        self, plan: StreamPlan, faults: Faults, intake: Intake, *, with_values: bool
    ) -> None:
        """Raises ``Refused`` (missing_field) if the topic's type has not the field asked for."""
        self.plan = plan
        self.clock = plan.clock  # the one in use, once ``finish`` knows it
        self.details: dict[str, Any] = {"type": plan.topic.type_name}
        if digest := next((c.digest for c in plan.topic.connections if c.digest), None):
            # Tells which version of the robot's software defined the type.
            self.details["rihs01" if digest.startswith("RIHS01_") else "md5"] = digest
        self._faults = faults
        self._intake = intake
        self._damage = Damage()
        self._with_values = with_values
        self._rows = array("q")
        self._header_stamps = array("q")
        self._values = array("d")
        self._lengths = array("q")
        self._selections: dict[Codec, Selection] = {}
        self._layouts: dict[Codec, Layouts] = {}
        self._picture_offsets: set[int] = set()  # where in the messages pictures begin
        self._last_error = ""
        self._awaits_key_frame = True  # video: nothing before it, or after a loss, can be shown
        if plan.kind is StreamKind.VECTOR:
            self._selections = self._select()
            self._layouts = {
                codec: Layouts(codec, selection) for codec, selection in self._selections.items()
            }

    def _select(self) -> dict[Codec, Selection]:
        config = self.plan.stream
        made: dict[Codec, Selection] = {}
        for codec in self.plan.topic.codecs.values():
            if codec not in made:
                try:
                    made[codec] = Selection(
                        codec,
                        config.field if config else None,
                        config.joint_names if config else None,
                    )
                except FieldError as error:
                    raise self._refused(str(error)) from error
        return made

    def _refused(self, text: str) -> Refused:
        return Refused(
            Reason.MISSING_FIELD,
            f"stream {self.plan.name} (topic {self.plan.topic.name}): {text}",
        )

    # Messages -----------------------------------------------------------------------------------

    def take(self, batch: Batch) -> None:
        """The messages of one connection in a part of the file, in its order."""
        at = 0
        while at < len(batch):
            ways = self._ways(batch)
            at = self._take_until_wiser(batch, at, ways)

    def _take_until_wiser(self, batch: Batch, at: int, ways: Sequence[_Way]) -> int:
        """Go on until a message taught how others like it can be taken together."""
        chosen = np.full(len(batch), -1)
        for number, way in reversed(list(enumerate(ways))):
            chosen[way.fits] = number
        turns = np.flatnonzero(np.diff(chosen[at:])) + 1 + at
        for start, stop in pairwise([at, *turns.tolist(), len(batch)]):
            if chosen[start] >= 0:
                self._take_together(batch, slice(start, stop), ways[int(chosen[start])].layout)
                continue
            for one in range(start, stop):
                before = self._learned
                self._take_single(batch, one)
                if self._learned != before:
                    return one + 1
        return len(batch)

    def _ways(self, batch: Batch) -> list[_Way]:
        """How messages can be taken without looking at each."""
        if not batch.codec.has_layout:
            return []
        if self.plan.kind is StreamKind.PICTURE:
            encoding = self.details.get("encoding")
            if encoding is None or encoding in pictures.VIDEO_ENCODINGS:
                return []
            return [_Way(pictures.sound(batch, encoding, self._picture_offsets))]
        if not self._with_values:
            return [_Way(batch.sound)]
        return [_Way(one.fits(batch), one) for one in self._layouts[batch.codec].known]

    @property
    def _learned(self) -> int:
        layouts = sum(layouts.learned for layouts in self._layouts.values())
        return layouts + len(self._picture_offsets) + ("encoding" in self.details)

    def _take_together(self, batch: Batch, part: slice, layout: Layout | None) -> None:
        rows, stamps = batch.rows[part], batch.header_stamps[part]
        self._damage.seen += len(rows)
        if layout is not None:
            chosen = np.zeros(len(batch), np.bool_)
            chosen[part] = True
            values = layout.many(batch, chosen)
            if layout.is_reordered:
                self._selections[batch.codec].reordered += len(rows)
            finite = np.isfinite(values).all(axis=1)
            if not finite.all():
                where = _where(batch.received[part][~finite][0])
                self._note(where, "non_finite", int(np.count_nonzero(~finite)))
                rows, stamps, values = rows[finite], stamps[finite], values[finite]
            self._lengths.frombytes(np.full(len(rows), values.shape[1], np.int64).tobytes())
            self._values.frombytes(np.ascontiguousarray(values).tobytes())
        self._rows.frombytes(rows.tobytes())
        self._header_stamps.frombytes(stamps.tobytes())

    def _take_single(self, batch: Batch, at: int) -> None:
        self._damage.seen += 1
        try:
            single = batch.single(at)
            where = _where(batch.received[at])
            stamp = batch.codec.header_stamp(single.message)
            if self.plan.kind is StreamKind.PICTURE:
                if not self._take_picture(batch.codec, single, where):
                    return
            elif self._with_values and not self._take_values(batch.codec, single, where):
                return
        except LostMessage as lost:
            self._awaits_key_frame = True
            self._note(lost.where, lost.reason)
            return
        self._rows.append(int(batch.rows[at]))
        self._header_stamps.append(NO_STAMP if stamp is None else stamp)

    def _note(self, where: str, reason: str, count: int = 1) -> None:
        """Messages that hold nothing usable."""
        self._damage.reasons[reason] += count
        self._faults.add(self.plan.name, where, reason, count)

    def _take_picture(self, codec: Codec, lazy: Decoded, where: str) -> bool:
        encoding = self.details.get("encoding")
        if encoding is None:
            # The first usable picture tells what the others are; they are not decoded.
            try:
                found = pictures.content(lazy.get())
            except (BadMessage, pictures.BadPicture) as error:
                reason = "bad_message" if isinstance(error, BadMessage) else str(error)
                self._note(where, reason)
                return False
            self.details["encoding"] = encoding = found.encoding
            if found.width is not None:
                self.details["width"], self.details["height"] = found.width, found.height
        try:
            # Of other systems' messages the picture lies anywhere, or in base64.
            seen = lazy.message if codec.has_layout else pictures.alone(lazy.get())
            fault = pictures.fault_of(seen, encoding)
        except (BadMessage, pictures.BadPicture) as error:
            fault = "bad_message" if isinstance(error, BadMessage) else str(error)
        if fault is None and encoding in pictures.VIDEO_ENCODINGS and self._awaits_key_frame:
            try:
                self._awaits_key_frame = not pictures.begins_anew(lazy.get(), encoding)
            except BadMessage:
                fault = "bad_message"
            if fault is None and self._awaits_key_frame:
                # No damage: a recording may begin anywhere.
                self._faults.add(self.plan.name, where, "before_key_frame")
                return False
        if fault is not None:
            self._note(where, fault)
        elif len(self._picture_offsets) < _MOST_OFFSETS:
            self._picture_offsets |= pictures.offset_of(lazy.message, encoding)
        return fault is None

    def _take_values(self, codec: Codec, lazy: Decoded, where: str) -> bool:
        layouts = self._layouts[codec]
        if (known := layouts.values(lazy.raw)) is not None:
            return self._keep(known, where)
        try:
            values = self._selections[codec].values(lazy.get())
        except FieldError as error:
            self._last_error = str(error)
            self._note(where, "missing_field")
            return False
        except BadMessage:
            self._note(where, "bad_message")
            return False
        if values is None:
            self.details["other_messages"] = self.details.get("other_messages", 0) + 1
            self._damage.seen -= 1
            return False
        layouts.learn(lazy.raw, values)
        return self._keep(values, where)

    def _keep(self, values: Values, where: str) -> bool:
        if len(values) == 0:
            self._last_error = "the field is empty"
            self._note(where, "empty")
            return False
        if not np.isfinite(values).all():
            self._note(where, "non_finite")
            return False
        self._lengths.append(len(values))
        self._values.frombytes(np.ascontiguousarray(values, np.float64).tobytes())
        return True

    # All of them --------------------------------------------------------------------------------

    def finish(self, receive_stamps: Stamps) -> tuple[Rows, Stamps, Vectors | None]:
        """Rows, strictly increasing stamps and values, (count,), (count,), (count, dimension)."""
        rows = np.array(self._rows, dtype=np.int64)
        headers = np.array(self._header_stamps, dtype=np.int64)
        keep = np.ones(len(rows), np.bool_)
        values: Vectors | None = None
        if self._with_values and self.plan.kind is StreamKind.VECTOR:
            values, keep = self._matrix()
        rows, headers = rows[keep], headers[keep]
        # Connections of one topic are taken one after the other within a part of the file.
        in_file = np.argsort(rows, kind="stable")
        rows, headers = rows[in_file], headers[in_file]
        found = stamps_by(self.plan.clock, receive_stamps[rows], headers)
        self.clock = found.clock
        self.details.update(found.details)
        self._faults.add(self.plan.name, "whole stream", "zero_stamp", found.unstamped)
        order, backwards, repeated = chronological(found.stamps)
        if backwards:
            self.details["non_monotonic"] = backwards
        self._faults.add(self.plan.name, "whole stream", "duplicate_stamp", repeated)
        self._describe_names()
        stamps = found.stamps[order]
        wish = self.plan.stream or self.plan.camera
        if wish is not None:
            stamps = shifted(stamps, wish)
        if values is not None:
            values = _in_order(values, in_file[order])
            if self.plan.stream is not None and len(values):
                values = calibrated(values, self.plan.stream)
        return rows[order], stamps, values

    def refuse_damaged(self, limit: float) -> None:
        """Raises ``Refused`` if more than that share of the stream is not usable."""
        self._damage.refuse_above(limit, self.plan, self._last_error)

    def selection_of(self, codec: Codec) -> Selection:
        return self._selections[codec]

    @property
    def element_names(self) -> tuple[str, ...] | None:
        return next((s.element_names for s in self._selections.values()), None)

    def _describe_names(self) -> None:
        reordered = sum(selection.reordered for selection in self._selections.values())
        if reordered:
            self.details["joint_order_changed"] = reordered

    def _matrix(self) -> tuple[Values, NDArray[np.bool_]]:
        lengths = np.array(self._lengths, dtype=np.int64)
        if len(lengths) == 0:
            if self._last_error:
                raise self._refused(self._last_error)
            return np.empty((0, 0)), np.empty(0, np.bool_)
        config = self.plan.stream
        expected = config.expected_dimension if config else None
        usual = int(np.bincount(lengths).argmax())
        # Where no sample has the expected length the alignment says so, in its own words.
        dimension = expected if expected is not None and (lengths == expected).any() else usual
        keep = lengths == dimension
        self._note("whole stream", "dimension_changed", int(np.count_nonzero(~keep)))
        flat = np.frombuffer(self._values, dtype=np.float64)
        if not keep.all():
            flat = flat[np.repeat(keep, lengths)]
        return flat.reshape(-1, dimension), keep


def _in_order(values: Values, order: NDArray[np.int64]) -> Values:
    """A copy only where it is needed: the numbers of a long recording are its largest part."""
    if len(order) == len(values) and (order == np.arange(len(order))).all():
        return values
    return values[order]
