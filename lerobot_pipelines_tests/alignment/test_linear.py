from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from lerobot_pipelines.alignment import align
from lerobot_pipelines_tests.alignment.fakes import MS, MemoryRecording, clock, config, stream


def interpolated(
    stamps_ms: Sequence[float], samples: object, space: str = "plain", **settings: object
) -> NDArray[np.float32]:
    stamps = [round(ms * MS) for ms in stamps_ms]
    recording = MemoryRecording({"cam": clock(10, 1)}, {"arm": (stamps, samples)})
    settings = {"tolerance_ms": 100.0, **settings}
    chosen = config(streams=(stream(space=space),), strategy="linear", **settings)  # type: ignore[arg-type]
    return align(recording, chosen).features["observation.state"]


def test_values_lie_on_the_line_between_the_neighbours() -> None:
    stamps = [0, 60, 130, 210, 300]
    values = interpolated(stamps, [2 * ms + 1 for ms in stamps])
    np.testing.assert_allclose(values[:, 0], [1, 201, 401, 601], rtol=1e-6)


def test_a_sample_exactly_at_the_row_serves_alone_even_beside_a_hole() -> None:
    values = interpolated([0, 100, 200, 400], [1.5, 2.5, 3.5, 9.0], tolerance_ms=60.0)
    assert values[:, 0].tolist() == [1.5, 2.5, 3.5, 9.0]


def test_neighbours_further_apart_than_twice_the_tolerance_do_not_count() -> None:
    samples = [0, 1, 2, 3, 4]
    assert len(interpolated([0, 60, 160, 200, 300], samples, tolerance_ms=50.0)) == 4
    assert len(interpolated([0, 60, 160.000001, 200, 300], samples, tolerance_ms=50.0)) == 3


def test_angles_take_the_shorter_way_across_the_wrap() -> None:
    degrees = interpolated([0, 75, 125, 200], [170, 170, -170, -170], "angle_degrees")
    assert abs(degrees[1, 0]) == 180
    radians = interpolated([0, 50, 150, 200], np.radians([350, 350, 20, 20]), "angle")
    np.testing.assert_allclose(np.degrees(radians[1, 0]), 5, atol=1e-4)


def test_quaternions_turn_at_constant_speed_along_the_shorter_arc() -> None:
    def about_z(angle: float) -> NDArray[np.float64]:
        return np.array([0, 0, np.sin(angle / 2), np.cos(angle / 2)])

    # The second sample is the same rotation with the other sign.
    samples = [about_z(0.0), about_z(0.0), -about_z(1.2), about_z(1.2)]
    values = interpolated([0, 80, 140, 300], samples, "quaternion")
    np.testing.assert_allclose(values[1], about_z(0.4), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(values, axis=1), 1, atol=1e-6)


def test_causal_rows_take_the_last_sample_instead() -> None:
    values = interpolated([0, 60, 150, 200], [0, 1, 2, 3], causal=True)
    assert values[:, 0].tolist() == [0, 1, 3]


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-4, 0.03, np.pi - 1e-6])
def test_slerp_is_sound_at_every_angle(angle: float) -> None:
    end = [0, 0, np.sin(angle / 2), np.cos(angle / 2)]
    values = interpolated([0, 50, 150, 200], [[0, 0, 0, 1]] * 2 + [end] * 2, "quaternion")
    half = [0, 0, np.sin(angle / 4), np.cos(angle / 4)]
    np.testing.assert_allclose(values[1], half, atol=1e-6)
