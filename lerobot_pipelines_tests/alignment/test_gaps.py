from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lerobot_pipelines.alignment import align
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.model import AlignedFrames
from lerobot_pipelines_tests.alignment.fakes import (
    MS,
    SECOND,
    MemoryRecording,
    camera,
    clock,
    config,
    stream,
)


def without(stamps: NDArray[np.int64], start_ms: float, end_ms: float) -> NDArray[np.int64]:
    """No stamp strictly between the two."""
    return stamps[(stamps <= start_ms * MS) | (stamps >= end_ms * MS)]


def run(
    policy: str,
    cam: NDArray[np.int64] | None = None,
    arm: NDArray[np.int64] | None = None,
    cameras: dict[str, NDArray[np.int64]] | None = None,
    **settings: Any,
) -> AlignedFrames:
    cam = clock(10, 3) if cam is None else cam
    arm = clock(100, 3) if arm is None else arm
    recording = MemoryRecording(
        {"cam": cam, **(cameras or {})}, {"arm": (arm, np.arange(len(arm)))}
    )
    filtering = {"gap_policy": policy, **settings.pop("filtering", {})}
    extra = tuple(camera(name) for name in cameras or {})
    return align(recording, config(cameras=(camera(), *extra), filtering=filtering, **settings))


HOLE_IN_ARM = without(clock(100, 3), 1000, 1800)
HOLE_IN_CAM = without(clock(10, 3), 1000, 1800)


@pytest.mark.parametrize("hole", [{"arm": HOLE_IN_ARM}, {"cam": HOLE_IN_CAM}])
def test_fail_refuses_and_names_stream_place_and_length(hole: dict[str, Any]) -> None:
    with pytest.raises(Refused, match=r"for 800\.0 ms from 1\.000 s") as refusal:
        run("fail", **hole)
    assert refusal.value.reason is Reason.GAP
    assert refusal.value.details["stream"] == next(iter(hole))
    assert refusal.value.details["length_ms"] == 800.0


@pytest.mark.parametrize("hole", [{"arm": HOLE_IN_ARM}, {"cam": HOLE_IN_CAM}])
def test_split_begins_a_new_segment_behind_the_hole(hole: dict[str, Any]) -> None:
    frames = run("split", **hole)
    assert frames.segments.tolist() == [0] * 11 + [1] * 13
    assert frames.segments.dtype == np.int32
    assert frames.row_times_ns[10] == 1000 * MS
    assert frames.row_times_ns[11] == 1800 * MS
    assert frames.report.gaps == [
        {"stream": next(iter(hole)), "start_ns": SECOND, "length_ms": 800.0}
    ]


@pytest.mark.parametrize("hole", [{"arm": HOLE_IN_ARM}, {"cam": HOLE_IN_CAM}])
def test_drop_leaves_the_hole_out_and_goes_on_in_the_same_segment(hole: dict[str, Any]) -> None:
    frames = run("drop", **hole)
    assert frames.segments.tolist() == [0] * 24
    assert np.diff(frames.row_times_ns).max() == 800 * MS
    assert len(frames.report.gaps) == 1


def test_rows_in_a_hole_are_counted_as_gap() -> None:
    assert run("split", arm=HOLE_IN_ARM).report.dropped == {"gap": 7}


@pytest.mark.parametrize("strategy", ["nearest", "chunking", "window", "linear"])
def test_no_strategy_fills_a_hole(strategy: str) -> None:
    frames = run("split", arm=HOLE_IN_ARM, strategy=strategy, tolerance_ms=15.0, window_ms=15.0)
    inside = (frames.row_times_ns > 1015 * MS) & (frames.row_times_ns < 1785 * MS)
    assert not inside.any()


def test_a_gap_of_exactly_the_limit_is_none() -> None:
    frames = run("fail", arm=without(clock(100, 3), 1000, 1500))
    assert frames.report.gaps == []
    assert frames.report.dropped == {"tolerance:arm": 4}
    with pytest.raises(Refused, match=r"510\.0 ms"):
        run("fail", arm=without(clock(100, 3), 1000, 1510))


def test_rows_dropped_for_their_tolerance_become_a_hole_when_they_are_too_many_in_a_row() -> None:
    # The arm sends every 200 ms for a while: never a hole by itself, but no row is near a sample.
    sparse = np.array([1050, 1250, 1450, 1650]) * MS
    arm = np.sort(np.concatenate([without(clock(100, 3), 1000, 1800), sparse]))
    with pytest.raises(Refused, match="stream arm") as refusal:
        run("fail", arm=arm)
    assert refusal.value.reason is Reason.GAP
    frames = run("split", arm=arm)
    assert frames.segments.tolist() == [0] * 11 + [1] * 13
    assert frames.report.dropped == {"tolerance:arm": 7}
    assert frames.report.gaps == [{"stream": "arm", "start_ns": SECOND, "length_ms": 800.0}]


def test_a_hole_in_another_camera_counts_like_any_other() -> None:
    side = {"side": without(clock(10, 3), 1000, 1800)}
    with pytest.raises(Refused, match="stream side"):
        run("fail", cameras=side)
    frames = run("split", cameras=side)
    assert frames.segments.max() == 1
    assert frames.report.gaps[0]["stream"] == "side"


def test_a_hole_that_tolerance_bridges_still_ends_the_segment() -> None:
    frames = run("split", arm=HOLE_IN_ARM, tolerance_ms=600.0)
    assert frames.report.dropped == {}
    assert (frames.row_times_ns[frames.segments == 1][0]) == 1500 * MS


def test_several_holes_make_several_segments_without_omission() -> None:
    arm = without(without(clock(100, 3), 500, 1100), 2000, 2600)
    frames = run("split", arm=arm)
    assert sorted(set(frames.segments.tolist())) == [0, 1, 2]
    assert (np.diff(frames.segments) >= 0).all()
    assert len(frames.report.gaps) == 2


def test_simultaneous_holes_split_once() -> None:
    frames = run("split", cam=HOLE_IN_CAM, arm=HOLE_IN_ARM)
    assert frames.segments.max() == 1


def test_a_hole_outside_the_rows_is_none() -> None:
    frames = run("fail", arm=without(clock(100, 3), 0, 800), trim_start_frames=9)
    assert frames.row_times_ns[0] == 900 * MS


def test_without_a_limit_nothing_is_a_hole() -> None:
    frames = run("fail", arm=HOLE_IN_ARM, filtering={"max_timestamp_gap_ms": None})
    assert frames.report.gaps == []
    assert frames.segments.max() == 0


def test_a_hole_in_an_optional_stream_is_judged_by_the_rows_it_costs() -> None:
    with pytest.raises(Refused) as refusal:
        run("fail", arm=HOLE_IN_ARM, streams=(stream(required=False),))
    assert refusal.value.reason is Reason.GAP
    frames = run("split", arm=HOLE_IN_ARM, streams=(stream(required=False),))
    assert frames.report.dropped == {"tolerance:arm": 7}
