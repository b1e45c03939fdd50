from __future__ import annotations

import numpy as np
import pytest

from lerobot_pipelines.alignment import align
from lerobot_pipelines.alignment.rate import rate_hz
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines_tests.alignment.fakes import MS, MemoryRecording, clock, config


def at(rate: float, seconds: float = 5.0) -> MemoryRecording:
    arm = clock(200, seconds)
    return MemoryRecording({"cam": clock(rate, seconds)}, {"arm": (arm, np.zeros(len(arm)))})


def test_a_camera_at_another_rate_is_refused_with_the_remedies() -> None:
    with pytest.raises(Refused) as refusal:
        align(at(25), config(fps=30))
    assert refusal.value.reason is Reason.RATE_MISMATCH
    for words in ("25.00 Hz", "fps: 30", "timeline: uniform", "fps: 25"):
        assert words in refusal.value.message


def test_a_uniform_timeline_resamples_instead() -> None:
    frames = align(at(25), config(fps=30, timeline="uniform"))
    assert frames.fps == 30
    assert len(frames.row_times_ns) == 151
    assert frames.report.measured_rate_hz == pytest.approx(25)


@pytest.mark.parametrize(("rate", "passes"), [(30.5, True), (29.5, True), (31, False), (29, False)])
def test_two_percent_is_the_default_limit(rate: float, passes: bool) -> None:
    if passes:
        align(at(rate), config(fps=30))
    else:
        with pytest.raises(Refused):
            align(at(rate), config(fps=30))


def test_missing_pictures_do_not_slow_the_clock() -> None:
    rng = np.random.default_rng(0)
    stamps = clock(30, 20)
    assert rate_hz(stamps[rng.random(len(stamps)) > 0.2]) == pytest.approx(30, rel=1e-3)


def test_lopsided_jitter_does_not_shift_the_rate() -> None:
    # Most pictures come late by a little, a few early by much: the median interval is off.
    rng = np.random.default_rng(0)
    stamps = clock(30, 20)
    late = np.where(np.arange(len(stamps)) % 5 == 0, -12 * MS, 0) + rng.integers(0, MS, len(stamps))
    assert rate_hz(stamps + late) == pytest.approx(30, rel=2e-3)


def test_stamps_of_whole_milliseconds_do_not_shift_the_rate() -> None:
    assert rate_hz(clock(60, 20) // MS * MS) == pytest.approx(60, rel=1e-3)


def test_strong_jitter_is_no_other_rate() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        cam = np.unique(clock(30, 10) + rng.normal(0, 10, 301).astype(np.int64) * MS)
        recording = MemoryRecording({"cam": cam}, {"arm": (clock(200, 10), np.zeros(2001))})
        align(recording, config(fps=30))


def test_a_handful_of_jittered_rows_is_no_proof_of_another_rate() -> None:
    recording = at(10, 1)
    cam = recording.timestamps("cam").copy()
    cam[-1] += 40 * MS
    jittered = MemoryRecording({"cam": cam}, {"arm": (clock(200, 2), np.zeros(401))})
    assert len(align(jittered, config(fps=10)).row_times_ns) == 11


def test_rows_that_dropping_thins_out_are_refused() -> None:
    # Every second picture has no joints: what is left runs at half the rate the label says.
    recording = MemoryRecording({"cam": clock(10, 5)}, {"arm": (clock(5, 5), np.zeros(26))})
    with pytest.raises(Refused, match="tolerance:arm: 25") as refusal:
        align(recording, config(fps=10))
    assert refusal.value.reason is Reason.RATE_MISMATCH
