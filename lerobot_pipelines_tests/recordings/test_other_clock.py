"""A clock that was set ahead is told from a pause by the second stamp of the messages."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lerobot_pipelines.model import Stamps
from lerobot_pipelines.recordings.chronology import put_in_order
from lerobot_pipelines.recordings.other_clock import jumps_ahead

MS = 1_000_000
T0 = 1_764_167_571_000_000_000


def taken(count: int = 300, period_ms: int = 40) -> Stamps:
    return T0 + np.arange(count, dtype=np.int64) * period_ms * MS


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_jump_of_one_clock_is_found_and_a_pause_of_both_is_none(data: st.DataObject) -> None:
    period = data.draw(st.sampled_from([10, 40]))
    header = taken(period_ms=period)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    pause = data.draw(st.integers(1, 299))
    header[pause:] += data.draw(st.integers(0, 5000)) * MS
    receive = header + 5 * MS + np.rint(rng.uniform(0, 8, 300) * MS).astype(np.int64)
    at = data.draw(st.integers(40, 260))
    size = data.draw(st.integers(150, 2000)) * MS
    which = data.draw(st.sampled_from(["header", "receive", "none"]))
    if which == "header":
        header[at:] += size
    elif which == "receive":
        receive[at:] += size
    assert jumps_ahead(header, receive).tolist() == ([at] if which == "header" else [])
    assert jumps_ahead(receive, header).tolist() == ([at] if which == "receive" else [])


@settings(max_examples=60, deadline=None)
@given(at=st.integers(20, 250), length=st.integers(5, 40), lost=st.integers(0, 15))
def test_a_recorder_that_starves_is_no_clock_that_was_set(at: int, length: int, lost: int) -> None:
    """Messages wait, some are lost for want of room, the rest arrive in one go."""
    header = np.delete(taken(), range(at + 1, at + 1 + lost))
    receive = header + 5 * MS
    waiting = slice(at, at + length)
    receive[waiting] = receive[min(at + length, len(header) - 1)] + np.arange(len(receive[waiting]))
    receive = np.maximum.accumulate(receive)
    assert jumps_ahead(header, receive).tolist() == []
    assert jumps_ahead(receive, header).tolist() == []


@pytest.mark.parametrize("header", ["back", "frozen", "slow"])
def test_what_the_other_clock_does_is_not_blamed_on_this_one(header: str) -> None:
    receive = taken(period_ms=200) + 5 * MS
    headers = {
        "back": np.where(np.arange(300) < 150, taken(period_ms=200), taken(period_ms=200) - 2**31),
        "frozen": np.full(300, T0),
        "slow": T0 + (taken(period_ms=200) - T0) // 2,
    }[header]
    assert jumps_ahead(receive, headers).tolist() == []


def test_a_jump_begins_an_epoch() -> None:
    stamps = taken()
    stamps[100:] += 300 * MS
    (step,) = put_in_order(stamps, np.array([100])).steps
    assert step.position == 100
    assert step.size_ns == pytest.approx(300 * MS, abs=MS)
