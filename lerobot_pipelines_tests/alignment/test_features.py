from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lerobot_pipelines.alignment import align
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.model import AlignedFrames
from lerobot_pipelines_tests.alignment.fakes import (
    MS,
    MemoryRecording,
    clock,
    config,
    feature,
    stream,
)

ROWS = clock(10, 0.5)
ARM = np.arange(18.0).reshape(6, 3)
HAND = 100 + np.arange(12.0).reshape(6, 2)


def run(
    *parts: Any,
    vectors: dict[str, Any] | None = None,
    names: Mapping[str, tuple[str, ...]] | None = None,
    streams: tuple[Any, ...] | None = None,
    **settings: Any,
) -> AlignedFrames:
    vectors = {"arm": (ROWS, ARM), "hand": (ROWS, HAND)} if vectors is None else vectors
    recording = MemoryRecording({"cam": ROWS}, vectors, names)
    return align(
        recording,
        config(
            streams=(stream("arm"), stream("hand")) if streams is None else streams,
            features={"observation.state": feature(*parts)},
            **settings,
        ),
    )


def state(frames: AlignedFrames) -> NDArray[np.float32]:
    values = frames.features["observation.state"]
    assert values.dtype == np.float32
    return values


def test_parts_are_concatenated_in_their_order() -> None:
    frames = run("hand", {"stream": "arm", "slice": "1:3"})
    assert state(frames)[1].tolist() == [102, 103, 4, 5]


def test_names_are_given_or_the_recordings_or_the_streams() -> None:
    names = {"arm": ("shoulder", "elbow", "wrist")}
    frames = run({"stream": "arm", "slice": "-2:"}, "hand", names=names)
    assert frames.feature_names["observation.state"] == ("elbow", "wrist", "hand_0", "hand_1")
    frames = run({"stream": "hand", "names": ["open", "close"]})
    assert frames.feature_names["observation.state"] == ("open", "close")


def test_names_that_collide_get_their_streams_name() -> None:
    names = {"arm": ("a", "b", "c"), "hand": ("a", "d")}
    frames = run("arm", "hand", names=names)
    expected = ("arm_a", "arm_b", "arm_c", "hand_a", "hand_d")
    assert frames.feature_names["observation.state"] == expected


def test_a_threshold_makes_zeros_and_ones() -> None:
    frames = run({"stream": "hand", "binary_threshold": 104.0})
    assert state(frames)[:, 0].tolist() == [0, 0, 1, 1, 1, 1]


def test_the_fallback_serves_where_the_stream_has_no_valid_sample() -> None:
    command = (ROWS[2:4], [[-1.0, -2.0], [-3.0, -4.0]])
    frames = run(
        {"stream": "command", "fallback": "arm", "fallback_slice": "0:2"},
        vectors={"arm": (ROWS, ARM), "command": command},
        streams=(stream("arm"), stream("command", required=False)),
    )
    assert state(frames).tolist() == [[0, 1], [3, 4], [-1, -2], [-3, -4], [12, 13], [15, 16]]
    assert frames.report.utilisation == pytest.approx({"command": 1, "arm": 4 / 6, "cam": 1})


def test_the_fallback_serves_all_rows_where_the_stream_is_missing() -> None:
    frames = run(
        {"stream": "command", "fallback": "arm"},
        vectors={"arm": (ROWS, ARM)},
        streams=(stream("arm"), stream("command", required=False)),
    )
    np.testing.assert_array_equal(state(frames), ARM)


def test_rows_without_any_source_are_dropped() -> None:
    frames = run(
        "arm",
        "command",
        vectors={"arm": (ROWS, ARM), "command": (ROWS[[0, 1, 2, 4]], np.zeros((4, 1)))},
        streams=(stream("arm"), stream("command", required=False)),
    )
    assert frames.report.dropped == {"tolerance:command": 2}


def test_a_feature_of_absent_optional_streams_is_left_out() -> None:
    recording = MemoryRecording({"cam": ROWS}, {"arm": (ROWS, ARM)})
    features = {"observation.state": feature("arm"), "observation.force": feature("force")}
    streams = (stream("arm"), stream("force", required=False))
    frames = align(recording, config(streams=streams, features=features))
    assert list(frames.features) == ["observation.state"]


def test_a_feature_that_would_lack_a_part_is_refused() -> None:
    with pytest.raises(Refused, match=r"feature observation\.state needs stream force") as refusal:
        run("arm", "force", streams=(stream("arm"), stream("force", required=False)))
    assert refusal.value.reason is Reason.MISSING_STREAM


@pytest.mark.parametrize("text", ["0:4", "3:", "5", "2:1"])
def test_a_slice_that_does_not_fit_the_stream_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="stream arm") as refusal:
        run({"stream": "arm", "slice": text})
    assert refusal.value.reason is Reason.MISSING_FIELD


def test_a_fallback_of_another_width_is_refused() -> None:
    with pytest.raises(Refused, match="fallback_slice") as refusal:
        run({"stream": "arm", "fallback": "hand"})
    assert refusal.value.reason is Reason.BAD_CONFIG


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39])
@pytest.mark.parametrize("strategy", ["nearest", "window", "linear", "hold", "chunking"])
def test_numbers_that_are_not_finite_never_reach_rows(value: float, strategy: str) -> None:
    arm = ARM.copy()
    arm[3, 1] = value
    with pytest.raises(Refused, match=r"stream arm has 1 samples .* 0\.300 s") as refusal:
        run("arm", vectors={"arm": (ROWS, arm), "hand": (ROWS, HAND)}, strategy=strategy)
    assert refusal.value.reason is Reason.NON_FINITE
    assert refusal.value.details["stamp_ns"] == 300 * MS


@pytest.mark.parametrize("aggregation", ["mean", "median"])
def test_a_number_that_is_not_finite_does_not_hide_in_a_window(aggregation: str) -> None:
    stamps, samples = clock(100, 0.5), np.zeros(51)
    samples[22] = np.inf
    with pytest.raises(Refused) as refusal:
        run(
            "arm",
            vectors={"arm": (stamps, samples)},
            streams=(stream("arm"),),
            strategy="window",
            aggregation=aggregation,
        )
    assert refusal.value.reason is Reason.NON_FINITE


def test_numbers_that_no_row_uses_may_be_anything() -> None:
    stamps, samples = clock(100, 0.5), np.tile(np.arange(51.0)[:, None], (1, 2))
    samples[5] = np.nan  # between two rows
    samples[:, 1] = np.nan  # not in the slice
    frames = run(
        {"stream": "arm", "slice": "0"},
        vectors={"arm": (stamps, samples)},
        streams=(stream("arm"),),
    )
    assert state(frames)[:, 0].tolist() == [0, 10, 20, 30, 40, 50]
