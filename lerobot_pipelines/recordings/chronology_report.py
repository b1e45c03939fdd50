"""What putting a stream in order has found, as entries of the intake report."""

from __future__ import annotations

from lerobot_pipelines.intake import Intake, IntakeCode
from lerobot_pipelines.model import ClockStep, Stamps
from lerobot_pipelines.recordings.chronology import Chronology

_NS_PER_MS = 1e6
_MINUTE_MS = 60_000.0
_YEAR_MS = 365.25 * 86_400_000


def report_chronology(intake: Intake, stream: str, found: Chronology, stamps: Stamps) -> None:
    """``stamps`` (n,) are those of the kept samples, as ``found.order`` has them."""
    for step in found.steps:
        intake.warn(
            IntakeCode.CLOCK_STEP,
            stream,
            f"its clock {described(step)}, {elapsed_s(stamps, found.steps, step):.3f} s after its "
            "first sample; what lies on the two sides is never put together",
            start_ns=step.before_ns,
            end_ns=step.after_ns,
            details={"size_ms": step.size_ns / _NS_PER_MS, "position": step.position},
        )
    largest_ms = found.largest_disorder_ns / _NS_PER_MS
    if found.several_sources:
        intake.warn(
            IntakeCode.DISORDER,
            stream,
            f"stamps are out of order throughout, by up to {largest_ms:.3f} ms, as where several "
            "publishers share a topic or a table is not in the order of recording; put in order",
            count=found.disordered,
            details={"largest_ms": largest_ms},
        )
    elif found.disordered:
        intake.note(
            IntakeCode.DISORDER,
            stream,
            f"late samples, by up to {largest_ms:.3f} ms, put in order",
            count=found.disordered,
            details={"largest_ms": largest_ms},
        )


def described(step: ClockStep) -> str:
    """``was set back by 1500.0 ms``"""
    size_ms = abs(step.size_ns) / _NS_PER_MS
    told = f"{size_ms:.1f} ms" if size_ms < _MINUTE_MS else f"{size_ms / 1e3:.1f} s"
    if size_ms > _YEAR_MS:
        told += f" ({size_ms / _YEAR_MS:.1f} years)"
    return f"was set back by {told}" if step.size_ns < 0 else f"jumped ahead by {told}"


def elapsed_s(stamps: Stamps, steps: tuple[ClockStep, ...], until: ClockStep) -> float:
    """How long the stream was recorded before that step, by its clock in each epoch."""
    total, first = 0, 0
    for step in steps:
        total += int(stamps[step.position - 1] - stamps[first])
        first = step.position
        if step == until:
            break
    return total / 1e9
