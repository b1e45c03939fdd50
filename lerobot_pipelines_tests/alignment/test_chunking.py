from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lerobot_pipelines.alignment import align, chunks
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.model import AlignedFrames
from lerobot_pipelines_tests.alignment.fakes import (
    MS,
    MemoryRecording,
    camera,
    clock,
    config,
    feature,
    stream,
)

FEATURES = {"observation.state": feature("arm"), "action": feature("arm", chunk=True)}


def chunked(
    recording: MemoryRecording, *, features: Any = FEATURES, **settings: Any
) -> AlignedFrames:
    settings = {"chunk_size": 4, **settings}
    return align(recording, config(features=features, strategy="chunking", **settings))


def arm_at(rate_hz: float, seconds: float = 1.0) -> MemoryRecording:
    """Samples hold their own number."""
    stamps = clock(rate_hz, seconds)
    return MemoryRecording({"cam": clock(10, seconds)}, {"arm": (stamps, range(len(stamps)))})


def test_the_chunk_follows_the_action_streams_own_rate() -> None:
    frames = chunked(arm_at(50))
    assert frames.features["action"].shape == (11, 4, 1)
    assert frames.features["action"][0, :, 0].tolist() == [0, 1, 2, 3]
    assert frames.features["action"][5, :, 0].tolist() == [25, 26, 27, 28]
    assert frames.features["action"].dtype == np.float32
    assert frames.features["action_is_pad"].dtype == np.bool_


def test_the_chunk_rate_can_be_given() -> None:
    frames = chunked(arm_at(50), chunk_rate_hz=10.0)
    assert frames.features["action"][0, :, 0].tolist() == [0, 5, 10, 15]


def test_the_state_has_no_chunk_axis() -> None:
    frames = chunked(arm_at(50))
    assert frames.features["observation.state"][:, 0].tolist() == list(range(0, 55, 5))
    assert "observation.state_is_pad" not in frames.features


def test_a_feature_with_chunk_has_no_such_axis_under_another_strategy() -> None:
    frames = align(arm_at(50), config(features=FEATURES, strategy="nearest"))
    assert frames.features["action"].shape == (11, 1)
    assert "action_is_pad" not in frames.features


@pytest.mark.parametrize("mode", ["repeat", "edge", "constant"])
def test_past_the_end_the_chunk_is_padded_and_says_so(mode: str) -> None:
    frames = chunked(arm_at(10), padding_mode=mode, padding_value=-1.0)
    padding, action = frames.features["action_is_pad"], frames.features["action"][:, :, 0]
    assert padding[:8].any() == False  # noqa: E712
    assert padding[9].tolist() == [False, False, True, True]
    assert padding[10].tolist() == [False, True, True, True]
    fill = -1 if mode == "constant" else 10
    assert action[9].tolist() == [9, 10, fill, fill]
    assert action[10].tolist() == [10, fill, fill, fill]


def test_every_base_frame_is_kept_whatever_the_tolerance() -> None:
    stamps = np.array([0, 130, 310, 500, 690, 870, 1000]) * MS
    recording = MemoryRecording({"cam": clock(10, 1)}, {"arm": (stamps, range(7))})
    frames = chunked(recording, tolerance_ms=1.0)
    assert len(frames.row_times_ns) == 11
    assert frames.report.dropped == {}
    assert frames.report.age_ms["arm"]["max"] == 90.0


def test_the_actions_before_a_hole_in_their_stream_do_not_reach_across_it() -> None:
    stamps = np.concatenate([clock(10, 1), clock(10, 1, start_ns=2000 * MS)])
    recording = MemoryRecording({"cam": clock(10, 3)}, {"arm": (stamps, range(len(stamps)))})
    frames = chunked(recording, filtering={"gap_policy": "split"})
    last_before = int(np.flatnonzero(frames.segments == 0)[-1])
    assert frames.row_times_ns[last_before] == 1000 * MS
    assert frames.features["action"][last_before, :, 0].tolist() == [10, 10, 10, 10]
    assert frames.features["action_is_pad"][last_before].tolist() == [False, True, True, True]
    assert frames.features["action"][last_before + 1, :, 0].tolist() == [11, 12, 13, 14]


