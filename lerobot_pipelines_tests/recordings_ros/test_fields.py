"""Numbers are found by path and slice, joints by name; what is not there is said, not guessed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lerobot_pipelines.config.schema import StreamConfig
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.recordings.ros import open_bag
from lerobot_pipelines.recordings.ros.recording import BagRecording
from lerobot_pipelines_tests.recordings_ros.bags import (
    START_NS,
    Said,
    Types,
    config_of,
    source_of,
    write_ros1,
)

JOINT_STATE = "sensor_msgs/msg/JointState"


@pytest.fixture
def types() -> Types:
    return Types(1)


def recorded(folder: Path, types: Types, messages: list[Any], stream: StreamConfig) -> BagRecording:
    """A bag of these messages, 10 ms apart, on the stream's topic, opened for that stream."""
    said = [
        Said(stream.topic or "", message.__msgtype__, START_NS + k * 10_000_000, message)
        for k, message in enumerate(messages)
    ]
    return open_bag(source_of(write_ros1(folder / "a.bag", said, types)), config_of(stream))


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("joint_data.joint_q[12:26]", list(range(12, 26))),
        ("joint_data.joint_q[-2:]", [26, 27]),
        ("joint_data.joint_q[::9]", [0, 9, 18, 27]),
        ("joint_data.joint_q[3]", [3]),
        ("joint_data.joint_v", [1, 2, 3]),
        ("state, joint_data.joint_v[0:2]", [1, 2, 1, 2]),
        ("joint_data", [*range(28), 1, 2, 3]),
        (None, [*range(28), 1, 2, 3, 1, 2]),
    ],
)
def test_a_field_is_taken_by_path_and_slice(
    field: str | None, expected: list[float], types: Types, tmp_path: Path
) -> None:
    stream = StreamConfig(name="s", topic="/state", field=field)
    recording = recorded(tmp_path, types, [types.custom(START_NS, range(28))], stream)
    assert recording.vectors("s").tolist() == [[float(number) for number in expected]]


@pytest.mark.parametrize(
    ("field", "told"),
    [
        ("joint_data.joint_q[12:30]", "30 elements"),
        ("joint_data.torque", "joint_q"),
        ("joint_data.joint_q[a]", "is not a slice"),
        ("header.frame_id", "not a number"),
        ("joint..q", "not a path"),
    ],
)
def test_a_field_that_is_not_there_is_refused_with_what_is(
    field: str, told: str, types: Types, tmp_path: Path
) -> None:
    stream = StreamConfig(name="s", topic="/state", field=field)
    with pytest.raises(Refused) as caught:
        recording = recorded(tmp_path, types, [types.custom(START_NS, range(28))], stream)
        recording.vectors("s")
    assert caught.value.reason is Reason.MISSING_FIELD
    assert told in caught.value.message
    assert "/state" in caught.value.message


def test_values_come_in_the_configured_unit(types: Types, tmp_path: Path) -> None:
    stream = StreamConfig(
        name="s",
        topic="/joints",
        scale=(1.0, 2.0, 1.0),
        bias=90.0,
        convert="degrees_to_radians",
        offset_ms=-1.5,
    )
    recording = recorded(tmp_path, types, [types.joint_state(START_NS, (0, 45, -90))], stream)
    assert recording.vectors("s") == pytest.approx(np.array([[np.pi / 2, np.pi, 0]]))
    assert recording.timestamps("s").tolist() == [START_NS - 1_500_000]


def test_joints_are_picked_by_name_wherever_they_stand(types: Types, tmp_path: Path) -> None:
    messages = [
        types.joint_state(START_NS, (1, 2, 3), ("a", "b", "c")),
        types.joint_state(START_NS, (3, 1, 2), ("c", "a", "b")),
        types.joint_state(START_NS, (9, 9), ("x", "y")),  # another node's joints
        types.joint_state(START_NS, (3, 1), ("c", "a")),
    ]
    stream = StreamConfig(name="s", topic="/joints", joint_names=("c", "a"))
    recording = recorded(tmp_path, types, messages, stream)
    assert recording.vectors("s").tolist() == [[3, 1], [3, 1], [3, 1]]
    assert recording.streams["s"].element_names == ("c", "a")
    assert recording.streams["s"].details["other_messages"] == 1
    assert recording.faults == ()


