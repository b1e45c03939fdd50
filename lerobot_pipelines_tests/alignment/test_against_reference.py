"""Every strategy, timeline and policy gives exactly what the slow reference gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lerobot_pipelines.alignment import align
from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.model import AlignedFrames
from lerobot_pipelines_tests.alignment.fakes import (
    MS,
    SECOND,
    MemoryRecording,
    camera,
    config,
    feature,
    stream,
)
from lerobot_pipelines_tests.alignment.reference import Refusal, Result, align_slowly

STRATEGIES = ("nearest", "chunking", "window", "linear", "hold")
# What goes through sines differs between math and numpy in the last bit.
ROUNDED = ("angle", "angle_degrees", "quaternion")

property_test = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


@st.composite
def clocks(draw: st.DrawFn, rate_hz: float, seconds: float = 2.5) -> NDArray[np.int64]:
    """Stamps with jitter, drops, duplicates, sometimes a gap, and many exact ties."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    grain = draw(st.sampled_from([1, 1 * MS, 5 * MS]))
    start = draw(st.integers(-200, 300)) * MS
    stamps = start + np.arange(int(seconds * rate_hz)) * (SECOND / rate_hz)
    stamps = stamps + rng.normal(0, draw(st.sampled_from([0.0, 1.0, 8.0])) * MS, len(stamps))
    keep = rng.random(len(stamps)) >= draw(st.sampled_from([0.0, 0.05, 0.3]))
    if draw(st.booleans()):
        begin = start + draw(st.integers(0, 2000)) * MS
        keep &= (stamps < begin) | (stamps > begin + draw(st.integers(100, 900)) * MS)
    keep[draw(st.integers(0, len(stamps) - 1))] = True
    stamps = stamps[keep]
    stamps = np.concatenate([stamps, stamps[rng.random(len(stamps)) < 0.1]])
    return (10 * SECOND + np.rint(stamps / grain).astype(np.int64) * grain).astype(np.int64)


@st.composite
def recordings(draw: st.DrawFn, space: str) -> MemoryRecording:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def samples(stamps: NDArray[np.int64], dimension: int) -> NDArray[np.float64]:
        values = rng.normal(0, 90 if space == "angle_degrees" else 1, (len(stamps), dimension))
        return np.cumsum(values * 0.3, axis=0)

    vectors = {}
    for name, dimension in (("arm", 4), ("hand", 4), ("spare", 4)):
        stamps = draw(clocks(draw(st.sampled_from([10.0, 25.0, 40.0]))))
        vectors[name] = (stamps, samples(stamps, dimension))
    return MemoryRecording(
        {"cam": draw(clocks(10.0)), "side": draw(clocks(draw(st.sampled_from([7.0, 25.0]))))},
        vectors,
    )


