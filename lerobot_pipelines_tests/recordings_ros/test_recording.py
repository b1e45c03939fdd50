"""A bag behaves as every recording: sorted stamps, first of equals kept, one pass for pictures."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from lerobot_pipelines.config.schema import StreamConfig
from lerobot_pipelines.errors import ConfigError, Reason, Refused
from lerobot_pipelines.model import Clock, StreamKind
from lerobot_pipelines.recordings.ros import open_bag
from lerobot_pipelines_tests.recordings_ros.bags import (
    START_NS,
    Said,
    Types,
    camera,
    config_of,
    picture,
    session,
    source_of,
    write_ros1,
)

JOINT_STATE = "sensor_msgs/msg/JointState"
MS = 1_000_000


@pytest.fixture
def types() -> Types:
    return Types(1)


def joints(types: Types, times: list[tuple[int, int]]) -> list[Said]:
    """Samples numbered in file order, with (receive, header) in ms after the start."""
    return [
        Said(
            "/joints",
            JOINT_STATE,
            START_NS + receive * MS,
            types.joint_state(START_NS + header * MS if header >= 0 else 0, (k,), ("a",)),
        )
        for k, (receive, header) in enumerate(times)
    ]


def test_samples_are_sorted_and_of_equal_stamps_the_first_is_kept(
    types: Types, tmp_path: Path
) -> None:
    times = [(10, 3), (20, 1), (30, 1), (40, 2), (50, 3)]
    source = source_of(write_ros1(tmp_path / "a.bag", joints(types, times), types))
    stream = StreamConfig(name="s", topic="/joints", clock=Clock.HEADER)
    recording = open_bag(source, config_of(stream))
    assert (recording.timestamps("s") - START_NS).tolist() == [1 * MS, 2 * MS, 3 * MS]
    assert recording.vectors("s").tolist() == [[1], [3], [0]]
    found = recording.streams["s"]
    assert (found.count, found.start_ns, found.end_ns) == (3, START_NS + MS, START_NS + 3 * MS)
    assert found.clock is Clock.HEADER
    assert found.details["non_monotonic"] == 1
    assert [(f.reason, f.count) for f in recording.faults] == [("duplicate_stamp", 2)]


def test_the_skew_between_recorder_and_sensor_is_measured(types: Types, tmp_path: Path) -> None:
    times = [(10, 8), (20, 15), (30, 29)]
    source = source_of(write_ros1(tmp_path / "a.bag", joints(types, times), types))
    recording = open_bag(source, config_of(StreamConfig(name="s", topic="/joints")))
    assert recording.streams["s"].clock is Clock.RECEIVE
    assert recording.streams["s"].details["skew_ms"] == {"min": 1.0, "p50": 2.0, "max": 5.0}


def test_messages_without_header_fall_back_to_the_recorder_and_say_so(
    types: Types, tmp_path: Path
) -> None:
    source = source_of(write_ros1(tmp_path / "a.bag", session(types), types))
    stream = StreamConfig(name="s", topic="/twist", clock=Clock.HEADER)
    found = open_bag(source, config_of(stream)).streams["s"]
    assert found.clock is Clock.RECEIVE
    assert found.details["clock_fallback"] == "messages have no header stamp"


def test_a_header_that_was_never_filled_in_is_no_clock(types: Types, tmp_path: Path) -> None:
    stream = StreamConfig(name="s", topic="/joints", clock=Clock.HEADER)
    never = write_ros1(tmp_path / "a.bag", joints(types, [(1, -1), (2, -1)]), types)
    assert open_bag(source_of(never), config_of(stream)).streams["s"].clock is Clock.RECEIVE

    once = write_ros1(tmp_path / "b.bag", joints(types, [(10, 8), (20, -1), (30, 28)]), types)
    recording = open_bag(source_of(once), config_of(stream))
    assert (recording.timestamps("s") - START_NS).tolist() == [8 * MS, 18 * MS, 28 * MS]
    assert [(f.reason, f.count) for f in recording.faults] == [("zero_stamp", 1)]


def test_pictures_come_in_the_order_of_their_ids_and_streams_interleave(
    types: Types, tmp_path: Path
) -> None:
    # Header stamps of the left camera go backwards once; the file's order is another.
    said = [
        Said(
            topic,
            "sensor_msgs/msg/CompressedImage",
            START_NS + receive * MS,
            types.compressed(START_NS + header * MS, picture(number)),
        )
        for topic, receive, header, number in (
            ("/left", 1, 10, 0),
            ("/right", 2, 11, 100),
            ("/left", 3, 30, 2),
            ("/left", 4, 20, 1),
            ("/right", 5, 31, 101),
            ("/left", 6, 40, 3),
        )
    ]
    left = camera("/left", clock=Clock.HEADER).model_copy(update={"name": "left"})
    right = camera("/right").model_copy(update={"name": "right", "feature": "right"})
    source = source_of(write_ros1(tmp_path / "a.bag", said, types))
    recording = open_bag(source, config_of(left, right))
    wanted = {"left": np.array([0, 1, 2, 3]), "right": np.array([0, 1])}
    found = list(recording.pictures(wanted))
    by_stream = {n: [p.data for p in found if p.stream == n] for n in wanted}
    assert by_stream == {
        "left": [picture(k) for k in range(4)],
        "right": [picture(100), picture(101)],
    }
    assert [p.stream for p in found] == ["left", "right", "left", "left", "right", "left"]


def test_no_picture_is_read_that_was_not_asked_for(types: Types, tmp_path: Path) -> None:
    source = source_of(write_ros1(tmp_path / "a.bag", session(types), types))
    recording = open_bag(source, config_of(camera()))
    assert list(recording.pictures({"cam": np.array([], dtype=np.int64)})) == []
    assert list(recording.pictures({})) == []


def test_streams_and_cameras_have_their_configured_names_and_absent_topics_none(
    types: Types, tmp_path: Path
) -> None:
    source = source_of(write_ros1(tmp_path / "a.bag", session(types), types))
    recording = open_bag(
        source,
        config_of(
            StreamConfig(name="arm", topic="joints"),  # a leading slash more or less
            StreamConfig(name="other", topic="/absent", required=False),
            camera(),
        ),
    )
    assert list(recording.streams) == ["arm", "cam"]
    assert recording.streams["arm"].origin == "/joints"
    assert "other" not in recording.streams
    with pytest.raises(KeyError):
        recording.streams["other"]


def test_a_required_topic_that_is_absent_is_refused_with_those_there_are(
    types: Types, tmp_path: Path
) -> None:
    source = source_of(write_ros1(tmp_path / "a.bag", session(types), types))
    for part, reason in (
        (StreamConfig(name="other", topic="/absent"), Reason.MISSING_STREAM),
        (camera("/absent"), Reason.MISSING_CAMERA),
        (camera("/joints"), Reason.UNSUPPORTED),
    ):
        with pytest.raises(Refused) as caught:
            open_bag(source, config_of(part))
        assert caught.value.reason is reason
        assert "/joints" in caught.value.message


def test_a_stream_that_may_be_missing_is_left_out_where_it_cannot_be_read(
    types: Types, tmp_path: Path
) -> None:
    source = source_of(write_ros1(tmp_path / "a.bag", session(types), types))
    config = config_of(
        StreamConfig(name="joints", topic="/joints"),
        StreamConfig(name="short", topic="/state", field="joint_data.joint_q[40]", required=False),
        StreamConfig(name="typo", topic="/state", field="joint_dato", required=False),
    )
    recording = open_bag(source, config)
    assert list(recording.streams) == ["joints"]
    assert {(f.stream, f.reason) for f in recording.faults} == {
        ("short", "missing_field"),
        ("typo", "missing_field"),
    }


def test_more_damage_than_allowed_is_refused(types: Types, tmp_path: Path) -> None:
    said = session(types)
    for k, item in enumerate(s for s in said if s.topic == "/joints"):
        if k % 10 == 0:
            item.message.position[1] = np.nan
    source = source_of(write_ros1(tmp_path / "a.bag", said, types))
    stream = StreamConfig(name="s", topic="/joints")
    assert open_bag(source, config_of(stream, max_corrupt=0.1)).streams["s"].count == 36
    with pytest.raises(Refused) as caught:
        list(open_bag(source, config_of(stream, max_corrupt=0.09)).streams)
    assert caught.value.reason is Reason.NON_FINITE
    assert "4 of 40" in caught.value.message


def test_cameras_alone_can_be_read_without_decoding_numbers(types: Types, tmp_path: Path) -> None:
    # The encoders open the recording for its pictures: a broken number must not matter to them.
    source = source_of(write_ros1(tmp_path / "a.bag", session(types), types))
    bad = StreamConfig(name="s", topic="/state", field="joint_data.joint_q[12:99]")
    recording = open_bag(source, config_of(bad, camera()))
    assert recording.streams["cam"].count == 10
    assert len(list(recording.pictures({"cam": np.arange(10)}))) == 10


def test_a_scale_of_the_wrong_length_is_the_configurations_fault(
    types: Types, tmp_path: Path
) -> None:
    source = source_of(write_ros1(tmp_path / "a.bag", session(types), types))
    recording = open_bag(
        source, config_of(StreamConfig(name="s", topic="/joints", scale=(1.0, 2.0)))
    )
    with pytest.raises(ConfigError):
        recording.vectors("s")


def test_without_a_configuration_every_topic_of_numbers_or_pictures_is_a_stream(
    types: Types, tmp_path: Path
) -> None:
    said = session(types)
    text = types.make("std_msgs/msg/String", "hello")
    said.append(Said("/chatter", "std_msgs/msg/String", START_NS, text))
    recording = open_bag(source_of(write_ros1(tmp_path / "a.bag", said, types)))
    assert {name: stream.kind for name, stream in recording.streams.items()} == {
        "/joints": StreamKind.VECTOR,
        "/state": StreamKind.VECTOR,
        "/twist": StreamKind.VECTOR,
        "/cam": StreamKind.PICTURE,
    }
    assert recording.topics["/chatter"].count == 1
    assert recording.vectors("/joints")[3].tolist() == [3, 3.5, -3]
    assert recording.streams["/cam"].details["encoding"] == "jpeg"
    assert recording.streams["/twist"].element_names == (
        *(f"linear.{axis}" for axis in "xyz"),
        *(f"angular.{axis}" for axis in "xyz"),
    )


@pytest.mark.parametrize(
    ("content", "task"),
    [
        ({"task": "open the drawer", "operator": "li"}, "open the drawer"),
        ({"taskName": "bottle", "taskPrompt": "put the bottle down", "marks": []}, None),
        ({"info": {"task_name": "sort parts"}}, "sort parts"),
        ({"deviceSn": "1"}, ""),
        (["no", "object"], ""),
    ],
)
def test_the_file_beside_the_bag_says_the_task(
    content: object, task: str | None, types: Types, tmp_path: Path
) -> None:
    bag = write_ros1(tmp_path / "a.bag", session(types), types)
    side = tmp_path / "a.json"
    side.write_text(json.dumps(content), encoding="utf-8")
    found = open_bag(source_of(bag, side)).metadata
    expected = "put the bottle down" if task is None else task
    assert found.get("task", "") == expected
    if isinstance(content, dict):
        assert content.items() <= {**found, "task": content.get("task", found.get("task"))}.items()


def test_a_file_beside_the_bag_that_is_no_json_is_no_reason_to_refuse_it(
    types: Types, tmp_path: Path
) -> None:
    bag = write_ros1(tmp_path / "a.bag", session(types), types)
    side = tmp_path / "a.json"
    side.write_bytes(b"\xff\xfe{")
    recording = open_bag(source_of(bag, side))
    assert dict(recording.metadata) == {}
    assert [(f.where, f.reason) for f in recording.faults] == [("a.json", "bad_metadata")]
    assert recording.streams["/joints"].count == 40


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks at Linux's /proc")
def test_nothing_stays_open_after_a_refusal_or_a_close(types: Types, tmp_path: Path) -> None:
    bag = write_ros1(tmp_path / "a.bag", session(types), types)

    def is_open() -> bool:
        files = [os.path.realpath(entry) for entry in Path("/proc/self/fd").iterdir()]
        return str(bag.resolve()) in files

    with pytest.raises(Refused):
        open_bag(source_of(bag), config_of(camera("/absent")))
    assert not is_open()
    recording = open_bag(source_of(bag))
    assert is_open()
    recording.close()
    recording.close()
    assert not is_open()
