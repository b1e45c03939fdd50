"""The episode filters: rows, duration. Each segment becomes an episode, so each must pass.

Where a hole split the recording, segments that do not pass are dropped and counted as
``segment:<reason>``; the recording is refused only if none is left, for its longest one's reason.
A segment's duration is the time from its first to its last row.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.alignment.search import NS_PER_S
from lerobot_pipelines.config.schema import FilterConfig
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.model import Stamps


def failing_segments(
    rows: Stamps, segments: NDArray[np.int32], filtering: FilterConfig
) -> dict[int, Reason]:
    """The segments to drop. Raises ``Refused`` (too_few_frames, too_short, too_long) if all fail.

    ``rows`` and ``segments`` are those of the kept rows, at least one.
    """
    refusals: dict[int, Refused] = {}
    sizes = np.bincount(segments)
    for segment in range(len(sizes)):
        refusal = _refusal(rows[segments == segment], filtering)
        if refusal is not None:
            refusals[segment] = refusal
    if len(refusals) == len(sizes):
        raise refusals[int(np.argmax(sizes))]
    return {segment: refusal.reason for segment, refusal in refusals.items()}


def _refusal(rows: Stamps, filtering: FilterConfig) -> Refused | None:
    frames, seconds = len(rows), float(rows[-1] - rows[0]) / NS_PER_S
    if frames < filtering.min_frames:
        return Refused(
            Reason.TOO_FEW_FRAMES,
            f"{frames} rows are left, fewer than min_frames {filtering.min_frames}",
            rows=frames,
        )
    if seconds < filtering.min_duration_sec:
        return Refused(
            Reason.TOO_SHORT,
            f"the rows last {seconds:.3f} s, less than min_duration_sec "
            f"{filtering.min_duration_sec:g}",
            seconds=seconds,
        )
    if filtering.max_duration_sec is not None and seconds > filtering.max_duration_sec:
        return Refused(
            Reason.TOO_LONG,
            f"the rows last {seconds:.3f} s, more than max_duration_sec "
            f"{filtering.max_duration_sec:g}",
            seconds=seconds,
        )
    return None