@st.composite
def configurations(draw: st.DrawFn, strategy: str, space: str) -> DatasetConfig:
    # A stream in a chunk can only hold; elsewhere every stream may have its own strategy.
    others = ("hold",) if strategy == "chunking" else STRATEGIES[:1] + STRATEGIES[2:]

    def maybe(*values: Any) -> Any:
        return draw(st.sampled_from([None, *values]))

    parts: list[dict[str, Any]] = [
        {"stream": "arm", "slice": maybe("0:2", "1:3", "2:"), "fallback": maybe("spare")},
        {"stream": "hand", "binary_threshold": maybe(0.1)},
    ]
    parts[0]["fallback_slice"] = parts[0]["slice"] if parts[0]["fallback"] else None
    thinned = draw(st.booleans())
    return config(
        cameras=(
            camera("cam", role="base"),
            camera(
                "side",
                role="downsample" if thinned else "sync",
                target_fps=draw(st.sampled_from([10.0, 12.5])) if thinned else None,
                tolerance_ms=maybe(30.0),
                required=draw(st.booleans()),
            ),
        ),
        streams=(
            stream("arm", space=space, required=draw(st.booleans()), tolerance_ms=maybe(35.0)),
            stream("hand", space=space, strategy=maybe(*others), max_age_ms=maybe(150.0)),
            stream("spare", space=space, required=False),
        ),
        features={
            "observation.state": feature("arm", "hand"),
            "action": feature(*parts, chunk=True),
        },
        filtering={
            "max_timestamp_gap_ms": draw(st.sampled_from([None, 250.0, 500.0])),
            "gap_policy": draw(st.sampled_from(["fail", "split", "drop"])),
            "min_frames": draw(st.sampled_from([1, 2, 4])),
            "min_duration_sec": draw(st.sampled_from([0.0, 0.3])),
            "max_duration_sec": maybe(1.2),
        },
        strategy=strategy,
        timeline=draw(st.sampled_from(["base", "uniform"])),
        causal=draw(st.booleans()),
        tolerance_ms=draw(st.sampled_from([10.0, 20.0, 60.0])),
        picture_tolerance_ms=maybe(40.0),
        max_age_ms=draw(st.sampled_from([120.0, 500.0])),
        window_ms=draw(st.sampled_from([15.0, 40.0, 120.0])),
        aggregation=draw(st.sampled_from(["mean", "median"])),
        min_samples=draw(st.sampled_from([1, 3])),
        chunk_size=draw(st.sampled_from([1, 4, 9])),
        chunk_rate_hz=maybe(29.97, 10.0),
        padding_mode=draw(st.sampled_from(["repeat", "edge", "constant"])),
        padding_value=-7.5,
        trim_start_frames=draw(st.sampled_from([0, 2])),
        trim_end_frames=draw(st.sampled_from([0, 1])),
        rate_tolerance=0.99,
    )


@pytest.mark.parametrize("strategy", STRATEGIES)
@property_test
@given(data=st.data())
def test_rows_and_values_are_those_of_the_reference(strategy: str, data: st.DataObject) -> None:
    space = data.draw(st.sampled_from(["plain", "plain", *ROUNDED]))
    recording = data.draw(recordings(space))
    settings_ = data.draw(configurations(strategy, space))
    try:
        frames = align(recording, settings_)
    except Refused as refused:
        assume(refused.reason is not Reason.RATE_MISMATCH)
        with pytest.raises(Refusal) as expected:
            align_slowly(recording, settings_)
        assert str(expected.value) == refused.reason
        return
    assert_same(frames, align_slowly(recording, settings_), space)


def assert_same(frames: AlignedFrames, expected: Result, space: str) -> None:
    assert frames.row_times_ns.tolist() == expected.rows
    assert frames.segments.tolist() == expected.segments
    assert dict(frames.report.dropped) == expected.dropped
    assert frames.report.rows_candidate - sum(expected.dropped.values()) == len(expected.rows)
    for key, ids in expected.pictures.items():
        assert frames.pictures[key].tolist() == ids
        assert frames.picture_ages_ns[key].tolist() == expected.ages[key]
    assert frames.features.keys() == expected.features.keys()
    for key, values in expected.features.items():
        actual = frames.features[key]
        if actual.dtype == np.bool_:
            assert actual.tolist() == values
        elif space in ROUNDED:
            assert_close_on_circle(actual, np.array(values), space)
        else:
            np.testing.assert_array_equal(actual, np.array(values, np.float32))


def assert_close_on_circle(actual: NDArray[Any], expected: NDArray[np.float64], space: str) -> None:
    """Equal up to rounding, where half a turn and minus half a turn are the same."""
    turn = {"angle": 2 * np.pi, "angle_degrees": 360.0}.get(space)
    difference = actual.astype(np.float64) - expected
    if turn is not None:
        difference -= turn * np.rint(difference / turn)
    # Chord against arc for nearly equal quaternions: below 1e-6.
    assert np.abs(difference).max() <= (turn or 10.0) * 1e-6
