"""What a bag holds and no stream takes is listed; lists of messages are read or listed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rosbags.rosbag1 import Writer as Writer1

from lerobot_pipelines.config.schema import StreamConfig
from lerobot_pipelines.intake import IntakeCode, IntakeEntry, Severity
from lerobot_pipelines.recordings.ros import open_bag
from lerobot_pipelines.recordings.ros.recording import BagRecording
from lerobot_pipelines_tests.recordings_ros.bags import (
    START_NS,
    Said,
    Types,
    camera,
    config_of,
    session,
    source_of,
    write_mcap,
    write_ros1,
)


@pytest.fixture
def types() -> Types:
    return Types(1)


def said(topic: str, messages: Sequence[Any]) -> list[Said]:
    return [
        Said(topic, message.__msgtype__, START_NS + k * 10_000_000, message)
        for k, message in enumerate(messages)
    ]


def entries(recording: BagRecording, code: IntakeCode) -> list[IntakeEntry]:
    return [entry for entry in recording.intake if entry.code is code]


def poses(types: Types, count: int, x: float = 0.0) -> Any:
    turn = types.make("geometry_msgs/msg/Quaternion", 0.0, 0.0, 0.0, 1.0)
    points = [types.make("geometry_msgs/msg/Point", x + k, 1.0, 2.0) for k in range(count)]
    made = [types.make("geometry_msgs/msg/Pose", point, turn) for point in points]
    return types.make("geometry_msgs/msg/PoseArray", types.header(START_NS), made)


def test_topics_fields_and_numbers_that_nothing_takes(types: Types, tmp_path: Path) -> None:
    path = write_ros1(tmp_path / "a.bag", session(types, 8), types)
    left = StreamConfig(name="left", topic="/state", field="joint_data.joint_q[0:12]")
    right = StreamConfig(name="right", topic="/state", field="joint_data.joint_q[14:]")
    recording = open_bag(source_of(path), config_of(left, right, camera()))
    topics, fields = entries(recording, IntakeCode.UNUSED)
    assert topics.details["topics"] == {
        "/joints": ["sensor_msgs/JointState", 8],
        "/twist": ["geometry_msgs/Twist", 8],
    }
    assert fields.details["fields"] == [
        "joint_data.joint_q[12:14]",
        "joint_data.joint_v (3)",
        "state (2)",
    ]
    assert {topics.severity, fields.severity} == {Severity.NOTE}


def test_nothing_is_said_where_all_is_taken(types: Types, tmp_path: Path) -> None:
    path = write_ros1(tmp_path / "a.bag", session(types, 8), types)
    recording = open_bag(source_of(path))
    assert set(recording.streams) == {"/joints", "/state", "/twist", "/cam"}
    assert recording.intake == ()


def test_fields_beside_the_usual_one_are_listed(types: Types, tmp_path: Path) -> None:
    joints = types.joint_state(START_NS, (1, 2, 3))
    joints.effort = np.array([4.0, 5.0, 6.0])
    text = types.make("std_msgs/msg/String", "hello")
    path = write_ros1(tmp_path / "a.bag", said("/j", [joints] * 3) + said("/text", [text]), types)
    topics, fields = entries(open_bag(source_of(path)), IntakeCode.UNUSED)
    assert "/text (String, 1)" in topics.message
    assert fields.details["fields"] == ["effort (3)"]


@pytest.mark.parametrize("ros", [1, 2])
def test_lists_of_messages_of_one_length_are_a_stream(ros: int, tmp_path: Path) -> None:
    types = Types(ros)
    messages = said("/poses", [poses(types, 2, x) for x in (0.0, 10.0, 20.0)])
    if ros == 1:
        path = write_ros1(tmp_path / "a.bag", messages, types)
    else:
        path = write_mcap(tmp_path / "a.mcap", messages, types)
    recording = open_bag(source_of(path))
    assert recording.streams["/poses"].dimension == 14
    assert recording.vectors("/poses")[:, [0, 7]].tolist() == [[0, 1], [10, 11], [20, 21]]
    assert recording.intake == ()


def test_lists_of_any_length_are_listed_as_not_read(types: Types, tmp_path: Path) -> None:
    messages = said("/poses", [poses(types, 1 + k % 3) for k in range(12)])
    path = write_ros1(tmp_path / "a.bag", messages, types)
    recording = open_bag(source_of(path))
    assert list(recording.streams) == []
    (entry,) = entries(recording, IntakeCode.UNREAD)
    assert "poses[] hold 7 to 21 numbers at a time" in entry.message
    assert "poses[0]" in entry.message
    assert recording.faults == ()
    stream = StreamConfig(name="s", topic="/poses", field="poses[0].position")
    assert open_bag(source_of(path), config_of(stream)).vectors("s").tolist() == [[0, 1, 2]] * 12


@pytest.mark.parametrize("cut", [3, 5])
def test_vectors_that_cannot_be_decoded_are_faults(cut: int, types: Types, tmp_path: Path) -> None:
    twist, name = types.twist(1, 2, 3, 4, 5, 6), "geometry_msgs/msg/Twist"
    raw = bytes(types.store.serialize_ros1(twist, name))
    writer = Writer1(tmp_path / "a.bag")
    with writer:
        connection = writer.add_connection("/twist", name, typestore=types.store)
        for k in range(5):
            writer.write(connection, START_NS + k * 1000, raw[:20] if k < cut else raw)
    recording = open_bag(source_of(tmp_path / "a.bag"))
    assert {name: s.count for name, s in recording.streams.items()} == (
        {"/twist": 2} if cut == 3 else {}
    )
    assert [(fault.reason, fault.count) for fault in recording.faults] == [("bad_message", cut)]
    unread = [entry.message for entry in entries(recording, IntakeCode.UNREAD)]
    assert len(unread) == (cut == 5)
    assert all("none of its messages can be read (5 bad_message)" in text for text in unread)


@pytest.mark.parametrize("ros", [1, 2])
def test_a_frame_of_reference_that_changes_is_a_warning(ros: int, tmp_path: Path) -> None:
    types = Types(ros)
    messages = []
    for k in range(10):
        pose = poses(types, 1, k)
        pose.header.frame_id = "base_link" if k < 7 else "odom"
        messages.append(pose)
    write = write_ros1 if ros == 1 else write_mcap
    path = write(tmp_path / ("a.bag" if ros == 1 else "a.mcap"), said("/poses", messages), types)
    (entry,) = entries(open_bag(source_of(path)), IntakeCode.SCHEMA_CHANGED)
    assert (entry.severity, entry.count) == (Severity.WARNING, 3)
    assert "base_link (7), odom (3)" in entry.message
