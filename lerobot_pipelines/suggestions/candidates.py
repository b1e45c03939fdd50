"""Every stream of a recording with what it could be in a dataset, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from lerobot_pipelines.model import Clock, Recording, StreamKind, StreamReport
from lerobot_pipelines.recordings import report_streams
from lerobot_pipelines.recordings.clock_evidence import ClockChoice, choose_clock
from lerobot_pipelines.suggestions.words import (
    COMMAND_WORDS,
    EVENT_TYPES,
    JOINT_TYPES,
    MOTION_TYPES,
    POSITION_FIELDS,
    ROBOT_WORDS,
    SENSOR_TYPES,
    has_word,
    is_standard_type,
    parts_of,
    short_type,
)

if TYPE_CHECKING:
    from lerobot_pipelines.recordings.ros.message_types import Leaf

# Fewer samples show neither a rate nor a way.
MIN_SAMPLES = 5
# Slower than this nothing follows a robot's motion.
MIN_STEADY_HZ = 2.0
# With less of its samples there than its rate asks for, a stream is silent for long times.
_LEAST_FILLED = 0.6
_NS_PER_S = 1e9


class Kind(StrEnum):
    """What a stream could be."""

    CAMERA = "camera"
    DEPTH = "depth"
    JOINTS = "joints"
    MOTION = "motion"  # poses and velocities
    NUMBERS = "numbers"  # whose meaning nothing tells
    SENSOR = "sensor"
    EVENT = "event"
    UNUSABLE = "unusable"  # of no use to a policy, or too few samples


@dataclass(frozen=True, slots=True)
class Candidate:
    """One stream. ``field`` and ``joint_names`` are what to ask for, None where the usual is right.

    ``is_steady``: sampled all the time, as opposed to told now and then. ``why``: a remark for a
    person on what was chosen of it, or why it cannot be used.
    """

    report: StreamReport
    kind: Kind
    choice: ClockChoice
    is_command: bool = False
    is_steady: bool = True
    field: str | None = None
    joint_names: tuple[str, ...] | None = None
    why: str = ""

    @property
    def name(self) -> str:
        return self.report.name

    @property
    def rate_hz(self) -> float | None:
        """On the clock that is suggested."""
        return self.choice.rate_hz or self.report.median_rate_hz

    @property
    def type_name(self) -> str:
        return str(self.report.details.get("type", ""))


def candidates_of(recording: Recording) -> list[Candidate]:
    """In the recording's order."""
    reports = report_streams(recording)
    span = _span_of(reports)
    shared = _shared_origins(reports)
    found = []
    for report in reports:
        leaves = _leaves(recording, report)
        candidate = _candidate(report, leaves, span)
        names = recording.streams[report.name].element_names
        if names and _names_its_joints(recording, report):
            candidate = replace(candidate, joint_names=_as_joint_names(names))
        elif names and report.origin in shared:
            candidate = replace(candidate, joint_names=tuple(names))
        found.append(candidate)
    return found


def _candidate(
    report: StreamReport, leaves: Sequence[Leaf], span: tuple[int, int] | None
) -> Candidate:
    choice = choose_clock(report)
    if report.kind is StreamKind.PICTURE:
        kind, why = _picture_kind(report)
        return Candidate(report, kind, choice, is_steady=_is_steady(report, None), why=why)
    kind, field, why = _vector_kind(report, leaves)
    return Candidate(
        report,
        kind,
        choice,
        is_command=has_word(report.name, COMMAND_WORDS),
        is_steady=_is_steady(report, span),
        field=field,
        why=why,
    )


def _picture_kind(report: StreamReport) -> tuple[Kind, str]:
    encoding = str(report.details.get("encoding", ""))
    is_about_depth = "depth" in parts_of(report.origin)
    if report.count < 2:
        told = "no picture" if not report.count else "a single picture"
        return Kind.UNUSABLE, f"it holds {told}"
    if report.details.get("is_depth"):
        return Kind.DEPTH, ""
    if problem := report.details.get("problem"):
        return Kind.UNUSABLE, str(problem)
    if is_about_depth and encoding == "mono16":
        return (
            Kind.UNUSABLE,
            "its encoding mono16 does not say that it holds distances, nor in which unit; record "
            "it as 16UC1",
        )
    if is_about_depth:
        return Kind.UNUSABLE, "distances painted as a picture for people, of no use to a policy"
    return Kind.CAMERA, ""


