"""The order of a stream's samples in time, and where its clock stepped.

Recording order is what reveals a step. Samples that come late (a queue, two threads, a chunk of a
file that lies elsewhere) leave a hole where they belong and fill it when they are put in order. A
clock that was set back leaves none: its samples would come to lie between those of another time.
So samples that fill a hole are put in order and counted, a few that fit nowhere are left out, and
what does neither is a step: the stream goes on in a new *epoch*, which is never mixed with the one
before. Forward, a clock that jumps looks like a pause; only a jump longer than any pause is a step
by itself (with a second clock see ``other_clock``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.model import ClockStep, Stamps
from lerobot_pipelines.periods import steady_rate_hz

Positions = NDArray[np.int64]

# A step below this is jitter: putting in order misplaces no sample by more than it.
JITTER_NS = 20_000_000
# A stamp further back than this is out of order by more than the noise of a clock.
_NOISE_NS = 5_000_000
# No recorder pauses for so long within one recording; clocks that are set do.
LONGEST_PAUSE_NS = 3_600_000_000_000
# So few samples that fit nowhere have wrong stamps; more of them are another time.
_MOST_STRAYS_TOGETHER = 2
# Samples that fit nowhere and come again and again are those of another publisher.
_SHARE_OF_STRAYS = 0.02
_FEW_STRAYS = 3
_MOST_STRAYS = 200
#: A clock that steps more often is no clock; whoever aligns the stream refuses it.
MAX_STEPS = 16
# Late samples are looked for among so many before them, at least.
_WINDOW = 2000
# More runs of late samples than these, and than an eighth of all: no single clock.
_MAX_STEPS_AND_STRAYS = 8
# A step of fewer periods must last to be told from jitter; over so many samples.
_SMALL_STEP_PERIODS = 4
_LASTS = 8


@dataclass(frozen=True, slots=True)
class Chronology:
    """``order`` (n,): positions of the kept samples, epoch by epoch, increasing in each.

    ``steps`` begin the second and later epochs. ``disordered`` samples were put in order, the
    furthest by ``largest_disorder_ns``. ``several_sources``: so many fit nowhere that the stream
    cannot be of one clock; all are in the order of their stamps. ``strays`` (k,): positions of
    samples left out because their stamps fit nowhere.
    """

    order: Positions
    steps: tuple[ClockStep, ...] = ()
    backwards: int = 0
    disordered: int = 0
    largest_disorder_ns: int = 0
    repeated: int = 0
    strays: Positions = field(default_factory=lambda: np.empty(0, np.int64))
    several_sources: bool = False


def put_in_order(stamps: Stamps, jumps: Positions | None = None) -> Chronology:
    """The chronology of stamps (n,) in recording order, ns.

    ``jumps`` are positions from which on the clock is known to be another (``other_clock``).
    """
    differences = np.diff(stamps)
    backwards = int(np.count_nonzero(differences < 0))
    known = [] if jumps is None else jumps.tolist()
    if not backwards and not known and not (differences > LONGEST_PAUSE_NS).any():
        order = np.flatnonzero(np.concatenate(([True], differences > 0))[: len(stamps)])
        return Chronology(order, repeated=len(stamps) - len(order))
    search = _Search(stamps)
    search.run()
    if not search.several_sources:
        search.starts = sorted({*search.starts, *known})
    return search.result(backwards)


def in_order_of_stamps(stamps: Stamps) -> Chronology:
    """The same where recording order is not known: pauses that are none are its only steps."""
    order = np.argsort(stamps, kind="stable")
    found = put_in_order(stamps[order])
    return Chronology(order[found.order], found.steps, repeated=found.repeated)


@dataclass(slots=True)
class _Late:
    """Consecutive samples behind one that came before them: [start, stop) of the kept ones."""

    start: int
    stop: int


class _Search:
    """Goes through a stream once, from one irregularity to the next."""

    def __init__(self, stamps: Stamps) -> None:
        self.stamps = stamps
        self.kept: Positions = np.arange(len(stamps))
        self.period = _period_ns(stamps)
        self.starts: list[int] = []  # positions at which new epochs begin
        self.strays: list[int] = []
        self.disordered = 0
        self.largest = 0
        self.several_sources = False
        share = int(_SHARE_OF_STRAYS * len(stamps))
        self._most_strays = min(max(_FEW_STRAYS, share), _MOST_STRAYS)

    def run(self) -> None:
        if self._is_no_recording_order():
            self._give_up()
            return
        base = after = 0  # among the kept: where the epoch began, and what is settled
        while True:
            values = self.stamps[self.kept]
            late = _late_runs(values, base, max(_NOISE_NS, JITTER_NS - round(self.period)))
            if len(late) > max(_MAX_STEPS_AND_STRAYS, len(values) // 8):
                self._give_up()
                return
            event = next(
                (
                    one
                    for one in late
                    if one.start >= after and not self._fill_a_hole(values, base, one)
                ),
                None,
            )
            if event is None:
                break
            removed = self._strays_of(values, base, event)
            if removed is not None:
                self.strays += self.kept[removed].tolist()
                self.kept = np.delete(self.kept, removed)
                after = max(base, event.start - len(removed))
                if len(self.strays) > self._most_strays:
                    self._give_up()
                    return
                continue
            if not self._lasts(values, base, event):
                after = event.stop
                continue
            self.starts.append(int(self.kept[event.start]))
            base = after = event.start
            if len(self.starts) > MAX_STEPS:
                break
        self._count_disorder()

    def _is_no_recording_order(self) -> bool:
        """A table in another order than that of recording: shuffled, or the latest first."""
        if 4 * np.count_nonzero(np.diff(self.stamps) < 0) <= len(self.stamps):
            return False
        return bool(np.mean(np.diff(np.sort(self.stamps)) < int(self.period / 4)) < 0.05)

    def _give_up(self) -> None:
        self.kept = np.arange(len(self.stamps))
        self.starts, self.strays = [], []
        self.several_sources = True
        self._count_disorder()

    def _count_disorder(self) -> None:
        values = self.stamps[self.kept]
        bounds = np.searchsorted(self.kept, [0, *self.starts, len(self.stamps)])
        for first, stop in pairwise(bounds.tolist()):
            part = values[first:stop]
            if len(part) < 2:
                continue
            behind = np.maximum.accumulate(part)[:-1] - part[1:]
            self.disordered += int(np.count_nonzero(behind > 0))
            self.largest = max(self.largest, int(behind.max()))

    def _fill_a_hole(self, values: Stamps, base: int, late: _Late) -> bool:
        """Whether the fewer of those that are out of order fit between two of the others."""
        ahead = self._ahead(values, base, late)
        moved = np.arange(late.start, late.stop)
        others = np.arange(max(base, late.start - _reach(late, ahead)), late.start)
        if len(ahead) < len(moved):
            rest = np.setdiff1d(others, ahead, assume_unique=True)
            following = values[late.start : late.start + _reach(late, ahead)]
            beyond = np.flatnonzero(following > values[ahead].max())
            stop = late.start + (int(beyond[0]) + 1 if len(beyond) else len(following))
            moved, others = ahead, np.concatenate([rest, np.arange(late.start, stop)])
        low, high = values[moved].min(), values[moved].max()
        among = values[others]
        if np.count_nonzero((among >= low) & (among <= high)) > len(moved) // 5:
            return False
        below, above = among[among < low], among[among > high]
        if not len(below) and not len(above):
            return False
        if len(below) and moved[0] == base:
            # The first samples of all arrive before older ones only where the clock was set back.
            return False
        if not len(below) or not len(above):
            # A few may be the first or last of all, if they join on to the others.
            edge = above.min() - high if len(above) else low - below.max()
            joins = 0.5 * self.period <= edge <= 1.5 * self.period
            return bool(joins and len(moved) <= _MOST_STRAYS_TOGETHER)
        return bool(above.min() - below.max() >= (len(moved) + 0.5) * self.period)

    def _ahead(self, values: Stamps, base: int, late: _Late) -> Positions:
        """Those before the late ones whose stamps are later, as far as they are looked at."""
        first = max(base, late.start - max(_WINDOW, 4 * (late.stop - late.start)))
        return first + np.flatnonzero(values[first : late.start] > values[late.start])

    def _strays_of(self, values: Stamps, base: int, late: _Late) -> Positions | None:
        """The few samples with wrong stamps that explain this; None: it is a step."""
        ahead = self._ahead(values, base, late)
        count = late.stop - late.start
        if len(ahead) <= _MOST_STRAYS_TOGETHER and len(ahead) <= count:
            before = int(ahead[0]) - 1
            if before < base:
                return ahead
            # Without the strays the stream goes on as its period has it.
            elapsed = int(values[late.start] - values[before])
            missing = (late.start - before) * self.period - elapsed
            if missing < 0.5 * (len(ahead) + 1) * self.period:
                return ahead
        if count <= _MOST_STRAYS_TOGETHER:
            moved = np.arange(late.start, late.stop)
            if late.stop == len(values):
                return moved
            elapsed = int(values[late.stop] - values[base : late.start].max())
            if (count + 1) * self.period - elapsed < 0.5 * (count + 1) * self.period:
                return moved
        return None

    def _lasts(self, values: Stamps, base: int, late: _Late) -> bool:
        """Whether the samples from the late ones on all come too early for their number."""
        back = int(values[base : late.start].max()) - int(values[late.start])
        if back > _SMALL_STEP_PERIODS * self.period:
            return True
        first, stop = max(base, late.start - _LASTS), min(len(values), late.start + _LASTS)
        phases = values[first:stop] - self.period * np.arange(first, stop) - float(values[first])
        before, behind = phases[: late.start - first], phases[late.start - first :]
        if min(len(before), len(behind)) <= _MOST_STRAYS_TOGETHER:
            return False
        return bool(np.median(before) - np.median(behind) > (back + self.period) / 2)

    def result(self, backwards: int) -> Chronology:
        bounds = np.searchsorted(self.kept, [0, *self.starts, len(self.stamps)])
        parts: list[Positions] = []
        steps: list[ClockStep] = []
        repeated = 0
        for first, stop in pairwise(bounds.tolist()):
            epoch = self.kept[first:stop]
            epoch = epoch[np.argsort(self.stamps[epoch], kind="stable")]
            new = np.concatenate(([True], np.diff(self.stamps[epoch]) > 0))[: len(epoch)]
            repeated += int(np.count_nonzero(~new))
            for part in _without_far_jumps(self.stamps, epoch[new]):
                if parts:
                    steps.append(self._step(parts, part))
                parts.append(part)
        return Chronology(
            np.concatenate(parts) if parts else np.empty(0, np.int64),
            tuple(steps),
            backwards,
            self.disordered,
            self.largest,
            repeated,
            np.array(sorted(self.strays), np.int64),
            self.several_sources,
        )

    def _step(self, parts: Sequence[Positions], following: Positions) -> ClockStep:
        before = int(self.stamps[parts[-1][-1]])
        after = int(self.stamps[following[0]])
        return ClockStep(
            position=sum(len(part) for part in parts),
            before_ns=before,
            after_ns=after,
            size_ns=after - before - round(self.period),
        )


def _late_runs(values: Stamps, base: int, limit_ns: int) -> list[_Late]:
    """The runs of samples behind an earlier one, from ``base`` on and from where they are so by
    more than the limit."""
    part = values[base:]
    if len(part) < 2:
        return []
    behind = np.maximum.accumulate(part)[:-1] - part[1:]
    far = np.flatnonzero(behind > limit_ns)
    caught_up = np.append(np.flatnonzero(behind <= 0), len(behind))
    stops = caught_up[np.searchsorted(caught_up, far)]
    stops, first = np.unique(stops, return_index=True)
    return [
        _Late(base + start + 1, base + stop + 1)
        for start, stop in zip(far[first].tolist(), stops.tolist(), strict=True)
    ]


def _reach(late: _Late, ahead: Positions) -> int:
    return max(_WINDOW, 4 * (late.stop - late.start + len(ahead)))


def _without_far_jumps(stamps: Stamps, epoch: Positions) -> list[Positions]:
    far = np.flatnonzero(np.diff(stamps[epoch]) > LONGEST_PAUSE_NS) + 1
    return [part for part in np.split(epoch, far) if len(part)]


def _period_ns(stamps: Stamps) -> float:
    rates = [rate for order in (stamps, np.sort(stamps)) if (rate := steady_rate_hz(order))]
    return 1e9 / max(rates) if rates else 0.0
