"""The figures of one alignment, all computed from what was really used."""

from __future__ import annotations

import numpy as np

from lerobot_pipelines.alignment.gaps import Hole
from lerobot_pipelines.alignment.search import Mask
from lerobot_pipelines.alignment.timeline import Span
from lerobot_pipelines.model import Stamps


def age_figures(ages_ns: Stamps) -> dict[str, float]:
    """Median, 95th percentile (both interpolated) and maximum of |age| in ms."""
    p50, p95, largest = np.percentile(np.abs(ages_ns), [50, 95, 100]) / 1e6
    return {"p50": float(p50), "p95": float(p95), "max": float(largest)}


def share_used(stamps: Stamps, used: Mask, span: Span) -> float:
    """Of the samples inside the span, the share that rows use; 0 if there are none."""
    first, stop = span.range_of(stamps)
    return float(np.count_nonzero(used[first:stop]) / (stop - first)) if stop > first else 0.0


def gap_figures(holes: list[Hole]) -> list[dict[str, str | int | float]]:
    ordered = sorted(holes, key=lambda hole: (hole.start_ns, hole.stream))
    return [
        {"stream": hole.stream, "start_ns": hole.start_ns, "length_ms": hole.length_ms}
        for hole in ordered
    ]
