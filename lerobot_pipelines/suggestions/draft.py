"""The decisions of a suggestion: which streams in which part, at what rate, how far apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from lerobot_pipelines.model import Clock
from lerobot_pipelines.suggestions.candidates import Candidate, Kind
from lerobot_pipelines.suggestions.short_names import short_names
from lerobot_pipelines.suggestions.words import SCENE_WORDS, has_word, parts_of

# A label 2 % off the measured rate is refused (alignment.rate_tolerance), and episodes differ.
RATE_TOLERANCE = 0.01
DEFAULT_TOLERANCE_MS = 20.0
# Without a camera nothing says how many rows there should be: as many as cameras would give.
MAX_FPS_WITHOUT_CAMERA = 30
# Half a period is the farthest that a sample can be; a quarter more allows for jitter.
_PERIODS_OF_TOLERANCE = 0.75
# A camera this much slower than the others shows the scene, not the motion.
_SLOWEST_CAMERA = 0.2
# Slower than this the nearest sample is as good as any; the last one is what the robot knew.
_SLOWEST_NEAREST_HZ = 5.0
_LATEST_START = 0.1
_SHORTEST_HOLD_MS = 60_000.0
_NS_PER_MS = 1e6
# Rates that cameras are set to; one this near to it is meant.
_COMMON_HZ = (5, 10, 15, 20, 24, 25, 30, 50, 60, 90, 100, 120)
_NEAR = 0.025


@dataclass(frozen=True, slots=True)
class Chosen:
    """A stream or camera of the suggestion, by the name it gets there.

    ``hold_ms``: its last value stays in force this long, and it may be missing. ``fallback``: the
    name of the stream that stands in for it.
    """

    candidate: Candidate
    name: str
    clock: Clock
    tolerance_ms: float | None = None
    hold_ms: float | None = None
    is_required: bool = True
    fallback: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LeftOut:
    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Draft:
    """Names are unique over streams and cameras together."""

    base: str | None
    fps: int
    timeline: str
    cameras: tuple[Chosen, ...]
    states: tuple[Chosen, ...]
    commands: tuple[Chosen, ...]
    left_out: tuple[LeftOut, ...]
    gap_policy: str = "fail"
    notes: tuple[str, ...] = field(default=())

    @property
    def streams(self) -> tuple[Chosen, ...]:
        return (*self.states, *self.commands)


def draft_of(candidates: Sequence[Candidate]) -> Draft | None:
    """None where there is neither a camera nor a stream of numbers that runs all the time."""
    cameras, left_out = _cameras(candidates)
    colours = [one for one in cameras if one.kind is Kind.CAMERA]
    base = _base_camera(colours or cameras)
    vectors = _vectors(candidates)
    steady = [one for one in vectors if one.is_steady]
    if base is None and not steady:
        return None
    names = short_names([*cameras, *vectors])
    fps, timeline, notes = _rate(base, steady)
    states = [_state(one, names, fps) for one in steady if not one.is_command]
    commands = [_state(one, names, fps) for one in steady if one.is_command]
    for one in vectors:
        if one.is_steady:
            continue
        held = _held(one, names, states, base or steady[0])
        if isinstance(held, LeftOut):
            left_out.append(held)
        else:
            commands.append(held)
    left_out += _others(candidates, cameras, vectors, left_out)
    if not commands and states:
        notes.append("No stream looks like a command: the action repeats the measured state.")
    if not states and commands:
        notes.append("No stream looks like a measurement: the state repeats the command.")
    if not states and not commands:
        notes.append("No stream of numbers looks like joints: the dataset has pictures alone.")
    return Draft(
        base=None if base is None else names[base.name],
        fps=fps,
        timeline=timeline,
        cameras=tuple(_camera(one, names, fps) for one in cameras),
        states=tuple(states),
        commands=tuple(commands),
        left_out=tuple(left_out),
        notes=tuple(notes),
    )


def with_receive_clock(draft: Draft) -> Draft:
    """Every stream by the recorder's stamps, which are of one clock at least."""

    def received(found: tuple[Chosen, ...]) -> tuple[Chosen, ...]:
        return tuple(
            one if one.clock is Clock.FILE else replace(one, clock=Clock.RECEIVE) for one in found
        )

    return replace(
        draft,
        cameras=received(draft.cameras),
        states=received(draft.states),
        commands=received(draft.commands),
    )


