from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lerobot_pipelines.alignment import align, window
from lerobot_pipelines.model import AlignedFrames
from lerobot_pipelines_tests.alignment.fakes import MS, MemoryRecording, clock, config, stream


def windowed(
    stamps_ms: Sequence[float], samples: object, space: str = "plain", **settings: Any
) -> AlignedFrames:
    """Rows at 0, 100, 200 ms; windows of 40 ms to either side."""
    stamps = [round(ms * MS) for ms in stamps_ms]
    recording = MemoryRecording({"cam": clock(10, 0.2)}, {"arm": (stamps, samples)})
    return align(recording, config(streams=(stream(space=space),), strategy="window", **settings))


def values(frames: AlignedFrames) -> NDArray[np.float32]:
    return frames.features["observation.state"]


STAMPS = [0, 59.999999, 60, 90, 140, 140.000001, 200]


def test_the_mean_is_over_the_window_with_both_ends() -> None:
    frames = windowed(STAMPS, [0, 100, 1, 2, 6, 100, 9])
    assert values(frames)[:, 0].tolist() == [0, 3, 9]


def test_the_median_is_over_the_window_with_both_ends() -> None:
    frames = windowed(STAMPS, [0, 100, 1, 2, 6, 100, 9], aggregation="median")
    assert values(frames)[:, 0].tolist() == [0, 2, 9]


def test_the_median_of_an_even_number_is_the_middle_of_two() -> None:
    frames = windowed([0, 80, 90, 110, 120, 200], [0, 1, 2, 4, 50, 0], aggregation="median")
    assert values(frames)[1, 0] == 3


def test_rows_with_too_few_samples_are_dropped_and_counted() -> None:
    frames = windowed([0, 10, 90, 190, 200], [0] * 5, min_samples=2)
    assert (frames.row_times_ns // MS).tolist() == [0, 200]
    assert frames.report.dropped == {"min_samples:arm": 1}


def test_causal_windows_end_at_the_row() -> None:
    frames = windowed([0, 70, 100, 101, 200], [1, 2, 4, 100, 7], causal=True)
    assert values(frames)[:, 0].tolist() == [1, 3, 7]


@pytest.mark.parametrize("aggregation", ["mean", "median"])
def test_angles_are_averaged_on_the_circle(aggregation: str) -> None:
    degrees = [0, 350, 0, 10, 0]
    frames = windowed([0, 90, 100, 110, 200], degrees, "angle_degrees", aggregation=aggregation)
    np.testing.assert_allclose(values(frames)[:, 0], 0, atol=1e-5)
    radians = np.radians([180, 170, 180, -170, 180])
    frames = windowed([0, 90, 100, 110, 200], radians, "angle", aggregation=aggregation)
    np.testing.assert_allclose(np.cos(values(frames)[:, 0]), -1, atol=1e-6)


@pytest.mark.parametrize("aggregation", ["mean", "median"])
def test_quaternions_of_either_sign_are_one_rotation(aggregation: str) -> None:
    q = np.array([0.1, -0.2, 0.3, 0.927])
    q /= np.linalg.norm(q)
    frames = windowed(
        [0, 90, 100, 110, 200], [q, q, -q, q, -q], "quaternion", aggregation=aggregation
    )
    np.testing.assert_allclose(values(frames)[:2], [q, q], atol=1e-6)
    np.testing.assert_allclose(values(frames)[2], -q, atol=1e-6)


def test_a_window_does_not_depend_on_what_was_recorded_before_it() -> None:
    # A prefix sum over 1e12 would leave nothing of 0.1.
    stamps = [0, 10, 90, 100, 110, 200]
    calm = windowed(stamps, [0.1, 0.2, 0.1, 0.2, 0.3, 0.4])
    after_storm = windowed(stamps, [1e12, -3e12, 0.1, 0.2, 0.3, 0.4])
    assert values(calm)[1:].tobytes() == values(after_storm)[1:].tobytes()


@pytest.mark.parametrize("aggregation", ["mean", "median"])
@pytest.mark.parametrize("space", ["plain", "angle", "quaternion"])
def test_the_size_of_blocks_changes_no_bit(
    aggregation: str, space: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(1)
    stamps = np.cumsum(rng.integers(1, 12, 400)) * MS
    recording = MemoryRecording({"cam": clock(20, 2)}, {"arm": (stamps, rng.normal(size=(400, 4)))})
    chosen = config(
        streams=(stream(space=space),), fps=20, strategy="window", aggregation=aggregation
    )
    whole = values(align(recording, chosen))
    monkeypatch.setattr(window, "BLOCK_VALUES", 7)
    assert values(align(recording, chosen)).tobytes() == whole.tobytes()
