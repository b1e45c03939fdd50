"""Degrees where radians are expected are told by their range, and nothing else is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lerobot_pipelines.config.schema import StreamConfig
from lerobot_pipelines.intake import Intake, IntakeCode, Severity
from lerobot_pipelines.recordings import open_recording, source_from_path
from lerobot_pipelines.recordings.calibration import calibrated
from lerobot_pipelines.recordings.joint_units import note_doubtful_angles
from lerobot_pipelines_tests.recordings_ros.bags import (
    START_NS,
    Said,
    Types,
    config_of,
    write_ros1,
)

JOINT_STATE = {"type": "sensor_msgs/JointState"}
ARM = [f"arm_joint_{k}" for k in range(1, 8)]


def told(values: NDArray[np.float64], names: list[str] | None = None, **settings: Any) -> list[str]:
    """What is said of raw values that a stream of these settings is made of."""
    stream = StreamConfig(name="arm", topic="/arm", **settings)
    intake = Intake()
    note_doubtful_angles(intake, "arm", calibrated(values, stream), names, stream, JOINT_STATE)
    assert all(e.severity is Severity.WARNING for e in intake.entries)
    assert all(e.code is IntakeCode.UNIT_DOUBTFUL for e in intake.entries)
    return [entry.message for entry in intake.entries]


@st.composite
def poses(draw: st.DrawFn) -> NDArray[np.float64]:
    """An arm's joints in radians, seven of them, of which some move as arms do."""
    limits = st.floats(0.5, 2 * np.pi)
    reach = np.array(draw(st.lists(limits, min_size=7, max_size=7)))
    shares = np.linspace(-1, 1, 50)[:, None] * np.array(
        draw(st.lists(st.floats(-1, 1), min_size=7, max_size=7))
    )
    return np.asarray(shares * reach)


@given(poses())
def test_radians_are_never_doubted(values: NDArray[np.float64]) -> None:
    assert told(values, ARM) == []
    assert told(values, ARM, unit="rad") == []


@given(poses())
def test_degrees_are_doubted_where_a_third_of_the_joints_goes_far(
    values: NDArray[np.float64],
) -> None:
    degrees = np.degrees(values)
    far = np.count_nonzero(np.abs(degrees).max(axis=0) > 4 * np.pi)
    found = told(degrees, ARM)
    assert bool(found) == (far >= 7 / 3)
    if found:
        assert "convert: degrees_to_radians" in found[0]
    assert told(degrees, ARM, unit="degrees") == []
    assert told(degrees, ARM, space="angle_degrees") == []


@given(poses())
def test_a_conversion_is_doubted_only_if_there_was_nothing_to_convert(
    values: NDArray[np.float64],
) -> None:
    largest = np.abs(values).max()
    right = told(np.degrees(values), ARM, convert="degrees_to_radians")
    assert right == [] or largest <= np.radians(2 * np.pi)
    twice = told(values, ARM, convert="degrees_to_radians")
    assert bool(twice) == (largest > 0.5)


@pytest.mark.parametrize(
    ("names", "settings"),
    [
        (["l_thumb", "l_index"], {}),
        (["left_gripper", "right_claw"], {}),
        (["front_left_wheel", "front_right_wheel"], {}),
        (None, {"kind": "gripper"}),
        (["a", "b"], {"unit": "percent"}),
        (["a", "b"], {"field": "velocity"}),
        (["a", "b"], {"scale": 0.5}),
    ],
)
def test_what_is_no_angle_or_was_thought_of_is_left_alone(
    names: list[str] | None, settings: dict[str, Any]
) -> None:
    assert told(np.full((5, 2), 90.0), names, **settings) == []


def test_a_bag_in_degrees_is_warned_of_until_it_is_converted(tmp_path: Path) -> None:
    types = Types(1)
    said = []
    for k in range(20):
        state = types.joint_state(START_NS + k * 10_000_000, [90.0 + k, -45.0, 30.0])
        said.append(Said("/joints", state.__msgtype__, START_NS + k * 10_000_000, state))
    path = write_ros1(tmp_path / "a.bag", said, types)
    for convert, is_doubtful in (("none", True), ("degrees_to_radians", False)):
        stream = StreamConfig(name="arm", topic="/joints", convert=convert)
        recording = open_recording(source_from_path(path), config_of(stream))
        codes = [entry.code for entry in recording.intake]
        assert (IntakeCode.UNIT_DOUBTFUL in codes) == is_doubtful
