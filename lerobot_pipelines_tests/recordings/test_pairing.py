"""Videos and stamps of other counts: paired as they were taken, or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lerobot_pipelines.recordings.pairing import doubt, pair

START_NS = 1_764_167_571_000_000_000


def _taken(count: int, rate: int, jitter: float, random: Random) -> list[int]:
    """When a camera took its pictures, ns."""
    period = 10**9 / rate
    return [START_NS + round((k + jitter * random.uniform(-1, 1)) * period) for k in range(count)]


def _times(kind: str, kept: Sequence[int], taken: Sequence[int], rate: int) -> list[int]:
    """The times that an encoder gives the pictures that it kept, from zero on."""
    if kind == "restamped":
        return [k * 10**9 // rate for k in range(len(kept))]
    if kind == "counted":
        return [(k - kept[0]) * 10**9 // rate for k in kept]
    return [round((taken[k] - taken[kept[0]]) / 1e6) * 10**6 for k in kept]  # ms, as in Matroska


@settings(max_examples=500)
@given(
    st.sampled_from(["restamped", "counted", "clock"]),
    st.integers(4, 60),
    st.sets(st.integers(0, 59), max_size=8),
    st.sets(st.integers(0, 59), max_size=3),
    st.sampled_from([10, 25, 30]),
    st.sampled_from([0.0, 0.02, 0.1, 0.2]),
    st.randoms(use_true_random=False),
)
def test_pairs_are_those_of_one_moment_or_there_are_none(
    kind: str,
    count: int,
    lost_pictures: set[int],
    lost_rows: set[int],
    rate: int,
    jitter: float,
    random: Random,
) -> None:
    taken = _taken(count, rate, jitter, random)
    if lost_pictures:
        lost_rows -= {0, count - 1}
    kept = [k for k in range(count) if k not in lost_pictures]
    rows = [k for k in range(count) if k not in lost_rows]
    # Equal counts are paired in their order: see ``doubt`` for what speaks against that.
    if len(kept) < 3 or len(rows) < 3 or (kept != rows and len(kept) == len(rows)):
        return
    times = _times(kind, kept, taken, rate)
    found = pair(np.array(times), np.array([taken[k] for k in rows]))
    if found is None:
        assert len(kept) != len(rows)
        return
    for picture, row in zip(found.pictures.tolist(), found.rows.tolist(), strict=True):
        assert kept[picture] == rows[row]


@settings(max_examples=100)
@given(st.integers(10, 60), st.data())
def test_a_hole_inside_is_always_found(count: int, data: st.DataObject) -> None:
    lost = data.draw(st.sets(st.integers(1, count - 2), min_size=1, max_size=count // 3))
    kept = [k for k in range(count) if k not in lost]
    taken = _taken(count, 25, 0.0, Random(1))
    found = pair(np.array(_times("counted", kept, taken, 25)), np.array(taken))
    assert found is not None
    assert found.rows.tolist() == kept


@pytest.mark.parametrize("missing", [1, 5])
def test_a_video_that_was_cut_off_is_known_again_by_uneven_times(missing: int) -> None:
    taken = _taken(50, 30, 0.2, Random(3))
    kept = range(50 - missing)
    found = pair(np.array(_times("clock", kept, taken, 30)), np.array(taken))
    assert found is not None
    assert found.rows.tolist() == list(kept)
    even = _taken(50, 30, 0.0, Random(3))
    assert pair(np.array(_times("clock", kept, even, 30)), np.array(even)) is None


def test_different_pictures_lost_by_both_are_noticed() -> None:
    taken = _taken(50, 25, 0.05, Random(2))
    kept, rows = [k for k in range(50) if k != 20], [k for k in range(50) if k != 35]
    times, stamps = np.array(_times("counted", kept, taken, 25)), np.array([taken[k] for k in rows])
    found = doubt(times, stamps)
    assert found is not None and found.is_contradiction and found.picture == 19
    same = np.array([taken[k] for k in kept])
    assert doubt(times, same) is None
    assert doubt(np.array(_times("restamped", kept, taken, 25)), same) is None


def test_a_hole_that_only_the_video_shows_is_a_doubt() -> None:
    taken = _taken(50, 25, 0.0, Random(2))
    kept = [k for k in range(50) if k != 20]
    found = doubt(np.array(_times("counted", kept, taken, 25)), np.array(taken[:49]))
    assert found is not None and not found.is_contradiction and found.picture == 19


def test_pictures_that_came_late_and_in_a_burst_are_no_hole() -> None:
    stamps = np.array(_taken(30, 25, 0.0, Random(2)))
    times = (stamps - stamps[0]).copy()
    times[10] += 38_000_000
    assert doubt(times, stamps) is None


def test_more_pictures_than_can_be_tried_are_not_paired() -> None:
    times = np.arange(1000) * 40_000_000
    assert pair(times, np.arange(5000) * 40_000_000) is None
    assert pair(np.array([0]), np.arange(5)) is None
