from __future__ import annotations

import numpy as np
import pytest

from lerobot_pipelines.alignment import align
from lerobot_pipelines_tests.alignment.fakes import MS, MemoryRecording, camera, clock, config


def test_ages_are_those_of_the_samples_used() -> None:
    ages = np.array([0, 1, -2, 3, -4, 5, -6, 7, -8, 9, 0]) * MS
    recording = MemoryRecording(
        {"cam": clock(10, 1), "side": clock(10, 1)}, {"arm": (clock(10, 1) + ages, np.zeros(11))}
    )
    report = align(recording, config(cameras=(camera(), camera("side")))).report
    assert report.age_ms["arm"]["p50"] == 4.0
    assert report.age_ms["arm"]["max"] == 9.0
    assert report.age_ms["arm"]["p95"] == pytest.approx(8.5)
    assert report.age_ms["side"] == {"p50": 0.0, "p95": 0.0, "max": 0.0}


@pytest.mark.parametrize(
    ("strategy", "share"), [("nearest", 11 / 101), ("hold", 11 / 101), ("window", 91 / 101)]
)
def test_utilisation_is_the_share_of_samples_that_rows_use(strategy: str, share: float) -> None:
    recording = MemoryRecording({"cam": clock(10, 1)}, {"arm": (clock(100, 1), np.zeros(101))})
    report = align(recording, config(strategy=strategy)).report
    assert report.utilisation["arm"] == pytest.approx(share)


def test_samples_outside_the_overlap_do_not_count_as_unused() -> None:
    recording = MemoryRecording({"cam": clock(10, 1)}, {"arm": (clock(10, 60), np.zeros(601))})
    assert align(recording, config()).report.utilisation["arm"] == 1.0


def test_candidates_are_kept_or_dropped() -> None:
    rng = np.random.default_rng(3)
    arm = clock(20, 10) + rng.integers(-60, 60, 201) * MS
    recording = MemoryRecording({"cam": clock(10, 10)}, {"arm": (arm, np.zeros(201))})
    report = align(recording, config(filtering={"gap_policy": "split"})).report
    assert report.dropped
    assert report.rows_candidate == report.rows_kept + sum(report.dropped.values())


def test_no_picture_is_opened() -> None:
    # MemoryRecording.pictures raises.
    recording = MemoryRecording({"cam": clock(10, 1)}, {"arm": (clock(100, 1), np.zeros(101))})
    assert align(recording, config()).report.rows_kept == 11
