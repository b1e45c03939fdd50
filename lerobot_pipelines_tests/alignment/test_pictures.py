from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lerobot_pipelines.alignment import align
from lerobot_pipelines.alignment.thinning import thinned
from lerobot_pipelines.model import AlignedFrames
from lerobot_pipelines_tests.alignment.fakes import MS, MemoryRecording, camera, clock, config

SIDE = "observation.images.side"


def run(side: NDArray[np.int64], seconds: float = 1.0, **settings: Any) -> AlignedFrames:
    """Rows at 10 Hz; ``settings`` with a leading ``side_`` are the other camera's."""
    of_side = {k[5:]: settings.pop(k) for k in list(settings) if k.startswith("side_")}
    arm = clock(100, seconds)
    recording = MemoryRecording(
        {"cam": clock(10, seconds), "side": side}, {"arm": (arm, np.zeros(len(arm)))}
    )
    return align(recording, config(cameras=(camera(), camera("side", **of_side)), **settings))


def test_the_base_camera_is_its_own_row() -> None:
    frames = run(clock(10, 1))
    assert frames.pictures["observation.images.cam"].tolist() == list(range(11))
    assert not frames.picture_ages_ns["observation.images.cam"].any()
    assert frames.picture_streams == {"observation.images.cam": "cam", SIDE: "side"}


def test_picture_ids_count_from_the_cameras_first_picture() -> None:
    frames = run(clock(10, 1.3, start_ns=-250 * MS))
    assert frames.pictures[SIDE].tolist() == [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
    assert set(frames.picture_ages_ns[SIDE].tolist()) == {-50 * MS}


def test_a_slower_camera_serves_several_rows_and_utilisation_tells() -> None:
    frames = run(clock(7, 1))
    ids = frames.pictures[SIDE]
    assert (np.diff(ids) >= 0).all() and len(set(ids.tolist())) == 8 < len(ids)
    frames = run(clock(20, 1))
    assert frames.report.utilisation["side"] == pytest.approx(11 / 21)


def test_the_tolerance_is_half_a_row_plus_that_of_vectors() -> None:
    stamps = np.delete(clock(10, 1), 5)
    stamps[4] += 30 * MS  # 70 ms before the row that lost its picture
    assert 500 * MS in run(stamps).row_times_ns
    stamps[4] -= 1
    assert 500 * MS not in run(stamps).row_times_ns
    assert run(stamps).report.dropped == {"tolerance:side": 1}


def test_the_tolerance_can_be_given_for_all_and_for_one() -> None:
    late = clock(10, 1.1, start_ns=-40 * MS)
    assert len(run(late, picture_tolerance_ms=40.0).row_times_ns) == 11
    stamps = clock(100, 1)[::10].copy()
    stamps[5] += 31 * MS
    assert len(run(stamps, picture_tolerance_ms=40.0, side_tolerance_ms=30.0).row_times_ns) == 10
    assert len(run(stamps, picture_tolerance_ms=40.0, side_max_age_ms=30.0).row_times_ns) == 10


def test_causal_rows_show_the_last_picture_before_them() -> None:
    frames = run(clock(10, 1.2, start_ns=-95 * MS), causal=True)
    assert frames.pictures[SIDE].tolist() == list(range(11))
    assert set(frames.picture_ages_ns[SIDE].tolist()) == {-95 * MS}


def test_downsample_thins_by_time_before_matching() -> None:
    frames = run(clock(60, 1), side_role="downsample", side_target_fps=10.0)
    assert frames.pictures[SIDE].tolist() == [0, 6, 12, 18, 24, 30, 36, 42, 48, 54, 60]
    assert frames.report.utilisation["side"] == pytest.approx(11 / 61)


def test_thinning_follows_time_and_not_a_count() -> None:
    # 30 to 20 Hz: two of every three, though no whole step gives that.
    chosen = thinned(clock(30, 100), Fraction(20))
    assert len(chosen) == 2001
    assert set(np.diff(chosen).tolist()) == {1, 2}
    # A dropout shifts nothing that follows.
    stamps = clock(30, 10)
    kept = np.delete(np.arange(301), slice(100, 120))
    after = stamps[kept[thinned(stamps[kept], Fraction(10))]]
    assert set(after.tolist()) < set(stamps[thinned(stamps, Fraction(10))].tolist())


@pytest.mark.parametrize("rate", [8.0, 10.0, 30.0])
def test_thinning_never_takes_a_picture_twice(rate: float) -> None:
    rng = np.random.default_rng(0)
    stamps = np.unique(clock(rate, 60) + rng.integers(-20, 20, int(rate * 60) + 1) * MS)
    chosen = thinned(stamps, Fraction(10))
    assert (np.diff(chosen) > 0).all()
    assert len(chosen) <= 601
