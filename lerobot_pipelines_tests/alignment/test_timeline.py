from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from lerobot_pipelines.alignment import align
from lerobot_pipelines.alignment.search import exact_rate, grid_ns
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines_tests.alignment.fakes import (
    MS,
    SECOND,
    MemoryRecording,
    camera,
    clock,
    config,
    stream,
)


def test_rows_lie_where_every_required_stream_runs() -> None:
    recording = MemoryRecording(
        {"cam": clock(10, 3), "side": clock(10, 2, start_ns=450 * MS)},
        {"arm": (clock(100, 2, start_ns=120 * MS), np.zeros(201))},
    )
    frames = align(recording, config(cameras=(camera(), camera("side"))))
    assert frames.row_times_ns[0] == 500 * MS
    assert frames.row_times_ns[-1] == 2100 * MS
    assert frames.report.trimmed_start_ms == 500.0
    assert frames.report.trimmed_end_ms == 900.0


def test_an_optional_stream_does_not_narrow_the_overlap() -> None:
    recording = MemoryRecording(
        {"cam": clock(10, 1)},
        {"arm": (clock(100, 1), np.zeros(101)), "late": ([900 * MS, SECOND], [1, 2])},
    )
    frames = align(recording, config(streams=(stream(), stream("late", required=False))))
    assert len(frames.row_times_ns) == 11


def test_trimming_cuts_rows_at_both_ends() -> None:
    recording = MemoryRecording({"cam": clock(10, 1)}, {"arm": (clock(100, 1), np.zeros(101))})
    frames = align(recording, config(trim_start_frames=2, trim_end_frames=3))
    assert (frames.row_times_ns // MS).tolist() == [200, 300, 400, 500, 600, 700]


def test_uniform_rows_start_with_the_overlap_and_never_drift() -> None:
    start = 1_764_167_571_671_577_123
    recording = MemoryRecording(
        {"cam": clock(25, 1000, start_ns=start - 30 * MS)},
        {"arm": (clock(50, 999, start_ns=start), np.zeros(49951))},
    )
    frames = align(recording, config(fps=30, timeline="uniform"))
    expected = [start + int(Fraction(k * SECOND, 30) + Fraction(1, 2)) for k in range(29971)]
    assert frames.row_times_ns.tolist() == expected


def test_a_uniform_timeline_needs_no_camera() -> None:
    recording = MemoryRecording({}, {"arm": (clock(100, 1), range(101))})
    frames = align(recording, config(cameras=(), timeline="uniform"))
    assert frames.features["observation.state"][:, 0].tolist() == list(range(0, 101, 10))
    assert frames.pictures == {}
    assert frames.report.measured_rate_hz is None


def test_a_grid_is_exact_for_rates_that_are_no_whole_numbers() -> None:
    grid = grid_ns(10_001, exact_rate(29.97))
    assert grid[2997] == 100 * SECOND
    assert grid[10_000] == round(Fraction(10_000 * SECOND * 100, 2997))


@pytest.mark.parametrize(
    ("cameras", "arm_start_s", "settings", "reason", "message"),
    [
        (("cam",), 20, {}, Reason.NO_OVERLAP, "arm starts 10.000 s after cam"),
        ((), 0, {}, Reason.MISSING_CAMERA, "base camera cam"),
        (("cam",), 0, {"cameras": ()}, Reason.BAD_CONFIG, "timeline: uniform"),
        (("cam",), 9.95, {}, Reason.TOO_FEW_FRAMES, "only 1 rows"),
    ],
)
def test_recordings_without_rows_are_refused_with_the_streams_to_blame(
    cameras: tuple[str, ...],
    arm_start_s: float,
    settings: dict[str, object],
    reason: Reason,
    message: str,
) -> None:
    arm = clock(100, 5, start_ns=int(arm_start_s * SECOND))
    recording = MemoryRecording(
        {name: clock(10, 10) for name in cameras}, {"arm": (arm, np.zeros(len(arm)))}
    )
    with pytest.raises(Refused, match=message) as refusal:
        align(recording, config(**settings))  # type: ignore[arg-type]
    assert refusal.value.reason is reason


@pytest.mark.parametrize("empty", [True, False])
def test_a_required_stream_that_is_missing_or_empty_is_refused(empty: bool) -> None:
    vectors = {"arm": (np.empty(0, np.int64), np.empty((0, 3)))} if empty else {}
    recording = MemoryRecording({"cam": clock(10, 1)}, vectors)
    with pytest.raises(Refused, match="stream arm") as refusal:
        align(recording, config())
    assert refusal.value.reason is Reason.MISSING_STREAM


def test_a_stream_of_another_dimension_than_expected_is_refused() -> None:
    recording = MemoryRecording({"cam": clock(10, 1)}, {"arm": (clock(10, 1), np.zeros((11, 6)))})
    with pytest.raises(Refused, match=r"arm has 6 elements .* expects 7") as refusal:
        align(recording, config(streams=(stream(expected_dimension=7),)))
    assert refusal.value.reason is Reason.MISSING_FIELD


def test_quaternions_that_are_no_blocks_of_four_are_refused() -> None:
    recording = MemoryRecording({"cam": clock(10, 1)}, {"arm": (clock(10, 1), np.zeros((11, 6)))})
    with pytest.raises(Refused, match="blocks of four") as refusal:
        align(recording, config(streams=(stream(space="quaternion"),)))
    assert refusal.value.reason is Reason.BAD_CONFIG
