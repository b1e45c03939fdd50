"""Proof that the dataset's fps is what its rows really are.

LeRobot places row k at k / fps, so a wrong label plays the episode at the wrong speed, unnoticed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.alignment.search import NS_PER_S
from lerobot_pipelines.config.schema import DatasetConfig, TimelineKind
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.model import Stamps
from lerobot_pipelines.periods import period_ns


def rate_hz(stamps: Stamps) -> float | None:
    """The rate of a clock as ``period_ns`` measures it; None for fewer than two stamps."""
    period = period_ns(np.diff(stamps))
    return None if period is None else NS_PER_S / period


def require_rate(intervals: NDArray[np.int64], config: DatasetConfig, what: str) -> None:
    """Raises ``Refused`` (rate_mismatch) if rows at these intervals do not run at the fps.

    They do if either the rate of their clock or their number per time agrees with it: jitter of a
    fifth of a period blurs the first, missing rows change the second. A difference that adds up to
    less than half a row over all of them cannot be told from jitter and passes as well.
    """
    period = period_ns(intervals)
    if period is None:
        return
    fps, tolerance = config.dataset.fps, config.alignment.rate_tolerance
    measured = NS_PER_S / period
    deviation = abs(measured - fps) / fps
    mean_deviation = abs(NS_PER_S / float(intervals.mean()) - fps) / fps
    if min(deviation, mean_deviation) <= max(tolerance, 0.5 / len(intervals)):
        return
    remedies = []
    if config.alignment.timeline is TimelineKind.BASE:
        remedies.append(f"timeline: uniform resamples to {fps} fps")
    nearest = round(measured)
    if nearest >= 1 and abs(measured - nearest) / nearest <= tolerance:
        remedies.append(f"fps: {nearest} is what the recording has")
    raise Refused(
        Reason.RATE_MISMATCH,
        f"{what} come at {measured:.2f} Hz but the dataset says fps: {fps} "
        f"({deviation:.1%} apart, {tolerance:.1%} allowed)"
        + (": " + ", or ".join(remedies) if remedies else ""),
        measured_hz=measured,
        fps=fps,
    )
