"""Which stamp belongs to which picture of a video, where there are more of one than of the other.

The times that the video gives its pictures (pts) are rounded or those of a player, so they are no
stamps; but a picture that was left out leaves a hole in them, and its place is all that is needed.
Where the holes could lie at several places there is no pairing.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.model import Stamps

Places = NDArray[np.int64]

# In usual steps: how far a time may be from its place.
_FIT = 0.25
# Shifts of one list against the other that are tried.
_MAX_SHIFTS = 200
# Another shift has to fit so many times worse.
_AHEAD = 4.0
# A step that differs by so much from the other list's is a picture more or less.
_JUMP = 0.6
_BURST = 3


@dataclass(frozen=True, slots=True)
class Pairing:
    """Places in the video and in the stamps, strictly increasing, both (n,)."""

    pictures: Places
    rows: Places


def pair(times_ns: Stamps, stamps: Stamps) -> Pairing | None:
    """The pairs of pictures at ``times_ns`` of the video with ``stamps``; None if it is not known.

    Of even times, it is taken that the longer list is complete; one with a hole is not.

    The times are strictly increasing. As many of both are paired in their order.
    """
    pictures, rows = len(times_ns), len(stamps)
    if pictures == rows:
        everything = np.arange(rows)
        return Pairing(everything, everything)
    if min(pictures, rows) < 2 or np.any(np.diff(stamps) <= 0):
        return None
    if pictures > rows:
        # A hole in the stamps may be one that the camera made, and an encoder numbered over.
        places = _matched(stamps, times_ns, holes_tell=False)
        return None if places is None else Pairing(places, np.arange(rows))
    counted, matched = _counted(times_ns, stamps), _matched(times_ns, stamps, holes_tell=True)
    if counted is not None and matched is not None and not np.array_equal(counted, matched):
        return None
    found = matched if counted is None else counted
    return None if found is None else Pairing(np.arange(pictures), found)


@dataclass(frozen=True, slots=True)
class Doubt:
    """``picture``: the one before a hole that the video shows and the stamps do not.

    ``is_contradiction``: the stamps have one elsewhere, so both lack a picture, not the same one.
    """

    picture: int
    is_contradiction: bool


def doubt(times_ns: Stamps, stamps: Stamps) -> Doubt | None:
    """What speaks against pairing as many times as stamps in their order; None if nothing does.

    Stamps with a hole that the video's times do not show are usual: encoders number what they get.
    """
    if len(times_ns) < 3:
        return None
    apart = _steps(times_ns) - _steps(stamps)
    jumps = [(at, apart[at] > 0) for at in np.flatnonzero(np.abs(apart) > _JUMP).tolist()]
    if not any(shown for _, shown in jumps):
        return None
    for (at, shown), (later, shown_later) in pairwise(jumps):
        # Pictures that came late and then in a burst are back at once.
        if shown != shown_later and later - at >= _BURST:
            return Doubt(at if shown else later, True)
    alone = [at for at, shown in jumps if shown and not _is_made_up_for(apart, at)]
    return Doubt(alone[0], False) if alone else None


def _is_made_up_for(apart: NDArray[np.float64], at: int) -> bool:
    return bool(abs(apart[max(0, at - _BURST) : at + _BURST + 1].sum()) < _JUMP)


def _steps(times: Stamps) -> NDArray[np.float64]:
    steps = np.diff(times)
    return np.asarray(steps / np.median(steps), np.float64)


def _counted(times_ns: Stamps, stamps: Stamps) -> Places | None:
    """The places that times on an even grid count, if they reach from the first stamp to the last
    and no stamp between them is missing."""
    period = float(np.median(np.diff(times_ns)))
    exact = (times_ns - times_ns[0]) / period
    places = np.rint(exact).astype(np.int64)
    if np.abs(exact - places).max() > _FIT or np.any(np.diff(places) < 1):
        return None
    if places[-1] != len(stamps) - 1 or np.any(_steps(stamps) > 1 + _JUMP):
        return None
    return np.asarray(places, np.int64)


def _matched(few: Stamps, many: Stamps, *, holes_tell: bool) -> Places | None:
    """The places in ``many`` at which the times of ``few`` lie, whatever the two clocks differ by.

    None where no shift fits, or several do about as well.
    """
    shifts = len(many) - len(few) + 1
    if shifts > _MAX_SHIFTS:
        return None
    period = float(np.median(np.diff(many)))
    fits: list[tuple[float, Places]] = []
    for shift in range(shifts):
        places, error = _nearest(few - few[0] + many[shift], many)
        if error <= _FIT * period and np.all(np.diff(places) > 0):
            fits.append((error, places))
    if not fits:
        return None
    fits.sort(key=lambda fit: fit[0])
    error, places = fits[0]
    if len(fits) > 1 and fits[1][0] < _AHEAD * max(error, period / 1000):
        return None
    # Times on an even grid fit anywhere, holes or not, unless the other list has none: uneven ones
    # are known again.
    steps = np.diff(few)
    uneven = float(np.abs(steps - np.rint(steps / period) * period).max())
    is_complete = not np.any(_steps(many) > 1 + _JUMP)
    has_holes = holes_tell and is_complete and places[-1] - places[0] + 1 > len(places)
    return places if has_holes or uneven > _AHEAD * max(error, period / 1000) else None


def _nearest(times: Stamps, among: Stamps) -> tuple[Places, float]:
    """The places of the nearest ones, and the largest distance."""
    after = np.clip(np.searchsorted(among, times), 1, len(among) - 1)
    places = np.where(times - among[after - 1] <= among[after] - times, after - 1, after)
    return places, float(np.abs(among[places] - times).max())
