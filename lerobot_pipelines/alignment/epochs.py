"""Recordings whose clock was set: every side of the step is aligned by itself.

Stamps of two sides of a step cannot be compared, and where the clock was set back the same moments
come twice. So the streams are cut into *epochs* at the same step, each stream where its own samples
show it; a stream too slow to show it is cut by its stamps, if none of them may belong to either
side. Streams that cannot be cut alike do not share the clock that was set, and are refused: nobody
knows any more what of them belongs together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lerobot_pipelines.alignment.search import Indices
from lerobot_pipelines.config.schema import FilterConfig
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.model import Clock, ClockStep, Picture, Recording, Stamps, Stream, Vectors
from lerobot_pipelines.periods import steady_rate_hz
from lerobot_pipelines.recordings.chronology import JITTER_NS, MAX_STEPS
from lerobot_pipelines.recordings.chronology_report import described, elapsed_s

Parts = Mapping[str, slice]


@dataclass(frozen=True, slots=True)
class Cut:
    """``parts``: the positions of each stream's samples, epoch by epoch; ``steps`` between them."""

    parts: tuple[Parts, ...]
    steps: tuple[ClockStep, ...]
    streams: tuple[str, ...]  # for each step one that shows it


class Epoch:
    """A recording seen as one of its epochs; see ``model.Recording``."""

    def __init__(self, recording: Recording, parts: Parts) -> None:
        self._recording = recording
        self.parts = parts
        self.source = recording.source
        self.metadata = recording.metadata
        self.faults = recording.faults
        self.intake = recording.intake
        self.streams: Mapping[str, Stream] = {
            name: self._stream(recording.streams[name]) for name in parts
        }

    def timestamps(self, stream: str) -> Stamps:
        return self._recording.timestamps(stream)[self.parts[stream]]

    def vectors(self, stream: str) -> Vectors:
        return self._recording.vectors(stream)[self.parts[stream]]

    def pictures(self, wanted: Mapping[str, Indices]) -> Iterator[Picture]:
        """By position in the epoch, as the recording numbers them."""
        shifted = {name: ids + self.parts[name].start for name, ids in wanted.items()}
        return self._recording.pictures(shifted)

    def close(self) -> None:
        """The recording is closed by whoever opened it."""

    def _stream(self, stream: Stream) -> Stream:
        stamps = self.timestamps(stream.name)
        start, end = (int(stamps[0]), int(stamps[-1])) if len(stamps) else (0, 0)
        return replace(stream, count=len(stamps), start_ns=start, end_ns=end, steps=())


def cut(recording: Recording, names: Sequence[str]) -> Cut | None:
    """The epochs of these streams; None if the clock of none was set.

    Raises ``Refused`` (clock_step) if they cannot be cut alike.
    """
    streams = [recording.streams[name] for name in names]
    if not any(stream.steps for stream in streams):
        return None
    for stream in streams:
        if len(stream.steps) > MAX_STEPS:
            raise _refusal(
                recording,
                stream,
                stream.steps[0],
                f"and {len(stream.steps) - 1} times more; a "
                "stream like that has no time; use another clock for it",
            )
    cutter = _Cutter(recording, streams)
    return cutter.run()


def usable_epochs(found: Cut, required: Sequence[str]) -> list[Parts]:
    """The epochs in which every required stream has a sample, in their order."""
    return [
        parts
        for parts in found.parts
        if all(parts[name].stop > parts[name].start for name in required)
    ]


def refuse_steps(
    recording: Recording, found: Cut, usable: Sequence[Parts], filtering: FilterConfig
) -> None:
    """Raises ``Refused`` (clock_step) where the gap policy does not allow to go on.

    A step is a hole whose length nobody knows, so ``drop`` cannot leave it out: it refuses too.
    """
    stream = recording.streams[found.streams[0]]
    if not usable:
        raise _refusal(
            recording, stream, found.steps[0], "and on no side of it are all required streams"
        )
    if len(usable) > 1 and filtering.gap_policy != "split":
        others = f" (and {len(found.steps) - 1} steps more)" if len(found.steps) > 1 else ""
        drop = (
            "; gap_policy: drop leaves out holes of known length only"
            if filtering.gap_policy == "drop"
            else ""
        )
        raise _refusal(
            recording,
            stream,
            found.steps[0],
            f"{others}; the two sides are of different times: gap_policy: split makes an episode "
            f"of each{_other_clock(stream)}{drop}",
        )


