"""Header against receive stamps of one stream: offset, drift and jitter, each by itself.

The delay of a message is its receive stamp minus its header stamp. Transport and a starving
recorder only ever lengthen it, so its floor is what the two clocks differ by, and how the floor
moves is their drift.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.model import Stamps
from lerobot_pipelines.periods import steady_rate_hz

DETAILS_KEY = "clocks"

_FLOOR_PERCENTILE = 5
_BLOCKS = 20  # of which each has a floor
_MIN_PER_BLOCK = 5
_MOST_FOR_PERCENTILES = 4000  # more tell nothing new
_MIN_FOR_DRIFT = 3 * _MIN_PER_BLOCK
# Of a period: messages that follow one another faster were waiting somewhere together.
_BURST = 0.05
_NS_PER_MS = 1e6


@dataclass(frozen=True, slots=True)
class ClockFigures:
    """Kept as plain values in ``Stream.details["clocks"]``; see ``figures_of``."""

    messages: int
    unstamped: int  # without a header stamp, or zero
    repeated: int  # header stamps equal to the one before
    offset_ms: float | None = None  # floor of the delay; negative: stamped after reception
    drift_ms: float = 0.0  # by how much the floor moves from the first to the last message
    jitter_ms: float = 0.0  # 95th percentile of the delay above its floor
    receive_rate_hz: float | None = None
    header_rate_hz: float | None = None
    burst_share: float = 0.0  # of the receive intervals

    def as_details(self) -> dict[str, Any]:
        return asdict(self)


def figures_of(details: Mapping[str, Any]) -> ClockFigures | None:
    """The figures in a stream's details; None for streams of files and of earlier versions."""
    found = details.get(DETAILS_KEY)
    if not isinstance(found, Mapping):
        return None
    names = {field.name for field in fields(ClockFigures)}
    try:
        return ClockFigures(**{name: found[name] for name in found if name in names})
    except TypeError:
        return None


def measure_clocks(receive: Stamps, headers: Stamps) -> ClockFigures:
    """Figures of a stream's messages in the order of the file, both (n,), ns.

    ``headers`` is zero or less where a message has no stamp.
    """
    stamped = headers > 0
    told, received = headers[stamped], receive[stamped]
    receive_rate = steady_rate_hz(receive)
    counts = {
        "messages": len(receive),
        "unstamped": len(receive) - len(told),
        "repeated": int(np.count_nonzero(np.diff(told) == 0)),
    }
    if len(told) == 0:
        return ClockFigures(**counts, receive_rate_hz=_rounded(receive_rate))
    delays = (received - told) / _NS_PER_MS
    at = (received - received[0]) / _NS_PER_MS
    slope = _slope(at, delays)
    every = -(-len(delays) // _MOST_FOR_PERCENTILES)
    level = delays[::every] - slope * (at[::every] - at[len(at) // 2])
    low, high = np.percentile(level, [_FLOOR_PERCENTILE, 95]).tolist()
    header_rate = steady_rate_hz(told)
    return ClockFigures(
        **counts,
        offset_ms=round(low, 3),
        drift_ms=round(slope * float(at.max() - at.min()), 3),
        jitter_ms=round(high - low, 3),
        receive_rate_hz=_rounded(receive_rate),
        header_rate_hz=_rounded(header_rate),
        burst_share=round(_burst_share(receive, header_rate or receive_rate), 4),
    )


def _slope(at: NDArray[np.float64], delays: NDArray[np.float64]) -> float:
    """How the floor of the delays moves with time (ms per ms): the median over pairs of blocks."""
    if len(at) < _MIN_FOR_DRIFT:
        return 0.0
    count = min(_BLOCKS, len(at) // _MIN_PER_BLOCK)
    starts = np.arange(count) * len(at) // count
    floors = np.minimum.reduceat(delays, starts)
    moments = at[(starts + np.append(starts[1:], len(at))) // 2]
    first, second = np.triu_indices(count, 1)
    spans = moments[second] - moments[first]
    apart = spans > 0
    if not apart.any():
        return 0.0
    return float(np.median((floors[second] - floors[first])[apart] / spans[apart]))


def _burst_share(receive: Stamps, rate_hz: float | None) -> float:
    intervals = np.diff(receive)
    if rate_hz is None or len(intervals) == 0:
        return 0.0
    return float(np.mean((intervals >= 0) & (intervals < _BURST * 1e9 / rate_hz)))


def _rounded(rate_hz: float | None) -> float | None:
    return None if rate_hz is None else round(rate_hz, 6)
