"""Numbers in the first pass: of every message, by the field and the joints that are asked for."""

from __future__ import annotations

from array import array

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.recordings.ros.batch import Batch, Decoded
from lerobot_pipelines.recordings.ros.blocks import Flags
from lerobot_pipelines.recordings.ros.fields import FieldError, Selection, Values
from lerobot_pipelines.recordings.ros.findings import Findings, where_received
from lerobot_pipelines.recordings.ros.layout import Layout, Layouts
from lerobot_pipelines.recordings.ros.message_types import BadMessage, Codec
from lerobot_pipelines.recordings.ros.plan import StreamPlan
from lerobot_pipelines.recordings.ros.survey_content import Content, Way


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


class ValueContent(Content):
    """Collects the numbers of every message; ``matrix`` puts them together."""

    def __init__(self, findings: Findings, chosen: dict[Codec, Selection]) -> None:
        self._findings = findings
        self._selections = chosen
        self._layouts = {codec: Layouts(codec, selection) for codec, selection in chosen.items()}
        self._values = array("d")
        self._lengths = array("q")

    @property
    def learned(self) -> int:
        return sum(layouts.learned for layouts in self._layouts.values())

    def ways(self, batch: Batch) -> list[Way]:
        return [Way(one.fits(batch), one) for one in self._layouts[batch.codec].known]

    def interrupted(self) -> None:
        pass

    def take_many(self, batch: Batch, part: slice, layout: Layout | None) -> Flags | None:
        assert layout is not None
        chosen = np.zeros(len(batch), np.bool_)
        chosen[part] = True
        values = layout.many(batch, chosen)
        if layout.is_reordered:
            self._selections[batch.codec].reordered += len(values)
        finite: Flags = np.all(np.isfinite(values), axis=1)
        if not finite.all():
            where = where_received(batch.received[part][~finite][0])
            self._findings.lost(where, "non_finite", int(np.count_nonzero(~finite)))
            values = values[finite]
        self._lengths.frombytes(np.full(len(values), values.shape[1], np.int64).tobytes())
        self._values.frombytes(np.ascontiguousarray(values).tobytes())
        return finite

    def take(self, codec: Codec, lazy: Decoded, where: str) -> bool:
        layouts = self._layouts[codec]
        if (known := layouts.values(lazy.raw)) is not None:
            return self._keep(known, where)
        try:
            values = self._selections[codec].values(lazy.get())
        except FieldError as error:
            self._findings.last_error = str(error)
            self._findings.lost(where, "missing_field")
            return False
        except BadMessage:
            self._findings.lost(where, "bad_message")
            return False
        if values is None:
            details = self._findings.details
            details["other_messages"] = details.get("other_messages", 0) + 1
            self._findings.damage.seen -= 1
            return False
        layouts.learn(lazy.raw, values)
        return self._keep(values, where)

    def _keep(self, values: Values, where: str) -> bool:
        if len(values) == 0:
            self._findings.last_error = "the field is empty"
            self._findings.lost(where, "empty")
            return False
        if not np.isfinite(values).all():
            self._findings.lost(where, "non_finite")
            return False
        self._lengths.append(len(values))
        self._values.frombytes(np.ascontiguousarray(values, np.float64).tobytes())
        return True

    def matrix(self) -> tuple[Values, NDArray[np.bool_]]:
        """Samples of one dimension, (count, dimension), and which of the kept messages they are.

        Raises ``Refused`` (missing_field) if no message had what is asked for.
        """
        lengths = np.array(self._lengths, dtype=np.int64)
        if len(lengths) == 0:
            if self._findings.last_error:
                raise self._findings.refused(self._findings.last_error)
            return np.empty((0, 0)), np.empty(0, np.bool_)
        config = self._findings.plan.stream
        expected = config.expected_dimension if config else None
        usual = int(np.bincount(lengths).argmax())
        # Where no sample has the expected length the alignment says so, in its own words.
        dimension = expected if expected is not None and (lengths == expected).any() else usual
        keep: NDArray[np.bool_] = lengths == dimension
        self._findings.lost("whole stream", "dimension_changed", int(np.count_nonzero(~keep)))
        flat = np.frombuffer(self._values, dtype=np.float64)
        if not keep.all():
            flat = flat[np.repeat(keep, lengths)]
        return flat.reshape(-1, dimension), keep
