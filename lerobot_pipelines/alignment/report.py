"""The figures of one alignment, all computed from what was really used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lerobot_pipelines.alignment.gaps import Hole
from lerobot_pipelines.alignment.search import Mask, ms_of_ns
from lerobot_pipelines.alignment.timeline import Span, Timeline
from lerobot_pipelines.intake import IntakeEntry
from lerobot_pipelines.model import AlignmentReport, Stamps


@dataclass(frozen=True, slots=True)
class Use:
    """What rows use of one stream: the ages of the samples used, (k,), and how many of how many
    inside the span."""

    ages_ns: Stamps
    used: int
    inside: int


@dataclass(frozen=True, slots=True)
class Figures:
    """What one epoch adds to the report."""

    timeline: Timeline
    dropped: dict[str, int]
    rows_kept: int
    measured_rate_hz: float | None
    holes: list[Hole]
    uses: dict[str, Use]


def report_of(epochs: Sequence[Figures], intake: Sequence[IntakeEntry] = ()) -> AlignmentReport:
    """One report over all epochs, in their order; the rate is that of the longest."""
    first, last = epochs[0].timeline, epochs[-1].timeline
    dropped: Counter[str] = Counter()
    for epoch in epochs:
        dropped.update(epoch.dropped)
    uses: dict[str, list[Use]] = {}
    for epoch in epochs:
        for name, use in epoch.uses.items():
            uses.setdefault(name, []).append(use)
    ages = {name: np.concatenate([use.ages_ns for use in all_]) for name, all_ in uses.items()}
    return AlignmentReport(
        rows_candidate=sum(len(epoch.timeline.rows) for epoch in epochs),
        rows_kept=sum(epoch.rows_kept for epoch in epochs),
        dropped=dict(dropped),
        measured_rate_hz=max(epochs, key=lambda epoch: epoch.rows_kept).measured_rate_hz,
        trimmed_start_ms=ms_of_ns(int(first.rows[0]) - first.extent.start_ns),
        trimmed_end_ms=ms_of_ns(last.extent.end_ns - int(last.rows[-1])),
        gaps=[gap for epoch in epochs for gap in gap_figures(epoch.holes)],
        age_ms={name: age_figures(found) for name, found in ages.items() if len(found)},
        utilisation={name: _share(all_) for name, all_ in uses.items()},
        intake=tuple(intake),
    )


def age_figures(ages_ns: Stamps) -> dict[str, float]:
    """Median, 95th percentile (both interpolated) and maximum of |age| in ms."""
    p50, p95, largest = np.percentile(np.abs(ages_ns), [50, 95, 100]) / 1e6
    return {"p50": float(p50), "p95": float(p95), "max": float(largest)}


def use_of(stamps: Stamps, used: Mask, ages_ns: Stamps, span: Span) -> Use:
    """``stamps`` and ``used`` are of all samples, (n,)."""
    first, stop = span.range_of(stamps)
    return Use(ages_ns, int(np.count_nonzero(used[first:stop])), stop - first)


def _share(uses: Sequence[Use]) -> float:
    """Of the samples inside the span, the share that rows use; 0 if there are none."""
    inside = sum(use.inside for use in uses if use.inside > 0)
    return sum(use.used for use in uses) / inside if inside else 0.0


def gap_figures(holes: list[Hole]) -> list[dict[str, str | int | float]]:
    ordered = sorted(holes, key=lambda hole: (hole.start_ns, hole.stream))
    return [
        {"stream": hole.stream, "start_ns": hole.start_ns, "length_ms": hole.length_ms}
        for hole in ordered
    ]
