"""What a recording has and cannot be used as it is: cameras and joints that cannot be read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from lerobot_pipelines.intake import IntakeEntry, warnings_of
from lerobot_pipelines.model import Recording, StreamKind
from lerobot_pipelines.suggestions.candidates import Candidate, Kind
from lerobot_pipelines.suggestions.draft import LeftOut
from lerobot_pipelines.suggestions.sights import FARTHEST_M, Sight, looked_at
from lerobot_pipelines.suggestions.words import (
    CAMERA_WORDS,
    JOINT_TYPES,
    ROBOT_WORDS,
    has_word,
    short_type,
)

# Of a depth camera's distances: with more past the farthest kept the unit must be another one.
MAX_BEYOND = 0.5


@dataclass(frozen=True, slots=True)
class Losses:
    """``cameras`` and ``joints``: why each cannot be read, by name. ``sights`` of all others."""

    cameras: Mapping[str, str]
    joints: Mapping[str, str]
    sights: Mapping[str, Sight]

    @property
    def names(self) -> set[str]:
        return {*self.cameras, *self.joints, *self._of_unknown_unit()}

    def usable(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Those that can be used, depth cameras told by what their pictures hold."""
        return [
            replace(one, kind=Kind.DEPTH) if self._sight(one).is_depth else one
            for one in candidates
            if one.name not in self.names
        ]

    def told(self) -> Iterator[LeftOut]:
        """For the list of what is left out, apart from what nobody misses."""
        for name, why in self.cameras.items():
            yield LeftOut(f"camera {name}", f"cannot be read: {why}")
        for name, why in self.joints.items():
            yield LeftOut(f"joints {name}", f"cannot be read: {why}")
        for name, sight in self._of_unknown_unit().items():
            yield LeftOut(
                f"camera {name}",
                f"{sight.beyond:.0%} of its distances lie beyond {FARTHEST_M:g} m in the unit of "
                "their encoding: find out its unit, and add it with depth: true and depth_unit",
            )

    def _sight(self, one: Candidate) -> Sight:
        return self.sights.get(one.name, Sight())

    def _of_unknown_unit(self) -> dict[str, Sight]:
        return {name: one for name, one in self.sights.items() if one.beyond > MAX_BEYOND}


def losses_of(
    recording: Recording, candidates: Sequence[Candidate], intake: Sequence[IntakeEntry]
) -> Losses:
    """From what the readers report, and from looking at a few pictures of each camera."""
    seen = looked_at(
        recording, [one.name for one in candidates if one.kind in (Kind.CAMERA, Kind.DEPTH)]
    )
    cameras = {name: sight.fault for name, sight in seen.items() if sight.fault is not None}
    joints: dict[str, str] = {}
    empty = {
        one.name
        for one in candidates
        if one.report.kind is StreamKind.PICTURE and not one.report.count
    }
    streams = set(recording.streams)
    for entry in warnings_of(intake):
        if entry.stream in empty:
            cameras.setdefault(entry.stream, entry.message)  # the reader's own words come first
        elif entry.stream and entry.stream not in streams:
            if has_word(_described(recording, entry), CAMERA_WORDS):
                cameras[entry.stream] = entry.message
            elif _is_about_joints(recording, entry):
                joints[entry.stream] = entry.message
    return Losses(cameras, joints, {n: one for n, one in seen.items() if one.fault is None})


def _is_about_joints(recording: Recording, entry: IntakeEntry) -> bool:
    topic = getattr(recording, "topics", {}).get(entry.stream)
    if topic is None:
        # Of a folder: whatever is no picture is a file of joints, named after nothing in general.
        return not getattr(recording, "topics", {})
    is_robots = has_word(entry.stream, ROBOT_WORDS)
    return is_robots or short_type(str(topic.type_name)) in JOINT_TYPES


def _described(recording: Recording, entry: IntakeEntry) -> str:
    """The name and the type of what an entry is about."""
    topic = getattr(recording, "topics", {}).get(entry.stream)
    type_name = "" if topic is None else str(topic.type_name)
    return f"{entry.stream}/{type_name}/{entry.details.get('where', '')}"
