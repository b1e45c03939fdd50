"""Late samples are put in order, wrong stamps left out, and clocks that were set are found."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lerobot_pipelines.model import Stamps
from lerobot_pipelines.recordings.chronology import (
    JITTER_NS,
    MAX_STEPS,
    in_order_of_stamps,
    put_in_order,
)

MS = 1_000_000
T0 = 1_764_167_571_000_000_000


def clock(period_ms: float, count: int = 100) -> Stamps:
    return T0 + np.rint(np.arange(count) * period_ms * MS).astype(np.int64)


@given(st.lists(st.integers(0, 30), max_size=40))
def test_jitter_is_sorted_and_of_equals_the_first_is_kept(numbers: list[int]) -> None:
    stamps = np.array(numbers, np.int64)
    found = put_in_order(stamps)
    assert stamps[found.order].tolist() == sorted(set(numbers))
    assert found.order.tolist() == [numbers.index(stamp) for stamp in sorted(set(numbers))]
    assert found.repeated == len(numbers) - len(set(numbers))
    assert found.backwards == sum(b < a for a, b in pairwise(numbers))
    assert found.steps == () and len(found.strays) == 0


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_clock_set_back_at_any_moment_by_any_size_is_found(data: st.DataObject) -> None:
    period = data.draw(st.sampled_from([2.0, 10.0, 33.3, 40.0]))
    count = data.draw(st.integers(60, 300))
    at = data.draw(st.integers(8, count - 8))
    # Three periods and more show in the samples of one stream alone.
    size_ms = data.draw(st.floats(max(3 * period, 30), 100_000)) * data.draw(
        st.sampled_from([1.0, 1.0, 1e6])
    )
    size = round(size_ms * MS)
    jitter = data.draw(st.sampled_from([0.0, 0.05, 0.2])) * period * MS
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    stamps = clock(period, count) + np.rint(rng.uniform(0, jitter, count)).astype(np.int64)
    stamps[at:] -= size
    found = put_in_order(stamps)
    (step,) = found.steps
    assert step.position == at
    assert step.before_ns == stamps[:at].max() and step.after_ns == stamps[at:].min()
    assert abs(step.size_ns + size) <= 2 * period * MS
    assert found.order.tolist() == list(range(count)) or jitter
    assert sorted(found.order[:at].tolist()) == list(range(at))
    assert found.several_sources is False


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_two_times_are_never_mixed(data: st.DataObject) -> None:
    """However small a step and however full of holes the stream: an error is below the jitter,
    or a period of the stream, which is where samples no longer overlap."""
    period = data.draw(st.sampled_from([5.0, 10.0, 20.0, 40.0]))
    count = 200
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    true = clock(period, count)[rng.random(count) > data.draw(st.sampled_from([0.0, 0.05]))]
    at = data.draw(st.integers(3, len(true) - 8))
    size = round(data.draw(st.floats(0, 400)) * MS)
    stamps = true.copy()
    stamps[at:] -= size
    found = put_in_order(stamps)
    bounds = [0, *(step.position for step in found.steps), len(found.order)]
    for first, stop in pairwise(bounds):
        ordered = true[found.order[first:stop]]
        back = (np.maximum.accumulate(ordered) - ordered).max(initial=0)
        assert back <= max(JITTER_NS, 3 * period * MS), (size / MS, at, found.steps)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_samples_that_come_late_fill_their_hole(data: st.DataObject) -> None:
    period = data.draw(st.sampled_from([10.0, 40.0]))
    count = 200
    first = data.draw(st.integers(1, 150))
    length = data.draw(st.integers(1, 20))
    later = data.draw(st.integers(1, 25))
    late = np.arange(first, first + length)
    rest = np.setdiff1d(np.arange(count), late)
    place = int(np.searchsorted(rest, first)) + later
    recorded = np.concatenate([rest[:place], late, rest[place:]])
    stamps = clock(period, count)[recorded]
    found = put_in_order(stamps)
    assert recorded[found.order].tolist() == list(range(count))
    assert found.steps == () and len(found.strays) == 0
    # Of the two groups that passed one another either may be called late.
    assert found.largest_disorder_ns >= period * MS
    assert found.disordered >= 1


@pytest.mark.parametrize("error_ms", [-1_500.0, 1_500.0, -3.6e9, 3.6e9, 60.0 + 1e7])
@pytest.mark.parametrize("together", [1, 2])
def test_single_wrong_stamps_are_left_out(error_ms: float, together: int) -> None:
    stamps = clock(40)
    stamps[50 : 50 + together] += round((error_ms + 13) * MS)
    found = put_in_order(stamps)
    assert found.strays.tolist() == list(range(50, 50 + together))
    assert found.steps == ()
    assert len(found.order) == 100 - together


def test_several_steps_are_found_one_after_the_other() -> None:
    stamps = clock(40)
    stamps[30:] -= 1000 * MS
    stamps[60:] -= 2000 * MS
    steps = put_in_order(stamps).steps
    assert [(step.position, round(step.size_ns / MS)) for step in steps] == [
        (30, -1000),
        (60, -2000),
    ]


def test_a_jump_longer_than_any_pause_is_a_step_and_a_pause_is_none() -> None:
    stamps = clock(40)
    stamps[30:] += 1_000_000 * MS  # a quarter of an hour
    assert put_in_order(stamps).steps == ()
    stamps[60:] += 10**11 * MS  # three years
    (step,) = put_in_order(stamps).steps
    assert (step.position, step.size_ns) == (60, 10**11 * MS)
    (step,) = in_order_of_stamps(stamps[::-1]).steps
    assert step.position == 60


@pytest.mark.parametrize("order", ["reversed", "shuffled", "two publishers"])
def test_what_has_no_recording_order_is_sorted_and_said(order: str) -> None:
    stamps = clock(40)
    rng = np.random.default_rng(0)
    recorded = {
        "reversed": stamps[::-1],
        "shuffled": rng.permutation(stamps),
        "two publishers": np.stack([stamps, stamps - 503 * MS], axis=1).ravel(),
    }[order]
    found = put_in_order(recorded)
    assert found.several_sources
    assert recorded[found.order].tolist() == sorted(set(recorded.tolist()))
    assert found.steps == () and len(found.strays) == 0
    assert found.largest_disorder_ns > 400 * MS


def test_a_clock_that_never_stops_stepping_is_not_hidden() -> None:
    stamps = clock(10, 4000)
    for at in range(100, 4000, 100):
        stamps[at:] -= 1700 * MS
    assert len(put_in_order(stamps).steps) > MAX_STEPS


def test_nothing_and_single_samples_have_an_order() -> None:
    assert put_in_order(np.empty(0, np.int64)).order.tolist() == []
    assert put_in_order(np.array([T0])).order.tolist() == [0]
    assert put_in_order(np.array([T0, T0 - 1000 * MS])).order.size >= 1
