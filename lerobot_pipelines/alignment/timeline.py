"""The candidate rows: moments at which every required stream has begun and none has ended.

``base``: one row per picture of the base camera, at the picture's own stamp. ``uniform``: rows at
start + k / fps, where start is the beginning of the overlap, each rounded on its own to a
nanosecond.

The overlap is [latest first stamp, earliest last stamp] of the required streams (a stream that
holds counts until its last value has become too old). Then ``trim_start_frames`` and
``trim_end_frames`` rows are cut off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from lerobot_pipelines.alignment.search import NS_PER_S, grid_ns
from lerobot_pipelines.alignment.sources import PictureSource, Source
from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.model import Stamps

# Ten hours at 30 Hz, whatever is recorded; beyond that, rows need samples that can fill them.
MAX_ROWS_ANYWAY = 1_000_000
MAX_ROWS_PER_SAMPLE = 20


@dataclass(frozen=True, slots=True)
class Span:
    """A closed interval of time."""

    start_ns: int
    end_ns: int

    def count(self, stamps: Stamps) -> int:
        first, stop = self.range_of(stamps)
        return stop - first

    def range_of(self, stamps: Stamps) -> tuple[int, int]:
        """Positions of the first stamp inside and of the first one after it."""
        first = int(np.searchsorted(stamps, self.start_ns, side="left"))
        return first, int(np.searchsorted(stamps, self.end_ns, side="right"))


@dataclass(frozen=True, slots=True)
class Timeline:
    """``rows``: (n,) candidate row times. ``extent`` is the time in which rows could have been."""

    rows: Stamps
    overlap: Span
    extent: Span


def overlap_of(sources: Sequence[Source]) -> Span:
    """Raises ``Refused`` (no_overlap) that names the two streams which never meet."""
    latest = max(sources, key=lambda source: int(source.stamps[0]))
    earliest = min(sources, key=lambda source: source.covers_until_ns)
    span = Span(int(latest.stamps[0]), earliest.covers_until_ns)
    if span.start_ns > span.end_ns:
        seconds = (span.start_ns - span.end_ns) / NS_PER_S
        raise Refused(
            Reason.NO_OVERLAP,
            f"stream {latest.name} starts {seconds:.3f} s after {earliest.name} has ended; if "
            "their clocks differ, set offset_ms or another clock for one of them",
            later=latest.name,
            earlier=earliest.name,
        )
    return span


def timeline_of(
    sources: Sequence[Source],
    base: PictureSource | None,
    config: DatasetConfig,
) -> Timeline:
    """``sources`` are those whose overlap holds the rows; ``base`` None: a uniform grid.

    Raises ``Refused``: no_overlap, too_few_frames, and gap where a uniform grid would have rows
    out of all proportion to the samples.
    """
    overlap = overlap_of(sources)
    if base is None:
        extent = Span(
            min(int(source.stamps[0]) for source in sources),
            max(int(source.stamps[-1]) for source in sources),
        )
        rows = _uniform_rows(overlap, sources, config.dataset.fps)
    else:
        extent = Span(int(base.all_stamps[0]), int(base.all_stamps[-1]))
        rows = base.stamps[slice(*overlap.range_of(base.stamps))]
    untrimmed = len(rows)
    first = min(config.alignment.trim_start_frames, untrimmed)
    rows = rows[first : max(first, untrimmed - config.alignment.trim_end_frames)]
    if len(rows) < config.filtering.min_frames:
        raise Refused(
            Reason.TOO_FEW_FRAMES,
            f"only {len(rows)} rows lie in the {(overlap.end_ns - overlap.start_ns) / NS_PER_S:.3f}"
            f" s in which all required streams run ({untrimmed} before trimming), fewer than "
            f"min_frames {config.filtering.min_frames}",
            rows=len(rows),
        )
    return Timeline(rows, overlap, extent)


def _uniform_rows(overlap: Span, sources: Sequence[Source], fps: int) -> Stamps:
    count = (overlap.end_ns - overlap.start_ns) * fps // NS_PER_S + 2
    samples = sum(len(source.stamps) for source in sources)
    if count > MAX_ROWS_ANYWAY + MAX_ROWS_PER_SAMPLE * samples:
        holes = {source.name: _longest_hole(source.stamps) for source in sources}
        name = max(holes, key=lambda name: holes[name][1])
        at_ns, hole_ns = holes[name]
        raise Refused(
            Reason.GAP,
            f"the stamps span {(overlap.end_ns - overlap.start_ns) / NS_PER_S:.0f} s, which is "
            f"{count} rows at fps: {fps} for {samples} samples; stream {name} alone is silent for "
            f"{hole_ns / NS_PER_S:.0f} s, {at_ns / NS_PER_S:.3f} s after its beginning. Correct "
            "the stamps, or use timeline: base",
            stream=name,
            rows=count,
            samples=samples,
        )
    rows = overlap.start_ns + grid_ns(count, Fraction(fps))
    return rows[: int(np.searchsorted(rows, overlap.end_ns, side="right"))]


def _longest_hole(stamps: Stamps) -> tuple[int, int]:
    """Where it begins, after the first stamp, and how long it is, ns."""
    steps = np.diff(stamps)
    if len(steps) == 0:
        return 0, 0
    at = int(steps.argmax())
    return int(stamps[at] - stamps[0]), int(steps[at])
