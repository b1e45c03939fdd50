from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lerobot_pipelines.alignment import align
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines_tests.alignment.fakes import (
    MS,
    SECOND,
    MemoryRecording,
    camera,
    clock,
    config,
)


def recording(seconds: float = 3.0) -> MemoryRecording:
    arm = clock(100, seconds)
    return MemoryRecording({"cam": clock(10, seconds)}, {"arm": (arm, np.zeros(len(arm)))})


@pytest.mark.parametrize(
    ("filtering", "reason", "message"),
    [
        ({"min_frames": 32}, Reason.TOO_FEW_FRAMES, "31 rows"),
        ({"min_duration_sec": 3.001}, Reason.TOO_SHORT, r"3\.000 s, less than"),
        ({"max_duration_sec": 2.999}, Reason.TOO_LONG, r"3\.000 s, more than"),
    ],
)
def test_what_does_not_pass_is_refused_with_its_reason(
    filtering: dict[str, Any], reason: Reason, message: str
) -> None:
    with pytest.raises(Refused, match=message) as refusal:
        align(recording(), config(filtering=filtering))
    assert refusal.value.reason is reason


def test_the_limits_themselves_pass() -> None:
    limits = {"min_frames": 31, "min_duration_sec": 3.0, "max_duration_sec": 3.0}
    assert len(align(recording(), config(filtering=limits)).row_times_ns) == 31


def test_each_segment_must_pass_and_the_others_stay() -> None:
    arm = clock(100, 3)
    arm = arm[(arm <= 300 * MS) | (arm >= SECOND)]
    parts = MemoryRecording({"cam": clock(10, 3)}, {"arm": (arm, np.zeros(len(arm)))})
    frames = align(parts, config(filtering={"gap_policy": "split", "min_duration_sec": 1.0}))
    assert frames.row_times_ns[0] == SECOND
    assert frames.segments.tolist() == [0] * 21
    assert frames.report.dropped == {"gap": 6, "segment:too_short": 4}


def test_when_no_segment_passes_the_longest_one_gives_the_reason() -> None:
    arm = clock(100, 3)
    arm = arm[(arm <= 50 * MS) | (arm >= SECOND)]
    parts = MemoryRecording({"cam": clock(10, 3)}, {"arm": (arm, np.zeros(len(arm)))})
    filtering = {"gap_policy": "split", "max_duration_sec": 1.0}
    with pytest.raises(Refused) as refusal:
        align(parts, config(filtering=filtering))
    assert refusal.value.reason is Reason.TOO_LONG


def test_every_camera_is_required_by_default() -> None:
    two = (camera(), camera("wrist"))
    with pytest.raises(Refused, match="camera wrist") as refusal:
        align(recording(), config(cameras=two))
    assert refusal.value.reason is Reason.MISSING_CAMERA


@pytest.mark.parametrize(
    ("filtering", "required"), [({"require_all_cameras": False}, True), ({}, False)]
)
def test_a_camera_that_need_not_be_there_is_left_out(
    filtering: dict[str, Any], required: bool
) -> None:
    two = (camera(), camera("wrist", required=required))
    frames = align(recording(), config(cameras=two, filtering=filtering))
    assert list(frames.pictures) == ["observation.images.cam"]


def test_the_base_camera_is_required_whatever_the_filters_say() -> None:
    missing = MemoryRecording({"side": clock(10, 3)}, {"arm": (clock(100, 3), np.zeros(301))})
    cameras = (camera(role="base", required=False), camera("side"))
    with pytest.raises(Refused, match="base camera cam"):
        align(missing, config(cameras=cameras, filtering={"require_all_cameras": False}))


def test_rows_that_all_miss_their_tolerance_are_refused_with_the_counts() -> None:
    arm = clock(10, 3, start_ns=-50 * MS)
    apart = MemoryRecording({"cam": clock(10, 2.9)}, {"arm": (arm, np.zeros(len(arm)))})
    with pytest.raises(Refused, match="tolerance:arm: 30") as refusal:
        align(apart, config())
    assert refusal.value.reason is Reason.TOO_FEW_FRAMES
