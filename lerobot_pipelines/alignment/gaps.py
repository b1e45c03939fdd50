"""Holes: stretches of time that no data covers, and what becomes of the rows around them.

LeRobot places row k of an episode at k / fps, so rows that are missing inside an episode make time
shrink without a trace. A few dropped rows are tolerable and counted; a hole longer than
``max_timestamp_gap_ms`` is not, wherever it comes from:

- *in a required stream*: two consecutive samples lie further apart, inside the timeline. Rows in
  the hole, further from both of its edges than the stream's strategy reaches (the tolerance, or
  the window), are dropped and counted as ``gap``, whatever the strategy would have made of them.
  Streams that hold are exempt: their silence means "no change", and ``max_age_ms`` is their limit.
- *in the rows*: two consecutive kept rows lie further apart, because the base camera dropped out
  or because the rows between them were dropped for other reasons (``tolerance:<stream>``, ...).

``gap_policy`` decides for both: ``fail`` refuses the recording; ``split`` starts a new segment, and
thereby a new LeRobot episode, behind the hole; ``drop`` goes on in the same episode as if the hole
had not been, which is the explicit wish to let time shrink. All holes are in the report.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.alignment.search import Mask, ms_of_ns, ns_of_ms
from lerobot_pipelines.alignment.sources import Source, VectorSource
from lerobot_pipelines.config.schema import FilterConfig
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.model import Stamps


@dataclass(frozen=True, slots=True)
class Hole:
    """Nothing between two stamps of ``stream``; rows more than the reach inside have no data."""

    stream: str
    start_ns: int
    end_ns: int
    reach_after_ns: int  # how long after start_ns rows are still served
    reach_before_ns: int  # how long before end_ns rows are served again

    @property
    def length_ms(self) -> float:
        return ms_of_ns(self.end_ns - self.start_ns)

    @property
    def middle_ns(self) -> int:
        return (self.start_ns + self.end_ns) // 2


def longest_allowed_ns(filtering: FilterConfig) -> int | None:
    """``max_timestamp_gap_ms`` in ns; None: holes are not looked for."""
    limit = filtering.max_timestamp_gap_ms
    return None if limit is None else ns_of_ms(limit)


def stream_holes(sources: Sequence[Source], rows: Stamps, longest_ns: int | None) -> list[Hole]:
    """The holes of the given streams that overlap the rows, in the order of their beginning."""
    if longest_ns is None:
        return []
    holes = []
    for source in sources:
        if isinstance(source, VectorSource):
            if source.method.holds:
                continue
            stamps, reach = source.stamps, source.method.reach_ns(source.limits)
            reaches = (reach, 0 if source.limits.causal else reach)
        else:
            # Thinning leaves no hole of its own: the camera's silence is what counts.
            stamps, reaches = source.all_stamps, (source.older_ns, source.newer_ns)
        for i in np.flatnonzero(np.diff(stamps) > longest_ns):
            start, end = int(stamps[i]), int(stamps[i + 1])
            if start < rows[-1] and end > rows[0]:
                holes.append(Hole(source.name, start, end, *reaches))
    return sorted(holes, key=lambda hole: (hole.start_ns, hole.stream))


def rows_inside(holes: Sequence[Hole], rows: Stamps) -> Mask:
    """Which rows lie in a hole, beyond its reach. Shape of ``rows``."""
    inside = np.zeros(len(rows), np.bool_)
    for hole in holes:
        first = np.searchsorted(rows, hole.start_ns + hole.reach_after_ns, side="right")
        stop = np.searchsorted(rows, hole.end_ns - hole.reach_before_ns, side="left")
        inside[first : max(first, stop)] = True
    return inside


def row_holes(
    kept: Stamps, blame: Callable[[int], str], known: Sequence[Hole], longest_ns: int | None
) -> list[Hole]:
    """Holes between kept rows that no known hole of a stream explains.

    ``blame(i)`` names the stream because of which there is no row between kept rows i and i + 1.
    """
    if longest_ns is None:
        return []
    holes = []
    for i in np.flatnonzero(np.diff(kept) > longest_ns):
        start, end = int(kept[i]), int(kept[i + 1])
        if not any(start <= hole.middle_ns < end for hole in known):
            holes.append(Hole(blame(int(i)), start, end, 0, 0))
    return holes


def refuse_holes(holes: Sequence[Hole], origin_ns: int, filtering: FilterConfig) -> None:
    """Raises ``Refused`` (gap) under the policy ``fail`` if there is any hole."""
    if not holes or filtering.gap_policy != "fail":
        return
    worst = max(holes, key=lambda hole: (hole.end_ns - hole.start_ns, -hole.start_ns))
    others = f" (and {len(holes) - 1} more)" if len(holes) > 1 else ""
    raise Refused(
        Reason.GAP,
        f"stream {worst.stream} gives no usable data for {worst.length_ms:.1f} ms from "
        f"{(worst.start_ns - origin_ns) / 1e9:.3f} s into the rows on{others}, longer than "
        f"max_timestamp_gap_ms {filtering.max_timestamp_gap_ms:g}; gap_policy: split makes "
        "episodes of the parts, drop leaves the hole out",
        stream=worst.stream,
        start_ns=worst.start_ns,
        length_ms=worst.length_ms,
        holes=len(holes),
    )


def segments_of(kept: Stamps, holes: Sequence[Hole], filtering: FilterConfig) -> NDArray[np.int32]:
    """The segment of every kept row, from 0 without omission: one more behind each hole."""
    if filtering.gap_policy != "split":
        return np.zeros(len(kept), np.int32)
    # A row exactly in the middle of a hole belongs to the part before it, as in ``nearest``.
    middles = np.unique(np.array([hole.middle_ns for hole in holes], dtype=np.int64))
    parts = np.searchsorted(middles, kept, side="left")
    return np.unique(parts, return_inverse=True)[1].astype(np.int32)