class _Cutter:
    """Goes along the streams together, from step to step."""

    def __init__(self, recording: Recording, streams: Sequence[Stream]) -> None:
        self.recording = recording
        self.streams = {stream.name: stream for stream in streams}
        self.stamps = {name: recording.timestamps(name) for name in self.streams}
        self.periods = {name: _period_ns(stamps) for name, stamps in self.stamps.items()}
        self.begin = dict.fromkeys(self.streams, 0)
        self.left = {name: list(stream.steps) for name, stream in self.streams.items()}

    def run(self) -> Cut:
        parts: list[Parts] = []
        steps: list[ClockStep] = []
        shown_by: list[str] = []
        while pending := {name: left[0] for name, left in self.left.items() if left}:
            lead = min(pending, key=lambda name: (pending[name].before_ns, self.periods[name]))
            group = [name for name in pending if self._same(name, lead)]
            fastest = min(group, key=lambda name: self.periods[name])
            ends = {
                name: pending[name].position if name in group else self._place(name, fastest, group)
                for name in self.streams
            }
            parts.append({name: slice(self.begin[name], end) for name, end in ends.items()})
            steps.append(pending[fastest])
            shown_by.append(fastest)
            self.begin = ends
            for name in group:
                del self.left[name][0]
        parts.append(
            {name: slice(begin, len(self.stamps[name])) for name, begin in self.begin.items()}
        )
        return Cut(tuple(parts), tuple(steps), tuple(shown_by))

    def _same(self, name: str, lead: str) -> bool:
        """Whether the next steps of two streams are one: from and to the same moments."""
        one, other = self.left[name][0], self.left[lead][0]
        slack = JITTER_NS + 2 * max(self.periods[name], self.periods[lead])
        return (
            (one.size_ns < 0) == (other.size_ns < 0)
            and abs(one.before_ns - other.before_ns) <= slack
            and abs(one.after_ns - other.after_ns) <= slack
        )

    def _place(self, name: str, shown_by: str, group: Sequence[str]) -> int:
        """Where a stream that does not show the step is cut."""
        steps = [self.left[other][0] for other in group]
        before = max(step.before_ns for step in steps)
        after = min(step.after_ns for step in steps)
        end = self.left[name][0].position if self.left[name] else len(self.stamps[name])
        begin = self.begin[name]
        stamps = self.stamps[name][begin:end]
        # Both sides of the step reach a little further than the samples that show it.
        beyond = round(self.periods[shown_by])
        if after < before:
            first = int(np.searchsorted(stamps, after - beyond, side="left"))
            stop = int(np.searchsorted(stamps, before + beyond, side="right"))
        else:
            first = int(np.searchsorted(stamps, before + beyond, side="right"))
            stop = int(np.searchsorted(stamps, after - beyond, side="left"))
        if stop > first:
            raise _refusal(
                self.recording,
                self.streams[shown_by],
                self.left[shown_by][0],
                f", but not that of {name}: {stop - first} of its samples may be of either side"
                + _other_clock(self.streams[shown_by]),
            )
        return begin + first


def _refusal(recording: Recording, stream: Stream, step: ClockStep, text: str) -> Refused:
    at_s = elapsed_s(recording.timestamps(stream.name), stream.steps, step)
    return Refused(
        Reason.CLOCK_STEP,
        f"the {stream.clock} clock of {stream.name} {described(step)} {at_s:.3f} s into the "
        f"recording{text if text[:1] in ';,' else ' ' + text.lstrip()}",
        stream=stream.name,
        at_s=at_s,
        before_ns=step.before_ns,
        after_ns=step.after_ns,
        size_ms=step.size_ns / 1e6,
        steps=len(stream.steps),
    )


def _other_clock(stream: Stream) -> str:
    """What may help besides, of messages with two stamps."""
    if stream.clock is Clock.FILE:
        return ""
    other = Clock.RECEIVE if stream.clock is Clock.HEADER else Clock.HEADER
    return f"; the {other} clock may not have been set"


def _period_ns(stamps: Stamps) -> float:
    rate = steady_rate_hz(stamps)
    return 1e9 / rate if rate else 0.0
