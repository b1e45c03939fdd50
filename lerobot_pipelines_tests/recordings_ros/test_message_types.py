"""Definitions that the library refuses are read all the same; what is unknown is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rosbags.highlevel import AnyReader
from rosbags.highlevel.anyreader import AnyReaderError
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from lerobot_pipelines.config.schema import StreamConfig
from lerobot_pipelines.recordings.ros import open_bag
from lerobot_pipelines.recordings.ros.message_types import plain_definition
from lerobot_pipelines_tests.recordings_ros.bags import (
    CUSTOM,
    START_NS,
    Said,
    Types,
    config_of,
    source_of,
    write_mcap,
    write_ros1,
)

CLAW = """\
std_msgs/Header header

int8 kError = -1                # lower case, as a well-known robot has it
int8 kUnknown=0
string kName = claw # with = and # in it

int8[] state # 0: left; 1: right
my_msgs/Fingers data
================================================================================
MSG: std_msgs/Header
uint32 seq
time stamp
string frame_id
================================================================================
MSG: my_msgs/Fingers
string[] name  \t
float64[] position
"""


def test_a_bag_with_lower_case_constants_is_read(tmp_path: Path) -> None:
    store = get_typestore(Stores.ROS1_NOETIC)
    plain = CLAW.replace("int8 kError = -1", "").replace("int8 kUnknown=0", "")
    plain = plain.replace("string kName = claw", "")
    found = get_types_from_msg(plain, "my_msgs/msg/Claw")
    store.register({name: found[name] for name in found if name.startswith("my_msgs")})
    types = Types(1)
    types.store = store
    fingers = types.make("my_msgs/msg/Fingers", ["left", "right"], np.array([10.0, 90.0]))
    claw = types.make(
        "my_msgs/msg/Claw", types.header(START_NS), np.array([1, 2], np.int8), fingers
    )
    said = [Said("/claw", "my_msgs/msg/Claw", START_NS, claw)]
    path = write_ros1(tmp_path / "a.bag", said, types, msgdef=CLAW, md5sum="0" * 32)

    with pytest.raises(AnyReaderError), AnyReader([path]):  # why rosbags' own reader is not used
        pass
    stream = StreamConfig(name="claw", topic="/claw", field="data.position")
    recording = open_bag(source_of(path), config_of(stream))
    assert recording.vectors("claw").tolist() == [[10.0, 90.0]]
    assert recording.streams["claw"].details["md5"] == "0" * 32


def test_a_topic_without_a_definition_is_read_if_its_type_is_well_known(tmp_path: Path) -> None:
    types = Types(1)
    said = [
        Said("/joints", "sensor_msgs/msg/JointState", START_NS, types.joint_state(START_NS, (1,))),
    ]
    path = write_ros1(tmp_path / "a.bag", said, types, msgdef="", md5sum="0" * 32)
    assert open_bag(source_of(path)).vectors("/joints").tolist() == [[1.0]]


def test_a_topic_of_an_unknown_type_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    types = Types(2)
    said = [
        Said("/joints", "sensor_msgs/msg/JointState", START_NS, types.joint_state(START_NS, (1,))),
        Said("/mine", "my_msgs/msg/State", START_NS, types.custom(START_NS, (1,))),
    ]
    path = write_mcap(tmp_path / "a.mcap", said, types, use_chunking=False, enable_crcs=False)
    path.write_bytes(path.read_bytes().replace(b"float64[] joint_q", b"float64[! joint_q"))
    recording = open_bag(source_of(path))
    assert list(recording.streams) == ["/joints"]
    assert [(f.stream, f.reason, f.count) for f in recording.faults] == [
        ("/mine", "unknown_type", 1)
    ]


def test_two_bags_may_define_a_type_differently(tmp_path: Path) -> None:
    first, second = Types(1), Types(1)
    second.store = get_typestore(Stores.ROS1_NOETIC)
    other = CUSTOM.replace("int8[] state", "float64 extra\nint8[] state")
    found = get_types_from_msg(other, "my_msgs/msg/State")
    second.store.register({name: found[name] for name in found if name.startswith("my_msgs")})
    joints = ((1.0, 2.0),)
    a = first.custom(START_NS, *joints)
    b = second.make(
        *("my_msgs/msg/State", second.header(START_NS), second.time(START_NS)),
        second.make("my_msgs/msg/Joints", np.array(joints[0]), np.zeros(3, np.float32)),
        *(7.0, np.array([1, 2], np.int8)),
    )
    stream = StreamConfig(name="s", topic="/s", field="state")
    for name, types, message in (("a", first, a), ("b", second, b)):
        said = [Said("/s", "my_msgs/msg/State", START_NS, message)]
        path = write_ros1(tmp_path / f"{name}.bag", said, types)
        recording = open_bag(source_of(path), config_of(stream))
        assert recording.vectors("s").tolist() == [[1.0, 2.0]]


def test_a_plain_definition_keeps_fields_only() -> None:
    text = "# about\r\nint8 kA = 1\r\nfloat64[] q # joints\r\nstring<=10 name\r\n"
    assert plain_definition(text) == "float64[] q\nstring<=10 name\n"
