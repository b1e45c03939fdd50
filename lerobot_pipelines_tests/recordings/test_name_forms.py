"""How fractions of seconds in file names are meant: told by all names, or refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.recordings.name_forms import stamps_of_names

START_S = 1_764_167_571
SECOND = 1_000_000_000

# What loggers write, by the number of digits they know.
WRITERS: dict[str, Callable[[int, int, int], str]] = {
    "padded": lambda whole, part, digits: f"{whole}.{part:0{digits}d}",
    "unpadded": lambda whole, part, digits: f"{whole}.{part}",
    "stripped": lambda whole, part, digits: f"{whole}.{f'{part:0{digits}d}'.rstrip('0') or '0'}",
    "bare": lambda whole, part, digits: f"{whole}.{part:0{digits}d}".rstrip("0").rstrip("."),
    "dashed": lambda whole, part, digits: f"{whole}_{part:0{digits}d}",
    "unpadded, dashed": lambda whole, part, digits: f"cam_{whole}-{part}",
}


def _names(writer: str, moments: Sequence[int], digits: int) -> tuple[list[str], list[int]]:
    """The names, and the moments that they can say, ns."""
    tick = 10 ** (9 - digits)
    known = sorted({moment // tick for moment in moments})
    names = [WRITERS[writer](at // 10**digits, at % 10**digits, digits) for at in known]
    return names, [at * tick for at in known]


@settings(max_examples=300)
@given(
    st.sampled_from(list(WRITERS)),
    st.sampled_from([3, 6, 9]),
    st.lists(st.integers(0, 4 * SECOND), min_size=2, max_size=60),
)
def test_names_are_read_as_they_were_written_or_refused(
    writer: str, digits: int, moments: list[int]
) -> None:
    # A camera that only ever takes pictures in the first tenth of a second is not expected.
    assume(any(moment % SECOND >= SECOND // 10 for moment in moments))
    names, truth = _names(writer, [START_S * SECOND + moment for moment in moments], digits)
    try:
        found = stamps_of_names(names, "auto", "camera front")
    except Refused as refusal:
        assert refusal.reason is Reason.BAD_STAMPS
        return
    assert found.stamps[found.usable].tolist() == truth


@settings(max_examples=150)
@given(
    st.sampled_from(list(WRITERS)),
    st.sampled_from([6, 9]),
    st.sampled_from([10, 15, 25, 30, 50, 60]),
    st.integers(0, SECOND),
    st.randoms(use_true_random=False),
)
def test_a_camera_of_some_seconds_is_always_decided(
    writer: str, digits: int, rate: int, phase: int, random: Random
) -> None:
    moments = [
        START_S * SECOND + phase + round((k + 0.1 * random.random()) * SECOND / rate)
        for k in range(8 * rate)
    ]
    names, truth = _names(writer, moments, digits)
    found = stamps_of_names(names, "auto", "camera front")
    assert found.usable.all()
    assert found.stamps.tolist() == truth


@pytest.mark.parametrize("rate", [10, 15, 25, 30, 50, 60])
@pytest.mark.parametrize("writer", ["padded", "unpadded", "stripped", "dashed"])
def test_an_even_camera_is_decided_too(writer: str, rate: int) -> None:
    moments = [START_S * SECOND + k * SECOND // rate for k in range(2 * rate)]
    names, truth = _names(writer, moments, 9)
    assert stamps_of_names(names, "auto", "camera front").stamps.tolist() == truth


@pytest.mark.parametrize(
    "names",
    [
        ["1764167571.40000000", "1764167571.80000000"],  # two names prove nothing
        ["1764167571.5", "1764167571.54", "1764167571.58"],
        ["1764167571.10", "1764167571.040", "1764167571.5"],  # of two programs
        ["1764167571_000001", "1764167571_000002", "1764167572_000007"],  # counters
        ["1764167571_1", "1764167571_2"],
    ],
)
def test_what_the_names_leave_open_is_refused_with_a_remedy(names: list[str]) -> None:
    with pytest.raises(Refused, match=r"camera front.*stamps\.csv") as refusal:
        stamps_of_names(names, "auto", "camera front")
    assert refusal.value.reason is Reason.BAD_STAMPS


def test_the_form_is_told() -> None:
    names = [f"{START_S}.{k * 40_000_000}" for k in range(25)]
    found = stamps_of_names(names, "auto", "x")
    assert found.form.is_proven
    assert "billionths" in found.form.described(found.unit)
    assert stamps_of_names([f"{START_S}.5"] * 1 + [str(START_S)], "auto", "x").form.digits is None


def test_names_of_something_else_have_no_say() -> None:
    names = [*(f"{START_S + k}.{k:03d}" for k in range(5)), "thumbnail_1.40000", "preview"]
    found = stamps_of_names(names, "auto", "x")
    assert found.usable.tolist() == [True] * 5 + [False] * 2
    assert found.stamps[:5].tolist() == [(START_S + k) * SECOND + k * 1_000_000 for k in range(5)]
