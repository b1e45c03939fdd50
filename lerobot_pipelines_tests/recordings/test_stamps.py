from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.recordings.name_forms import stamps_of_names
from lerobot_pipelines.recordings.stamps import (
    FIRST_PLAUSIBLE_NS,
    LAST_PLAUSIBLE_NS,
    UNIT_NS,
    stamps_of_numbers,
    time_column,
)

UNITS = st.sampled_from(list(UNIT_NS))
MOMENTS = st.lists(
    st.integers(FIRST_PLAUSIBLE_NS, LAST_PLAUSIBLE_NS - 2 * UNIT_NS["s"]), min_size=1, max_size=20
)


@given(MOMENTS, UNITS)
def test_integers_of_any_unit_come_out_exact(moments: list[int], unit: str) -> None:
    numbers = np.array([moment // UNIT_NS[unit] for moment in moments])
    stamps, detected, usable = stamps_of_numbers(numbers, "auto", "x")
    assert detected == unit
    assert usable.all()
    assert stamps.tolist() == [moment // UNIT_NS[unit] * UNIT_NS[unit] for moment in moments]


@given(MOMENTS, UNITS)
def test_names_of_any_unit_come_out_exact(moments: list[int], unit: str) -> None:
    stems = [str(moment // UNIT_NS[unit]) for moment in moments]
    stamps, detected, usable, _ = stamps_of_names(stems, "auto", "x")
    assert detected == unit
    assert usable.all()
    assert stamps.tolist() == [moment // UNIT_NS[unit] * UNIT_NS[unit] for moment in moments]


@given(MOMENTS)
def test_decimal_seconds_in_names_lose_nothing(moments: list[int]) -> None:
    stems = [f"{moment // 10**9}.{moment % 10**9:09d}" for moment in moments]
    stamps, detected, _, _ = stamps_of_names(stems, "auto", "x")
    assert detected == "s"
    assert stamps.tolist() == moments


@given(MOMENTS)
def test_float_seconds_keep_what_float64_holds(moments: list[int]) -> None:
    seconds = np.array(moments) / 1e9
    stamps, detected, _ = stamps_of_numbers(seconds, "auto", "x")
    assert detected == "s"
    exact = [round(Fraction(second) * 10**9) for second in seconds.tolist()]
    np.testing.assert_allclose(stamps - np.array(exact), 0, atol=1)


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        *(("timestamps", None), ("timestamp", None), ("Time", None), ("ts", None), ("t", None)),
        *(("stamp", None), ("time_ns", "ns"), ("timestamp_us", "us"), ("timeStampMs", "ms")),
        *(("timestamp [ns]", "ns"), ("header.stamp", None), ("time_seconds", "s")),
    ],
)
def test_usual_names_of_time_columns_are_known(name: str, unit: str | None) -> None:
    assert time_column(["joint_0", name, "tau"]) == (name, unit)


def test_the_best_name_wins_over_the_first() -> None:
    found = time_column(["t", "timestamp"])
    assert found is not None and found.name == "timestamp"


@pytest.mark.parametrize("numbers", [[1764167571, 1764167571000], [1764167571e0, 1764167571e6]])
def test_two_units_in_one_stream_are_refused(numbers: list[float]) -> None:
    with pytest.raises(Refused, match="mixes") as refusal:
        stamps_of_numbers(np.array(numbers), "auto", "arm.parquet")
    assert refusal.value.reason is Reason.BAD_STAMPS
    with pytest.raises(Refused, match="mixes"):
        stamps_of_names([str(int(number)) for number in numbers], "auto", "camera")


def test_a_clock_from_zero_needs_a_unit() -> None:
    numbers = np.array([0.0, 0.02, 0.04])
    with pytest.raises(Refused, match="time_unit"):
        stamps_of_numbers(numbers, "auto", "x")
    stamps, unit, _ = stamps_of_numbers(numbers, "auto", "x", fallback="s")
    assert (stamps.tolist(), unit) == ([0, 20_000_000, 40_000_000], "s")
    assert stamps_of_numbers(numbers, "s", "x")[0].tolist() == stamps.tolist()


def test_single_precision_stamps_are_refused() -> None:
    with pytest.raises(Refused, match="float32"):
        stamps_of_numbers(np.array([1764167571.0], np.float32), "auto", "x")


def test_missing_infinite_and_impossible_stamps_are_marked() -> None:
    numbers = np.array([np.nan, np.inf, 1764167571e6, 17.0, -1.0])
    stamps, _, usable = stamps_of_numbers(numbers, "auto", "x")
    assert usable.tolist() == [False, False, True, False, False]
    assert stamps.tolist() == [0, 0, 1764167571 * 10**9, 0, 0]


def test_names_without_a_time_are_marked() -> None:
    stems = ["1764167571000000", "thumbnail", "", "frame_1764167571000001", "17", "9" * 60]
    stamps, unit, usable, _ = stamps_of_names(stems, "auto", "x")
    assert unit == "us"
    assert usable.tolist() == [True, False, False, True, False, False]
    assert stamps[3] - stamps[0] == 1000
