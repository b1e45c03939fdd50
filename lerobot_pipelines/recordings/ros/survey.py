"""The first pass: stamps, numbers, and both ends of every picture, in one walk over the file."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.config.schema import DEFAULT_LIMITS, LimitsConfig
from lerobot_pipelines.intake import Intake
from lerobot_pipelines.model import ClockStep, Stamps, StreamKind, Vectors
from lerobot_pipelines.recordings.calibration import calibrated, shifted, shifted_steps
from lerobot_pipelines.recordings.chronology import put_in_order
from lerobot_pipelines.recordings.chronology_report import report_chronology
from lerobot_pipelines.recordings.joint_units import note_doubtful_angles
from lerobot_pipelines.recordings.ros.batch import Batch
from lerobot_pipelines.recordings.ros.clocks import NO_STAMP, stamps_by
from lerobot_pipelines.recordings.ros.container import LostMessage, Rows
from lerobot_pipelines.recordings.ros.damage import Damage
from lerobot_pipelines.recordings.ros.fields import Values
from lerobot_pipelines.recordings.ros.findings import Findings, where_received
from lerobot_pipelines.recordings.ros.frame_ids import FrameIds
from lerobot_pipelines.recordings.ros.layout import Layout
from lerobot_pipelines.recordings.ros.plan import StreamPlan
from lerobot_pipelines.recordings.ros.stream_joints import StreamJoints, require_samples
from lerobot_pipelines.recordings.ros.survey_content import Content, Way
from lerobot_pipelines.recordings.ros.survey_pictures import PictureContent
from lerobot_pipelines.recordings.ros.survey_values import ValueContent, selections
from lerobot_pipelines.recordings.ros.tally import Faults
from lerobot_pipelines.recordings.ros.unused import TopicUse
from lerobot_pipelines.recordings.ros.value_rows import Chosen, Messages, assemble


class Survey:
    """What the first pass learns of one stream.

    What a message must hold to be kept is its ``Content``'s to say: pictures, values, or nothing.
    """

    def __init__(
        self,
        plan: StreamPlan,
        faults: Faults,
        intake: Intake,
        *,
        with_values: bool,
        limits: LimitsConfig = DEFAULT_LIMITS,
    ) -> None:
        """Raises ``Refused`` (missing_field) if the topic's type has not the field asked for."""
        self.plan = plan
        self.clock = plan.clock  # the one in use, once ``finish`` knows it
        self.steps: tuple[ClockStep, ...] = ()  # of that clock, likewise
        self.dimension: int | None = None  # of the values, likewise
        self._findings = Findings(plan, faults, intake)
        self.details["type"] = plan.topic.type_name
        if digest := next((c.digest for c in plan.topic.connections if c.digest), None):
            # Tells which version of the robot's software defined the type.
            self.details["rihs01" if digest.startswith("RIHS01_") else "md5"] = digest
        self._frames = FrameIds()
        self._rows = array("q")
        self._header_stamps = array("q")
        self._chosen: Chosen | None = None  # of the values, once ``parts`` has been asked
        self._values: ValueContent | None = None
        if plan.kind is StreamKind.VECTOR:
            chosen = selections(plan, self._findings)
            self._values = ValueContent(self._findings, chosen, keeps=with_values, limits=limits)
        self._pictures: PictureContent | None = None
        if plan.kind is StreamKind.PICTURE:
            self._pictures = PictureContent(self._findings, limits.max_pixels)
        content = self._values or self._pictures
        assert content is not None  # a stream is one or the other
        self._content: Content = content

    @property
    def details(self) -> dict[str, Any]:
        return self._findings.details

    # Messages -----------------------------------------------------------------------------------

    def take(self, batch: Batch) -> None:
        """The messages of one connection in a part of the file, in its order."""
        at = 0
        self._frames.see(batch)
        while at < len(batch):
            # Only where stamps stand at the beginning can messages be taken together.
            ways = self._content.ways(batch) if batch.codec.has_layout else []
            at = self._take_until_wiser(batch, at, ways)

    def _take_until_wiser(self, batch: Batch, at: int, ways: Sequence[Way]) -> int:
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
                before = self._content.learned
                self._take_single(batch, one)
                if self._content.learned != before:
                    return one + 1
        return len(batch)

    def _take_together(self, batch: Batch, part: slice, layout: Layout | None) -> None:
        rows, stamps = batch.rows[part], batch.header_stamps[part]
        self._findings.damage.seen += len(rows)
        kept = self._content.take_many(batch, part, layout)
        if kept is not None and not kept.all():
            rows, stamps = rows[kept], stamps[kept]
        self._rows.frombytes(rows.tobytes())
        self._header_stamps.frombytes(stamps.tobytes())

    def _take_single(self, batch: Batch, at: int) -> None:
        self._findings.damage.seen += 1
        try:
            single = batch.single(at)
            stamp = batch.codec.header_stamp(single.message)
            if not batch.codec.has_layout:
                self._frames.see_decoded(single)
            if not self._content.take(batch.codec, single, where_received(batch.received[at])):
                return
        except LostMessage as lost:
            self._content.interrupted()
            self._findings.lost(lost.where, lost.reason)
            return
        self._rows.append(int(batch.rows[at]))
        self._header_stamps.append(NO_STAMP if stamp is None else stamp)

    # All of them --------------------------------------------------------------------------------

    def parts(self, receive_stamps: Stamps) -> list[Survey]:
        """One survey for each stream of the topic: this one, unless there is no configuration.

        Raises ``Refused`` (missing_field) if no message has what is asked for, ``NotAStream`` if
        nothing is asked for and the messages are not alike enough to be samples.
        """
        if self._values is None:
            return [self]
        found = StreamJoints(self._messages(self._values, receive_stamps), self._findings).choose()
        if self.plan.stream is None:
            messages = self._messages(self._values, receive_stamps)
            require_samples(messages, found, self._findings)
        if self.plan.part:
            found = [one for one in found if one.suffix == self.plan.part] or found[:1]
        if len(found) == 1:
            self._chosen = found[0]
            return [self]
        return [self._part(one) for one in found]

    def _part(self, chosen: Chosen) -> Survey:
        part = copy(self)
        part.plan = replace(self.plan, name=f"{self.plan.name}:{chosen.suffix}", part=chosen.suffix)
        part._chosen = chosen
        part._findings = replace(
            self._findings, plan=part.plan, damage=Damage(), details=dict(self.details)
        )
        if chosen.joints is not None and chosen.joints.joints is not None:
            part.details["joint_names"] = list(chosen.joints.names)
        return part

    def _messages(self, content: ValueContent, receive_stamps: Stamps) -> Messages:
        rows = np.array(self._rows, dtype=np.int64)
        return Messages(content, rows, receive_stamps[rows])

    def finish(self, receive_stamps: Stamps) -> tuple[Rows, Stamps, Vectors | None]:
        """Rows, stamps and values in the order of time, (count,), (count,), (count, dimension).

        Asks for ``parts`` first, of which it must be the only one.
        """
        rows = np.array(self._rows, dtype=np.int64)
        headers = np.array(self._header_stamps, dtype=np.int64)
        keep = np.ones(len(rows), np.bool_)
        values: Vectors | None = None
        if self._values is not None:
            if self._chosen is None:
                self.parts(receive_stamps)
            assert self._chosen is not None
            messages = self._messages(self._values, receive_stamps)
            found = assemble(messages, self._chosen, self._findings)
            keep, values, self.dimension = found.keep, found.values, found.dimension
        rows, headers = rows[keep], headers[keep]
        # Connections of one topic are taken one after the other within a part of the file.
        in_file = np.argsort(rows, kind="stable")
        rows, headers = rows[in_file], headers[in_file]
        faults, name = self._findings.faults, self.plan.name
        clocked = stamps_by(self.plan.clock, receive_stamps[rows], headers)
        self.clock = clocked.clock
        self.details.update(clocked.details)
        faults.add(name, "whole stream", "zero_stamp", clocked.unstamped)
        in_time = put_in_order(clocked.stamps, clocked.jumps)
        if in_time.backwards:
            self.details["non_monotonic"] = in_time.backwards
        faults.add(name, "whole stream", "duplicate_stamp", in_time.repeated)
        faults.add(name, "whole stream", "stray_stamp", len(in_time.strays))
        order, self.steps = in_time.order, in_time.steps
        stamps = clocked.stamps[order]
        report_chronology(self._findings.intake, name, in_time, stamps)
        are_joints = self._chosen is not None and bool(self._chosen.joints_taken)
        self._frames.report(self._findings, are_joints=are_joints)
        if self._pictures is not None:
            self._pictures.finish()
        wish = self.plan.stream or self.plan.camera
        if wish is not None:
            stamps = shifted(stamps, wish)
            self.steps = shifted_steps(self.steps, wish)
        if values is not None:
            values = _in_order(values, in_file[order])
            if self.plan.stream is not None and len(values):
                values = calibrated(values, self.plan.stream)
            wished = self.plan.stream
            note_doubtful_angles(
                *(self._findings.intake, name, values, self.element_names, wished, self.details)
            )
        return rows[order], stamps, values

    def refuse_damaged(self, limit: float) -> None:
        """Raises ``Refused`` if more than that share of the stream is not usable."""
        if self._pictures is not None:
            self._pictures.refuse_unreadable()
        self._findings.damage.refuse_above(limit, self.plan, self._findings.last_error)

    def use(self) -> TopicUse | None:
        """What it takes of its topic's messages, once ``finish`` was asked; None for pictures."""
        if self._values is None or self._chosen is None or not self._chosen.groups:
            return None
        group, sizes = self._chosen.groups[0][0], self._values.sizes
        known = (one.shape.joints for one in self._values.groups.values())
        return TopicUse(
            self.plan,
            sizes,
            group.selection.lists,
            group.selection.taken(group.shape, sizes),
            frozenset().union(*filter(None, known)),
            self._chosen.joints_taken,
        )

    @property
    def element_names(self) -> tuple[str, ...] | None:
        return self._chosen.element_names if self._chosen is not None else None


def _in_order(values: Values, order: NDArray[np.int64]) -> Values:
    """A copy only where it is needed: the numbers of a long recording are its largest part."""
    if len(order) == len(values) and (order == np.arange(len(order))).all():
        return values
    return values[order]