def _vector_kind(report: StreamReport, leaves: Sequence[Leaf]) -> tuple[Kind, str | None, str]:
    type_name = str(report.details.get("type", ""))
    short = short_type(type_name)
    if report.dimension == 0 or not report.count:
        return Kind.UNUSABLE, None, "it holds no number"
    if report.count < 2:
        return Kind.UNUSABLE, None, "it holds a single sample"
    if short in SENSOR_TYPES:
        return Kind.SENSOR, None, "a sensor"
    if short in EVENT_TYPES:
        return Kind.EVENT, None, "told now and then"
    if short in JOINT_TYPES:
        return Kind.JOINTS, None, ""
    field, why = (None, "") if is_standard_type(type_name) else _joint_field(leaves)
    if field is not None or has_word(report.name, ROBOT_WORDS) or not type_name:
        return Kind.JOINTS, field, why
    return (Kind.MOTION if short in MOTION_TYPES else Kind.NUMBERS), None, ""


def _joint_field(leaves: Sequence[Leaf]) -> tuple[str | None, str]:
    """The arrays of positions in a robot's own type of message, and what is left of it."""
    arrays = [leaf.path for leaf in leaves if leaf.is_array]
    chosen = [path for path in arrays if path.rpartition(".")[2] in POSITION_FIELDS]
    # Of positions of several things those that say they are joints.
    joints = [path for path in chosen if "joint" in path.lower() or "hand" in path.lower()]
    if not (chosen := joints or chosen):
        return None, ""
    others = [leaf.path for leaf in leaves if leaf.path not in chosen]
    told = f"of its numbers only {', '.join(chosen)}; it also holds {', '.join(others[:8])}"
    return ", ".join(chosen), f"{told}{', ...' if len(others) > 8 else ''}" if others else ""


def _is_steady(report: StreamReport, span: tuple[int, int] | None) -> bool:
    rate = report.median_rate_hz
    if rate is None or report.count < MIN_SAMPLES or rate < MIN_STEADY_HZ:
        return False
    start, end = span or (report.start_ns, report.end_ns)
    return report.count >= _LEAST_FILLED * rate * (end - start) / _NS_PER_S


def _span_of(reports: Iterable[StreamReport]) -> tuple[int, int] | None:
    """When the cameras ran; without any, the stream with most samples."""
    filled = [one for one in reports if one.count >= MIN_SAMPLES]
    cameras = [one for one in filled if one.kind is StreamKind.PICTURE]
    chosen = cameras or sorted(filled, key=lambda one: one.count)[-1:]
    if not chosen:
        return None
    return max(one.start_ns for one in chosen), min(one.end_ns for one in chosen)


def _leaves(recording: Recording, report: StreamReport) -> Sequence[Leaf]:
    """The numbers in the messages of a bag's topic; none for files."""
    topics: Mapping[str, Any] = getattr(recording, "topics", {})
    topic = topics.get(report.origin)
    codec = next(iter(topic.codecs.values()), None) if topic is not None else None
    return codec.numeric_leaves() if codec is not None else ()


def _names_its_joints(recording: Recording, report: StreamReport) -> bool:
    """Whether the messages themselves list the names of joints."""
    topics: Mapping[str, Any] = getattr(recording, "topics", {})
    topic = topics.get(report.origin)
    codec = next(iter(topic.codecs.values()), None) if topic is not None else None
    return codec is not None and short_type(codec.type_name) == "JointState"


def _as_joint_names(names: Sequence[str]) -> tuple[str, ...] | None:
    usable = all(name.strip() for name in names) and len(set(names)) == len(names)
    return tuple(names) if usable else None


def _shared_origins(reports: Iterable[StreamReport]) -> frozenset[str]:
    """Topics of which several streams were made, one for each set of joints."""
    origins = [one.origin for one in reports if one.clock is not Clock.FILE]
    return frozenset(origin for origin in origins if origins.count(origin) > 1)
