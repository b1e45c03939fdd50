"""Which clock is suggested, and what is said of clocks that disagree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lerobot_pipelines.intake import IntakeCode, Severity
from lerobot_pipelines.model import Clock, Stamps, StreamKind, StreamReport
from lerobot_pipelines.periods import steady_rate_hz
from lerobot_pipelines.recordings.clock_evidence import choose_clock, compare_clocks
from lerobot_pipelines.recordings.clock_figures import DETAILS_KEY, figures_of, measure_clocks

MS = 1_000_000
T0 = 1_764_167_571_000_000_000


def stamps(rate_hz: float, count: int = 200) -> Stamps:
    return T0 + np.rint(np.arange(count) * 1e9 / rate_hz).astype(np.int64)


def report(
    receive: Stamps, headers: Stamps, name: str = "cam", clock: Clock = Clock.RECEIVE
) -> StreamReport:
    used = receive if clock is Clock.RECEIVE else headers
    details: dict[str, Any] = {DETAILS_KEY: measure_clocks(receive, headers).as_details()}
    return StreamReport(
        *(name, StreamKind.PICTURE, f"/{name}", clock, len(used), int(used[0]), int(used[-1])),
        *(steady_rate_hz(used), None),
        details=details,
    )


def test_a_sensor_that_stamps_before_reception_is_believed() -> None:
    taken = stamps(25)
    choice = choose_clock(report(taken + 20 * MS, taken))
    assert choice.clock is Clock.HEADER and not choice.doubtful
    assert choice.rate_hz == pytest.approx(25)
    assert "20.0 ms before reception" in choice.evidence


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        (np.zeros(200, np.int64), "no header stamp"),
        (np.where(np.arange(200) % 7 == 3, stamps(25), 0), "171 of its 200 messages"),
        (stamps(25) + 600 * MS, "580.0 ms after reception"),
        (stamps(25) - 600 * MS, "620.0 ms before reception"),
        (stamps(25) - T0 + 1_312_000_000_000, "another origin"),
        (np.repeat(stamps(5, 40), 5), "160 of its 200 header stamps repeat"),
        (T0 + (stamps(25) - T0) * 995 // 1000, "drifts by"),
    ],
)
def test_a_header_clock_that_cannot_be_is_not_suggested(headers: Stamps, said: str) -> None:
    choice = choose_clock(report(stamps(25) + 20 * MS, headers))
    assert choice.clock is Clock.RECEIVE
    assert said in choice.evidence
    assert choice.rate_hz == pytest.approx(25)


def test_a_few_stamps_of_zero_leave_the_header_the_better_clock() -> None:
    taken = stamps(25)
    choice = choose_clock(report(taken + 20 * MS, np.where(np.arange(200) % 7 == 3, 0, taken)))
    assert choice.clock is Clock.HEADER and choice.doubtful
    assert "29 of its 200 messages" in choice.evidence
    assert choice.rate_hz == pytest.approx(25)


def test_bursts_of_a_starving_recorder_speak_for_the_header() -> None:
    taken = stamps(25)
    burst = 400 * MS
    receive = T0 + (taken - T0 + burst) // burst * burst + np.arange(200) % 10 * 10_000
    choice = choose_clock(report(receive, taken))
    assert choice.clock is Clock.HEADER
    assert "bursts" in choice.evidence
    assert choice.rate_hz == pytest.approx(25)
    assert steady_rate_hz(receive) == pytest.approx(25, rel=0.01)


@settings(max_examples=60, deadline=None)
@given(
    rate=st.sampled_from([10.0, 25.0, 100.0]),
    offset=st.integers(-2000, 2000),
    drift_ppm=st.sampled_from([0, 0, 2000, -2000]),
    seed=st.integers(0, 2**32 - 1),
)
def test_offset_drift_and_jitter_are_told_apart(
    rate: float, offset: int, drift_ppm: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    taken = stamps(rate, 400)
    # Transport of up to 3 ms, and a recorder that is late by much for some messages.
    late = rng.uniform(0, 3, 400) + np.where(rng.random(400) < 0.02, rng.uniform(0, 150, 400), 0)
    receive = np.maximum.accumulate(taken + np.rint(late * MS).astype(np.int64))
    headers = taken + (taken - T0) * drift_ppm // 1_000_000 + offset * MS
    figures = measure_clocks(receive, headers)
    span_ms = (receive[-1] - receive[0]) / MS
    assert figures.offset_ms is not None
    middle = -offset - drift_ppm / 1e6 * span_ms / 2
    assert figures.offset_ms == pytest.approx(middle, abs=8)
    assert figures.drift_ms == pytest.approx(-drift_ppm / 1e6 * span_ms, abs=4)
    assert figures.header_rate_hz == pytest.approx(rate / (1 + drift_ppm / 1e6), rel=1e-4)


def test_streams_of_two_machines_are_named_with_their_distance() -> None:
    arm = stamps(100)
    cam = stamps(25)
    joints = report(arm + MS, arm, "arm", Clock.HEADER)
    ahead = report(cam + 20 * MS, cam + 600 * MS, "cam", Clock.HEADER)
    entries = compare_clocks([joints, ahead], row_ms=40, offsets_ms={})
    assert {entry.code for entry in entries} == {IntakeCode.CLOCK_OFFSET}
    assert {entry.severity for entry in entries} == {Severity.WARNING}
    assert [entry.stream for entry in entries] == ["cam", ""]
    assert "580.0 ms after reception" in entries[0].message
    assert "581.0 ms apart" in entries[1].message


def test_what_the_configuration_does_not_use_or_has_corrected_is_no_warning() -> None:
    arm, cam = stamps(100), stamps(25)
    joints = report(arm + MS, arm, "arm", Clock.HEADER)
    receive = report(cam + 20 * MS, cam + 600 * MS, "cam", Clock.RECEIVE)
    (note,) = compare_clocks([joints, receive], row_ms=40, offsets_ms={})
    assert note.severity is Severity.NOTE
    corrected = report(cam + 20 * MS, cam + 600 * MS, "cam", Clock.HEADER)
    assert compare_clocks([joints, corrected], row_ms=40, offsets_ms={"cam": -600.0}) == []


def test_details_of_an_earlier_version_have_no_figures() -> None:
    assert figures_of({}) is None
    assert figures_of({DETAILS_KEY: {"messages": 3}}) is None