def test_parts_of_one_feature_share_one_time_axis_and_one_mask() -> None:
    fast, slow = clock(50, 1), clock(10, 0.8)
    recording = MemoryRecording(
        {"cam": clock(10, 1)}, {"arm": (fast, range(51)), "hand": (slow, range(9))}
    )
    frames = chunked(
        recording,
        streams=(stream("arm"), stream("hand", required=False)),
        features={"action": feature("arm", "hand", chunk=True)},
    )
    assert frames.features["action"][8].tolist() == [[40, 8], [41, 8], [42, 8], [43, 8]]
    assert frames.features["action_is_pad"][8].tolist() == [False, True, True, True]


def test_several_features_each_get_their_axis() -> None:
    recording = MemoryRecording(
        {"cam": clock(10, 1)},
        {"arm": (clock(50, 1), range(51)), "hand": (clock(10, 1), range(11))},
    )
    frames = chunked(
        recording,
        streams=(stream("arm"), stream("hand")),
        features={"action": feature("arm", chunk=True), "action.hand": feature("hand", chunk=True)},
    )
    assert frames.features["action"][1, :, 0].tolist() == [5, 6, 7, 8]
    assert frames.features["action.hand"][1, :, 0].tolist() == [1, 2, 3, 4]
    assert {"action_is_pad", "action.hand_is_pad"} <= frames.features.keys()


def test_a_causal_chunk_takes_what_was_in_force_at_each_moment() -> None:
    stamps = np.array([0, 90, 190, 290, 390, 490]) * MS
    recording = MemoryRecording({"cam": clock(10, 0.4)}, {"arm": (stamps, range(6))})
    frames = chunked(recording, causal=True, chunk_rate_hz=10.0, chunk_size=3)
    assert frames.features["action"][1, :, 0].tolist() == [1, 2, 3]


def test_a_stream_that_holds_is_padding_once_it_is_too_old() -> None:
    recording = MemoryRecording(
        {"cam": clock(10, 1)},
        {"arm": (clock(10, 1), range(11)), "claw": ([0, 500 * MS], [7, 8])},
    )
    frames = chunked(
        recording,
        streams=(stream("arm"), stream("claw", strategy="hold", max_age_ms=400.0)),
        features={"action": feature("arm", "claw", chunk=True)},
    )
    assert frames.features["action"][3].tolist() == [[3, 7], [4, 7], [5, 8], [6, 8]]
    assert not frames.features["action_is_pad"][3].any()
    row = int(np.flatnonzero(frames.row_times_ns == 800 * MS)[0])
    assert frames.features["action_is_pad"][row].tolist() == [False, False, True, True]


def test_an_interpolated_stream_cannot_be_part_of_a_chunk() -> None:
    with pytest.raises(Refused, match="linear") as refusal:
        chunked(arm_at(50), streams=(stream(strategy="linear"),))
    assert refusal.value.reason is Reason.BAD_CONFIG


def test_the_size_of_blocks_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = chunked(arm_at(50), chunk_size=7)
    monkeypatch.setattr(chunks, "BLOCK_MOMENTS", 10)
    small = chunked(arm_at(50), chunk_size=7)
    for key, values in whole.features.items():
        assert values.tobytes() == small.features[key].tobytes()


def test_a_lost_picture_of_another_camera_still_drops_the_row() -> None:
    side = np.delete(clock(10, 1), [4, 5])
    recording = MemoryRecording(
        {"cam": clock(10, 1), "side": side}, {"arm": (clock(50, 1), range(51))}
    )
    frames = chunked(recording, cameras=(camera(), camera("side")))
    assert frames.report.dropped == {"tolerance:side": 2}
