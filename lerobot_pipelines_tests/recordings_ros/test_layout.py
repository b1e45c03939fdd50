"""Numbers read in place are those that decoding gives, or the message is decoded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lerobot_pipelines.recordings.ros.container import Connection
from lerobot_pipelines.recordings.ros.layout import MAX_LAYOUTS, Layouts
from lerobot_pipelines.recordings.ros.message_types import RosCodec
from lerobot_pipelines.recordings.ros.selection import Selection
from lerobot_pipelines_tests.recordings_ros.bags import JOINTS, START_NS, Types

TYPES = {1: Types(1), 2: Types(2)}


def codec_of(types: Types, name: str) -> RosCodec:
    text, _ = types.store.generate_msgdef(name, ros_version=types.ros)
    serialization = "ros1" if types.ros == 1 else "cdr"
    return RosCodec(Connection(0, "/t", name, text, "msg", "", serialization))


def raw_of(types: Types, message: Any) -> memoryview:
    name = message.__msgtype__
    serialize = types.store.serialize_ros1 if types.ros == 1 else types.store.serialize_cdr
    return memoryview(bytes(serialize(message, name)))


class Reader:
    """Reads as the first pass does: in place if possible, else decoded and remembered."""

    def __init__(self, types: Types, name: str, field: str | None, names: Any = None) -> None:
        self.types = types
        self.codec = codec_of(types, name)
        self.selection = Selection(self.codec, field, names)
        self.layouts = Layouts(self.codec, self.selection)

    def read(self, message: Any) -> tuple[list[float], bool]:
        raw = raw_of(self.types, message)
        sample = self.selection.sample(self.codec.decode(raw))
        wanted = self.selection.wanted
        columns = self.selection.columns(sample.shape, wanted) if wanted else None
        expected = sample.values if columns is None else sample.values[columns]
        found = self.layouts.find(raw)
        if found is None:
            self.layouts.learn(raw, sample, columns)
            return expected.tolist(), False
        assert found[0].shape == sample.shape
        assert found[1].tolist() == expected.tolist()
        return expected.tolist(), True


@pytest.mark.parametrize("ros", [1, 2])
@pytest.mark.parametrize(
    "field",
    ["joint_data.joint_q[12:26]", "joint_data.joint_q[-1]", "joint_data.joint_v, state", None],
)
def test_messages_of_one_shape_are_read_in_place(ros: int, field: str | None) -> None:
    types = TYPES[ros]
    reader = Reader(types, "my_msgs/msg/State", field)
    in_place = [reader.read(types.custom(START_NS + k, np.arange(28.0) * k))[1] for k in range(5)]
    assert in_place == [False, True, True, True, True]


@pytest.mark.parametrize("ros", [1, 2])
def test_joints_in_another_order_are_not_taken_for_the_first(ros: int) -> None:
    types = TYPES[ros]
    reader = Reader(types, "sensor_msgs/msg/JointState", None)
    swapped = (JOINTS[0], JOINTS[2], JOINTS[1])
    # "elbow" and "wrist" are equally long: only the names tell. Numbers come as they are sent.
    assert reader.read(types.joint_state(START_NS, (1, 2, 3))) == ([1, 2, 3], False)
    assert reader.read(types.joint_state(START_NS, (1, 3, 2), swapped)) == ([1, 3, 2], False)
    assert reader.read(types.joint_state(START_NS, (4, 6, 5), swapped)) == ([4, 6, 5], True)
    assert reader.read(types.joint_state(START_NS, (7, 8, 9))) == ([7, 8, 9], True)
    picked = Reader(types, "sensor_msgs/msg/JointState", None, JOINTS[::-1])
    assert picked.read(types.joint_state(START_NS, (1, 3, 2), swapped)) == ([3, 2, 1], False)
    assert picked.read(types.joint_state(START_NS, (4, 6, 5), swapped)) == ([6, 5, 4], True)


@settings(max_examples=60, deadline=None)
@given(
    ros=st.sampled_from([1, 2]),
    messages=st.lists(
        st.tuples(st.text("abc", max_size=5), st.lists(st.floats(-9, 9), min_size=1, max_size=4)),
        min_size=2,
        max_size=12,
    ),
)
def test_any_mixture_of_shapes_reads_as_decoded(
    ros: int, messages: list[tuple[str, list[float]]]
) -> None:
    types = TYPES[ros]
    reader = Reader(types, "sensor_msgs/msg/JointState", "position")
    for frame, numbers in messages:
        message = types.joint_state(START_NS, numbers, ())
        message.header.frame_id = frame
        assert reader.read(message)[0] == numbers


def test_what_cannot_be_read_in_place_is_decoded() -> None:
    types = TYPES[2]
    point = types.make("geometry_msgs/msg/Point", 1.0, 2.0, 3.0)
    turn = types.make("geometry_msgs/msg/Quaternion", 0.0, 0.0, 0.0, 1.0)
    pose = types.make("geometry_msgs/msg/Pose", point, turn)
    array = types.make("geometry_msgs/msg/PoseArray", types.header(START_NS), [pose, pose])
    reader = Reader(types, "geometry_msgs/msg/PoseArray", "poses[0:2].position")
    assert reader.read(array) == ([1, 2, 3, 1, 2, 3], False)
    assert reader.read(array) == ([1, 2, 3, 1, 2, 3], False)


def test_a_topic_of_many_shapes_is_given_up() -> None:
    types = TYPES[1]
    reader = Reader(types, "sensor_msgs/msg/JointState", None)
    for length in range(1, 40):
        reader.read(types.joint_state(START_NS, range(length), ()))
    assert len(reader.layouts._known) == MAX_LAYOUTS
