"""The first pass: stamps, numbers, and both ends of every picture, in one walk over the file."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.model import Stamps, StreamKind, Vectors
from lerobot_pipelines.recordings.calibration import calibrated, shifted
from lerobot_pipelines.recordings.ros import pictures
from lerobot_pipelines.recordings.ros.clocks import NO_STAMP, stamps_by
from lerobot_pipelines.recordings.ros.container import BagFile, LostMessage, Message, Rows
from lerobot_pipelines.recordings.ros.fields import FieldError, Selection, Values
from lerobot_pipelines.recordings.ros.layout import Layouts
from lerobot_pipelines.recordings.ros.message_types import BadMessage, Codec
from lerobot_pipelines.recordings.ros.plan import StreamPlan, Topic
from lerobot_pipelines.recordings.ros.tally import Faults
from lerobot_pipelines.recordings.stamps import chronological

# Faults that say more than that the bag is damaged.
_REASONS = {
    "non_finite": Reason.NON_FINITE,
    "missing_field": Reason.MISSING_FIELD,
    "empty": Reason.MISSING_FIELD,
    "dimension_changed": Reason.MISSING_FIELD,
    **dict.fromkeys(("unsupported_picture", "unsupported_encoding"), Reason.UNSUPPORTED),
    "bad_depth_header": Reason.UNSUPPORTED,
}


class Survey:
    """What the first pass learns of one stream."""

    def __init__(self, plan: StreamPlan, faults: Faults, *, with_values: bool) -> None:
        """Raises ``Refused`` (missing_field) if the topic's type has not the field asked for."""
        self.plan = plan
        self.clock = plan.clock  # the one in use, once ``finish`` knows it
        self.details: dict[str, Any] = {"type": plan.topic.type_name}
        if digest := next((c.digest for c in plan.topic.connections if c.digest), None):
            # Tells which version of the robot's software defined the type.
            self.details["rihs01" if digest.startswith("RIHS01_") else "md5"] = digest
        self._faults = faults
        self._damage: Counter[str] = Counter()
        self._seen = 0
        self._with_values = with_values
        self._rows = array("q")
        self._header_stamps = array("q")
        self._values = array("d")
        self._lengths = array("q")
        self._selections: dict[Codec, Selection] = {}
        self._layouts: dict[Codec, Layouts] = {}
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

    # One message --------------------------------------------------------------------------------

    def lost(self, lost: LostMessage) -> None:
        self._awaits_key_frame = True
        self._seen += 1
        self._note(lost.where, lost.reason)

    def take(
        self, row: int, receive_ns: int, codec: Codec, message: Message, lazy: _Decoded
    ) -> None:
        self._seen += 1
        where = f"message received at {receive_ns} ns"
        stamp = codec.header_stamp(message)
        if self.plan.kind is StreamKind.PICTURE:
            if not self._take_picture(message, lazy, where):
                return
        elif self._with_values and not self._take_values(codec, lazy, where):
            return
        self._rows.append(row)
        self._header_stamps.append(NO_STAMP if stamp is None else stamp)

    def _note(self, where: str, reason: str, count: int = 1) -> None:
        """Messages that hold nothing usable."""
        self._damage[reason] += count
        self._faults.add(self.plan.name, where, reason, count)

    def _take_picture(self, message: Message, lazy: _Decoded, where: str) -> bool:
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
        fault = pictures.fault_of(message, encoding)
        if encoding in pictures.VIDEO_ENCODINGS and self._awaits_key_frame:
            try:
                self._awaits_key_frame = not pictures.begins_anew(lazy.get(), encoding)
            except BadMessage:
                fault = "bad_message"
            if self._awaits_key_frame and fault is None:
                # No damage: a recording may begin anywhere.
                self._faults.add(self.plan.name, where, "before_key_frame")
                return False
        if fault is not None:
            self._note(where, fault)
        return fault is None

    def _take_values(self, codec: Codec, lazy: _Decoded, where: str) -> bool:
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
            self._seen -= 1
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
            values = values[order]
            if self.plan.stream is not None and len(values):
                values = calibrated(values, self.plan.stream)
        return rows[order], stamps, values

    def refuse_damaged(self, limit: float) -> None:
        """Raises ``Refused`` if more than that share of the stream is not usable."""
        damaged = self._damage.total()
        if damaged <= limit * self._seen:
            return
        worst = self._damage.most_common(1)[0][0]
        is_picture = self.plan.kind is StreamKind.PICTURE
        usual = Reason.CORRUPT_PICTURE if is_picture else Reason.CORRUPT_CONTAINER
        reasons = ", ".join(f"{count} {reason}" for reason, count in self._damage.most_common())
        raise Refused(
            _REASONS.get(worst, usual),
            f"{'camera' if is_picture else 'stream'} {self.plan.name}: {damaged} of {self._seen} "
            f"messages of {self.plan.topic.name} cannot be used ({reasons}); at most {limit:.0%} "
            f"may be (filtering.max_corrupt_fraction){self._hint()}",
        )

    def _hint(self) -> str:
        return f"; the last fault: {self._last_error}" if self._last_error else ""

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


class _Decoded:
    """A message read and decoded at most once, however many streams come from its topic."""

    def __init__(self, codec: Codec, message: Message) -> None:
        self._codec = codec
        self._message = message
        self._raw: memoryview | None = None
        self._value: Any = None

    @property
    def raw(self) -> memoryview:
        if self._raw is None:
            self._raw = self._message.whole()
        return self._raw

    def get(self) -> Any:
        if self._value is None:
            self._value = self._codec.decode(self.raw)
        return self._value


def walk(file: BagFile, surveys: Sequence[Survey]) -> None:
    """Show every message to the surveys of its topic, in file order."""
    by_connection: dict[int, tuple[Codec, list[Survey]]] = {}
    for survey in surveys:
        for id, codec in survey.plan.topic.codecs.items():
            by_connection.setdefault(id, (codec, []))[1].append(survey)
    index = file.index
    rows = np.flatnonzero(np.isin(index.connections, list(by_connection)))
    for row in rows.tolist():
        codec, takers = by_connection[int(index.connections[row])]
        try:
            message = file.message(row)
            lazy = _Decoded(codec, message)
            receive_ns = int(index.stamps[row])
            for survey in takers:
                survey.take(row, receive_ns, codec, message, lazy)
        except LostMessage as lost:
            for survey in takers:
                survey.lost(lost)


def dimension_of(file: BagFile, topic: Topic, survey: Survey) -> int | None:
    """How many numbers the topic's first readable message has; None if none is readable."""
    for row in np.flatnonzero(np.isin(file.index.connections, list(topic.codecs)))[:20].tolist():
        codec = topic.codecs[int(file.index.connections[row])]
        try:
            decoded = _Decoded(codec, file.message(row)).get()
            values = survey.selection_of(codec).values(decoded)
        except (LostMessage, BadMessage, FieldError):
            continue
        if values is not None:
            return len(values)
    return None