def test_joints_that_change_their_order_keep_their_column(types: Types, tmp_path: Path) -> None:
    messages = [
        types.joint_state(START_NS, (1, 2, 3), ("a", "b", "c")),
        types.joint_state(START_NS, (3, 1, 2), ("c", "a", "b")),
    ]
    recording = recorded(tmp_path, types, messages, StreamConfig(name="s", topic="/joints"))
    assert recording.vectors("s").tolist() == [[1, 2, 3], [1, 2, 3]]
    assert recording.streams["s"].details["joint_order_changed"] == 1


def test_a_joint_that_is_missing_now_and_then_is_a_fault(types: Types, tmp_path: Path) -> None:
    messages = [
        types.joint_state(START_NS, (1, 2), ("a", "b")),
        types.joint_state(START_NS, (1,), ("a",)),
    ]
    stream = StreamConfig(name="s", topic="/joints", joint_names=("a", "b"))
    recording = recorded(tmp_path, types, messages, stream)
    assert recording.streams["s"].count == 1
    assert [(f.stream, f.reason, f.count) for f in recording.faults] == [("s", "missing_field", 1)]


def test_samples_of_another_length_are_left_out(types: Types, tmp_path: Path) -> None:
    messages = [types.joint_state(START_NS, (), ())]  # a driver that is still starting
    messages += [types.joint_state(START_NS, (1,), ())]
    messages += [types.joint_state(START_NS, (1, 2), ()) for _ in range(3)]
    recording = recorded(tmp_path, types, messages, StreamConfig(name="s", topic="/joints"))
    assert recording.vectors("s").shape == (3, 2)
    assert {f.reason for f in recording.faults} == {"empty", "dimension_changed"}


def test_lists_of_messages_are_taken_apart(types: Types, tmp_path: Path) -> None:
    point = [types.make("geometry_msgs/msg/Point", k, k + 1, k + 2) for k in (0.0, 10.0)]
    turn = types.make("geometry_msgs/msg/Quaternion", 0.0, 0.0, 0.0, 1.0)
    poses = [types.make("geometry_msgs/msg/Pose", p, turn) for p in point]
    array = types.make("geometry_msgs/msg/PoseArray", types.header(START_NS), poses)
    for field, expected in (
        ("poses[1].position", [10, 11, 12]),
        ("poses[0:2].position.x", [0, 10]),
        ("poses", [0, 1, 2, 0, 0, 0, 1, 10, 11, 12, 0, 0, 0, 1]),
    ):
        folder = tmp_path / field.replace("/", "")
        folder.mkdir()
        stream = StreamConfig(name="s", topic="/poses", field=field)
        assert recorded(folder, types, [array], stream).vectors("s").tolist() == [expected]


def test_usual_types_give_their_numbers_without_a_field(types: Types, tmp_path: Path) -> None:
    vector = types.make("geometry_msgs/msg/Vector3", 1.0, 2.0, 3.0)
    turn = types.make("geometry_msgs/msg/Quaternion", 4.0, 5.0, 6.0, 7.0)
    nine = np.zeros(9)
    layout = types.make("std_msgs/msg/MultiArrayLayout", [], 0)
    header = types.header(START_NS)
    usual = {
        "std_msgs/msg/Bool": ((True,), [1]),
        "std_msgs/msg/Float32MultiArray": ((layout, np.array([1, 2], np.float32)), [1, 2]),
        "geometry_msgs/msg/Wrench": ((vector, vector), [1, 2, 3, 1, 2, 3]),
        "sensor_msgs/msg/Imu": (
            (header, turn, nine, vector, nine, vector, nine),
            [4, 5, 6, 7, 1, 2, 3, 1, 2, 3],
        ),
        "sensor_msgs/msg/Joy": (
            (header, np.array([0.5], np.float32), np.array([1, 0], np.int32)),
            [0.5, 1, 0],
        ),
    }
    for name, (fields, expected) in usual.items():
        folder = tmp_path / name.replace("/", "_")
        folder.mkdir()
        stream = StreamConfig(name="s", topic="/x")
        recording = recorded(folder, types, [types.make(name, *fields)], stream)
        assert recording.vectors("s").tolist() == [expected], name
