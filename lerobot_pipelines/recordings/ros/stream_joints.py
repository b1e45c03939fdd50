"""Which of a topic's messages are a stream: those with the joints asked for, or of its one set.

Nothing is decided by the first message: see ``joint_sets``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np

from lerobot_pipelines.intake import IntakeCode, IntakeEntry, Severity
from lerobot_pipelines.recordings.ros.fields import FieldError
from lerobot_pipelines.recordings.ros.findings import Findings
from lerobot_pipelines.recordings.ros.joint_sets import (
    JointSet,
    NamedMessages,
    is_beginning,
    joint_sets,
    judge,
    suffixes,
    told,
    told_sets,
)
from lerobot_pipelines.recordings.ros.selection import Shape
from lerobot_pipelines.recordings.ros.survey_values import Group
from lerobot_pipelines.recordings.ros.value_rows import Chosen, Messages

# Lists of messages that are a stream have the same length nearly always.
_MIN_STEADY = 0.9


class NotAStream(Exception):
    """Messages that nobody asked for are no samples of anything; the text says why."""


class StreamJoints:
    """Judges the messages of one topic for one plan."""

    def __init__(self, messages: Messages, findings: Findings) -> None:
        self._messages = messages
        self._findings = findings
        self._plan = findings.plan
        groups = messages.content.groups.values()
        self._groups = [group for group in groups if group.width or not group.has_all]
        self._first, self._last = messages.spans()
        empty = messages.count([group for group in groups if group.has_all and not group.width])
        if empty:
            findings.last_error = "the field is empty"
            findings.lost("whole stream", "empty", empty)

    def choose(self) -> list[Chosen]:
        """The streams: one, or without a configuration one for each set of joints that recurs.

        Raises ``Refused`` (missing_field) if no message has the joints asked for, or if there are
        several sets and the configuration does not say which.
        """
        if not self._groups:
            if self._findings.last_error and self._plan.stream is not None:
                raise self._findings.refused(self._findings.last_error)
            return [Chosen((), None)]
        if (wanted := self._groups[0].selection.wanted) is not None:
            return [self._by_names(wanted)]
        verdict = judge(joint_sets(self._named(self._groups)))
        recurring = verdict.recurring
        if len(recurring) > 1 and self._plan.stream is not None:
            raise self._findings.refused(
                f"messages are about {len(recurring)} sets of joints ({told_sets(recurring)}); set "
                "joint_names to those that this stream is of, and give each other set that is "
                "needed a stream of its own"
            )
        if len(recurring) == 1:
            self._report_aside(recurring[0], verdict.aside)
            return [self._about(recurring[0])]
        self._report_sets(recurring, verdict.aside)
        return [
            self._about(one, suffix)
            for one, suffix in zip(recurring, suffixes(recurring), strict=True)
        ]

    # Joints asked for ---------------------------------------------------------------------------

    def _by_names(self, wanted: tuple[str, ...]) -> Chosen:
        full = [group for group in self._groups if group.has_all]
        if not full:
            raise self._findings.refused(self._nowhere(wanted))
        rest = [group for group in self._groups if not group.has_all]
        partial = [group for group in rest if set(group.shape.names) & set(wanted)]
        others = [group for group in rest if group not in partial]
        begins = min(int(self._first[group.number]) for group in full)
        early = [group for group in partial if self._last[group.number] < begins]
        self._report_early(early)
        self._report_others(others)
        for group in partial:
            if group not in early:
                count = self._messages.count([group])
                self._lose_partial(wanted, group.shape.names, count)
        chosen = tuple((group, np.arange(group.width)) for group in full)
        names = full[0].selection.labels(full[0].shape, wanted)
        return Chosen(chosen, names, joints_taken=frozenset(wanted))

    def _nowhere(self, wanted: Sequence[str]) -> str:
        sets = joint_sets(self._named(self._groups))
        known = {name for one in sets for name in one.names}
        there = f"messages are about {told_sets(sets)}"
        if missing := [name for name in wanted if name not in known]:
            return f"no joint {missing[0]!r} in any message; {there}; correct joint_names"
        return (
            f"no message has all of joint_names {told(wanted)}: {there}; give each set a stream of "
            "its own with joint_names, and let the feature have a part for each"
        )

    def _report_early(self, groups: Sequence[Group]) -> None:
        if count := self._set_aside(groups):
            self._findings.intake.note(
                IntakeCode.PARTIAL_MESSAGES,
                self._plan.name,
                "the first messages have a part of the joints only; set aside",
                count=count,
            )

    def _report_others(self, groups: Sequence[Group]) -> None:
        if count := self._set_aside(groups):
            self._findings.details["other_messages"] = count
            self._findings.intake.note(
                IntakeCode.JOINT_SETS,
                self._plan.name,
                f"{self._plan.topic.name} has messages about other joints, passed over: "
                f"{told_sets(joint_sets(self._named(groups)))}",
                count=count,
            )

    # Sets of joints -----------------------------------------------------------------------------

    def _about(self, main: JointSet, suffix: str = "") -> Chosen:
        chosen = []
        names: tuple[str, ...] | None = None
        reordered = 0
        taken: frozenset[str] = frozenset()
        for group in self._groups:
            shape = group.shape
            if main.joints is None:
                if _key(group) != main.key:
                    continue
                reference = shape.names if shape.has_names else None
            else:
                if shape.joints is None:
                    continue
                reference = main.names
            try:
                columns = group.selection.columns(shape, reference)
            except FieldError as error:
                raise self._findings.refused(str(error)) from error
            if columns is not None:
                chosen.append((group, columns))
                names = names or group.selection.labels(shape, reference)
                if reference is not None:
                    taken |= group.selection.joints_of(shape, reference)
                if shape.joints == main.joints and shape.names != main.names:
                    reordered += self._messages.count([group])
        self._report_order(reordered if main.joints else 0)
        return Chosen(tuple(chosen), names, main, taken, suffix)

    def _report_order(self, count: int) -> None:
        if count:
            self._findings.details["joint_order_changed"] = count
            self._findings.intake.note(
                IntakeCode.JOINT_ORDER,
                self._plan.name,
                "messages list the same joints in other orders; values follow the names",
                count=count,
            )

    def _report_aside(self, main: JointSet, aside: Sequence[JointSet]) -> None:
        for one in aside:
            is_early = is_beginning(one, main)
            both = one.joints or frozenset(), main.joints or frozenset()
            if both[0] > both[1] and both[1]:
                self._findings.intake.warn(
                    IntakeCode.JOINT_SETS,
                    self._plan.name,
                    "some messages have more joints than the others, which no stream uses: "
                    f"{told(sorted(both[0] - both[1]))}",
                    count=one.count,
                )
            elif both[0] < both[1] and both[0] and not is_early:
                self._lose_partial(main.names, one.names, one.count)
            else:
                self._findings.damage.seen -= one.count
                self._findings.intake.add(
                    IntakeEntry(
                        IntakeCode.PARTIAL_MESSAGES if is_early else IntakeCode.JOINT_SETS,
                        Severity.NOTE if is_early else Severity.WARNING,
                        self._plan.name,
                        f"{'the first' if is_early else 'some'} messages are about {one.told} "
                        f"instead of {told(main.names)}; set aside",
                        count=one.count,
                    )
                )

    def _lose_partial(self, wanted: Sequence[str], there: Sequence[str], count: int) -> None:
        missing = next(name for name in wanted if name not in there)
        self._findings.last_error = f"no joint {missing!r}; there are {', '.join(there)}"
        self._findings.lost("whole stream", "missing_field", count)

    def _report_sets(self, recurring: Sequence[JointSet], aside: Sequence[JointSet]) -> None:
        self._findings.intake.note(
            IntakeCode.JOINT_SETS,
            self._plan.name,
            f"messages are about {len(recurring)} sets of joints, a stream each: "
            f"{told_sets(recurring)}",
            count=len(recurring),
        )
        if aside:
            self._findings.intake.warn(
                IntakeCode.JOINT_SETS,
                self._plan.name,
                f"some messages are about other joints; set aside: {told_sets(aside)}",
                count=sum(one.count for one in aside),
            )

    # Groups -------------------------------------------------------------------------------------

    def _set_aside(self, groups: Sequence[Group]) -> int:
        """Messages that are no part of the stream, and no damage."""
        count = self._messages.count(groups)
        self._findings.damage.seen -= count
        return count

    def _named(self, groups: Sequence[Group]) -> list[NamedMessages]:
        return [
            NamedMessages(
                _key(group),
                group.shape.names,
                group.shape.joints,
                self._messages.count([group]),
                int(self._first[group.number]),
                int(self._last[group.number]),
            )
            for group in groups
        ]


def _key(group: Group) -> Hashable:
    """Equal for messages whose numbers mean the same, in whatever order."""
    shape: Shape = group.shape
    if shape.joints is not None:
        return shape.joints
    # Of two types only what was asked for by the same path is the same.
    kind = "" if group.selection.is_explicit else group.selection.type_name
    return (kind, *shape.names)


def require_samples(messages: Messages, found: Sequence[Chosen], findings: Findings) -> None:
    """Raises ``NotAStream`` if a topic that was not asked for holds no numbers, or lists of
    messages (objects, points, plans) of any length."""
    groups = [(group, columns) for one in found for group, columns in one.groups]
    if not groups:
        reasons = findings.damage.reasons.most_common()
        told = ", ".join(f"{count} {reason}" for reason, count in reasons if reason != "empty")
        why = f"none of its messages can be read ({told})" if told else "its messages are empty"
        raise NotAStream(why)
    selection = groups[0][0].selection
    lengths: Counter[int] = Counter()
    for group, columns in groups:
        lengths[len(columns)] += messages.count([group])
    if selection.has_lists and max(lengths.values()) < _MIN_STEADY * lengths.total():
        listed = ", ".join(f"{path.text}[]" for path in selection.paths)
        raise NotAStream(
            f"{listed} hold {min(lengths)} to {max(lengths)} numbers at a time; name an element "
            f"with field, e.g. {selection.paths[0].text}[0]"
        )