def _cameras(candidates: Sequence[Candidate]) -> tuple[list[Candidate], list[LeftOut]]:
    """Those whose pictures follow the motion, and those that are too slow for it."""
    found = [one for one in candidates if one.kind in (Kind.CAMERA, Kind.DEPTH) and one.rate_hz]
    fastest = max((one.rate_hz or 0.0 for one in found), default=0.0)
    slow = [one for one in found if (one.rate_hz or 0.0) < _SLOWEST_CAMERA * fastest]
    told = [
        LeftOut(one.name, f"a camera of {one.rate_hz:.2f} Hz, too slow beside the others")
        for one in slow
    ]
    return [one for one in found if one not in slow], told


def _vectors(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The streams that tell what the robot does; those of joints where there are any."""
    joints = [one for one in candidates if one.kind is Kind.JOINTS]
    motion = [one for one in candidates if one.kind is Kind.MOTION]
    numbers = [one for one in candidates if one.kind is Kind.NUMBERS]
    if not any(one.is_steady for one in joints):
        told = [*joints, *motion] if any(one.is_steady for one in motion) else [*joints, *numbers]
        return _in_order(candidates, told)
    if not any(one.is_command for one in joints):
        # A base that is driven: its joints are measured, its velocity is commanded.
        joints += [one for one in motion if one.is_command and one.is_steady]
    return _in_order(candidates, joints)


def _in_order(candidates: Sequence[Candidate], chosen: Sequence[Candidate]) -> list[Candidate]:
    """In the recording's order, but of streams of one topic the arm before its gripper: which
    node of several spoke first is chance."""
    found = [one for one in candidates if one in chosen]
    origins = [one.report.origin for one in found]
    return sorted(
        found, key=lambda one: (origins.index(one.report.origin), -(one.report.dimension or 0))
    )


def _base_camera(cameras: Sequence[Candidate]) -> Candidate | None:
    steady = [one for one in cameras if one.is_steady] or cameras
    for word in SCENE_WORDS:
        for camera in steady:
            if has_word(camera.name, (word,)):
                return camera
    return max(steady, key=lambda camera: camera.report.count, default=None)


def _rate(base: Candidate | None, steady: Sequence[Candidate]) -> tuple[int, str, list[str]]:
    if base is not None and base.rate_hz:
        fps = _label(base.rate_hz)
        if abs(fps / base.rate_hz - 1) <= RATE_TOLERANCE:
            return fps, "base", []
        told = f"{base.name} runs at {base.rate_hz:.3f} Hz, which is no whole number: rows are "
        return fps, "uniform", [f"{told}resampled to {fps} per second."]
    rate = max((one.rate_hz or 0.0 for one in steady), default=MAX_FPS_WITHOUT_CAMERA)
    fps = min(MAX_FPS_WITHOUT_CAMERA, _label(rate))
    return fps, "uniform", ["No camera: rows lie at k / fps; choose the fps that a policy needs."]


def _label(rate_hz: float) -> int:
    """The whole number of rows per second that a rate stands for."""
    nearest = min(_COMMON_HZ, key=lambda common: abs(common - rate_hz))
    return nearest if abs(nearest / rate_hz - 1) <= _NEAR else max(1, round(rate_hz))


def _camera(one: Candidate, names: dict[str, str], fps: int) -> Chosen:
    tolerance = _needed_tolerance(one, fps)
    default = 1000.0 / (2 * fps) + DEFAULT_TOLERANCE_MS
    return Chosen(
        one,
        names[one.name],
        one.choice.clock,
        tolerance_ms=tolerance if tolerance is not None and tolerance > default else None,
        notes=_clock_notes(one),
    )


def _state(one: Candidate, names: dict[str, str], fps: int) -> Chosen:
    chosen = Chosen(one, names[one.name], one.choice.clock, notes=_clock_notes(one))
    rate = one.rate_hz or 0.0
    if rate < min(_SLOWEST_NEAREST_HZ, fps / 2):
        hold_ms = 3 * 1000.0 / rate
        return replace(chosen, hold_ms=max(500.0, round(hold_ms, 1)))
    return replace(chosen, tolerance_ms=_needed_tolerance(one, fps))


def _needed_tolerance(one: Candidate, fps: int) -> float | None:
    """In ms; None where the default does."""
    needed = _PERIODS_OF_TOLERANCE * 1000.0 / one.rate_hz if one.rate_hz else 0.0
    return round(needed, 1) if needed > DEFAULT_TOLERANCE_MS else None


def _held(
    one: Candidate, names: dict[str, str], states: Sequence[Chosen], reference: Candidate
) -> Chosen | LeftOut:
    """A command that is told now and then stays in force until the next one."""
    silence = f"{one.report.count} samples, {one.report.longest_gap_ms or 0:.0f} ms apart at most"
    if not one.is_command:
        return LeftOut(one.name, f"not sampled all the time ({silence})")
    stand_in = _stand_in(one, states)
    late_ns = one.report.start_ns - reference.report.start_ns
    span_ns = reference.report.end_ns - reference.report.start_ns
    if stand_in is None and late_ns > _LATEST_START * span_ns:
        return LeftOut(
            one.name,
            f"a command that begins {late_ns / 1e9:.1f} s after {reference.name}, where the rows "
            "before it would have no action; it can be added with kind: command, strategy: hold",
        )
    longest = max(one.report.longest_gap_ms or 0.0, span_ns / _NS_PER_MS)
    told = f"told now and then ({silence}): the last value stays in force"
    if stand_in is not None:
        told += f"; before the first one the action is {stand_in}"
    return Chosen(
        one,
        names[one.name],
        one.choice.clock,
        hold_ms=max(_SHORTEST_HOLD_MS, 2 * round(longest)),
        is_required=False,
        fallback=stand_in,
        notes=(*_clock_notes(one), told),
    )


def _stand_in(one: Candidate, states: Sequence[Chosen]) -> str | None:
    """The measured state of the same thing: as many elements, and a word of the name in common."""
    own = set(parts_of(one.name))
    alike = [
        state.name
        for state in states
        if state.candidate.report.dimension == one.report.dimension
        and state.candidate.field is None
        and one.field is None
        and own & set(parts_of(state.candidate.name))
    ]
    return alike[0] if len(alike) == 1 else None


def _others(
    candidates: Sequence[Candidate],
    cameras: Sequence[Candidate],
    vectors: Sequence[Candidate],
    known: Sequence[LeftOut],
) -> list[LeftOut]:
    names = {one.name for one in known}
    reasons = {
        Kind.MOTION: "a pose or velocity; it can be added to a feature",
        Kind.NUMBERS: "numbers that no joint's name is near",
        Kind.CAMERA: "too few pictures to have a rate",
        Kind.DEPTH: "too few pictures to have a rate",
    }
    return [
        LeftOut(one.name, one.why or reasons.get(one.kind, str(one.kind)))
        for one in candidates
        if one not in cameras and one not in vectors and one.name not in names
    ]


def _clock_notes(one: Candidate) -> tuple[str, ...]:
    told = (one.why,) if one.why else ()
    if one.choice.clock is Clock.FILE:
        return told
    return (*told, f"clock: {one.choice.clock}, for {one.choice.evidence}")
