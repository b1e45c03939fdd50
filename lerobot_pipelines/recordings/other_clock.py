"""Jumps ahead of one clock that another one shows to be none of time.

A clock that jumps ahead looks like a pause of its stream. Where messages carry a second stamp, that
one tells: in a pause both go on, when a clock is set only that one does. A recorder that starves is
late for a while and catches up; a clock that was set stays ahead.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.model import Stamps
from lerobot_pipelines.periods import NS_PER_S, steady_rate_hz

# Less than this may be a sensor that changed what it takes to deliver.
_MIN_JUMP_NS = 100_000_000
_MIN_SAMPLES = 5  # on either side
_WINDOW = 100
_MOST_CANDIDATES = 1000
_FLOOR_PERCENTILE = 10
# Times what clocks differ by from one sample to the next all the time: one that stands still.
_SHARE_OF_JUMPS = 5


def jumps_ahead(used: Stamps, other: Stamps) -> NDArray[np.int64]:
    """Positions from which on ``used`` is ahead of where it was against ``other``, both (n,).

    Both are in recording order, ns. Steps back need no second clock; see ``chronology``.
    """
    none = np.empty(0, np.int64)
    if len(used) < 2 * _MIN_SAMPLES:
        return none
    steps = np.diff(used)
    ahead = steps - np.diff(other)
    if not (ahead > _MIN_JUMP_NS).any() or (rate := steady_rate_hz(used)) is None:
        return none
    usual = _SHARE_OF_JUMPS * np.percentile(np.abs(ahead), 90)
    # The other clock may have been set back instead: then this one has not moved.
    own = steps - NS_PER_S / rate > ahead / 2
    candidates = np.flatnonzero((ahead > max(_MIN_JUMP_NS, usual)) & own) + 1
    if len(candidates) > _MOST_CANDIDATES:
        return none
    lead = used - other
    found = [
        at for at in candidates.tolist() if _stays(lead, at, int(ahead[at - 1]), rate / NS_PER_S)
    ]
    return np.array(found, np.int64)


def _stays(lead: Stamps, at: int, jump_ns: int, samples_per_ns: float) -> bool:
    # A jump from another origin need not be waited for: no recorder is late by that.
    catching_up = min(2 * jump_ns * samples_per_ns, len(lead) / 2)
    window = max(_WINDOW, round(catching_up))
    before, behind = lead[max(0, at - window) : at], lead[at : at + window]
    if min(len(before), len(behind)) < _MIN_SAMPLES:
        return False
    # Being late lengthens the lead of the receive clock and shortens that of a header: both ends
    # of the distribution must have moved.
    moved = [
        float(np.percentile(behind, q) - np.percentile(before, q))
        for q in (_FLOOR_PERCENTILE, 100 - _FLOOR_PERCENTILE)
    ]
    return min(moved) > jump_ns / 2
