"""Pictures come as the camera wrote them, under the encoding they really have."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from lerobot_pipelines.model import Picture
from lerobot_pipelines.recordings.ros import open_bag
from lerobot_pipelines.recordings.ros.recording import BagRecording
from lerobot_pipelines_tests.recordings_ros.bags import (
    JPEG,
    START_NS,
    Said,
    Types,
    camera,
    config_of,
    picture,
    source_of,
    write_mcap,
    write_ros1,
)
from lerobot_pipelines_tests.recordings_ros.test_rvl import rvl

COMPRESSED = "sensor_msgs/msg/CompressedImage"


@pytest.fixture
def types() -> Types:
    return Types(1)


def recorded(folder: Path, types: Types, messages: list[Any]) -> BagRecording:
    said = [
        Said("/cam", message.__msgtype__, START_NS + k * 40_000_000, message)
        for k, message in enumerate(messages)
    ]
    return open_bag(source_of(write_ros1(folder / "a.bag", said, types)), config_of(camera()))


def all_pictures(recording: BagRecording) -> list[Picture]:
    return list(recording.pictures({"cam": np.arange(recording.streams["cam"].count)}))


def png(values: np.ndarray) -> bytes:
    encoder = av.CodecContext.create("png", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.height, encoder.width = values.shape
    encoder.pix_fmt = "gray16be"
    encoder.time_base = 1  # type: ignore[assignment]
    frame = av.VideoFrame.from_ndarray(values, format="gray16le").reformat(format="gray16be")
    return b"".join(bytes(p) for p in [*encoder.encode(frame), *encoder.encode(None)])


@pytest.mark.parametrize(
    "label", ["jpeg", "jpg", "rgb8; jpeg compressed bgr8", "bgr8; jpeg compressed bgr8", ""]
)
def test_a_jpeg_is_known_by_its_bytes_not_by_its_label(
    label: str, types: Types, tmp_path: Path
) -> None:
    recording = recorded(tmp_path, types, [types.compressed(START_NS, JPEG, label)])
    assert [(p.encoding, p.data) for p in all_pictures(recording)] == [("jpeg", JPEG)]
    assert recording.streams["cam"].details["encoding"] == "jpeg"


def test_a_png_stays_a_png(types: Types, tmp_path: Path) -> None:
    data = png(np.arange(12, dtype=np.uint16).reshape(3, 4))
    recording = recorded(tmp_path, types, [types.compressed(START_NS, data, "png")])
    assert [(p.encoding, p.data) for p in all_pictures(recording)] == [("png", data)]


def test_compressed_depth_gives_its_millimetres(types: Types, tmp_path: Path) -> None:
    data = png(np.array([[500, 1500], [0, 65535]], dtype=np.uint16))
    message = types.compressed(START_NS, bytes(12) + data, "16UC1; compressedDepth png")
    recording = recorded(tmp_path, types, [message])
    assert [(p.encoding, p.data) for p in all_pictures(recording)] == [("png", data)]


def test_compressed_depth_in_metres_is_made_metric_again(types: Types, tmp_path: Path) -> None:
    a, b = 1000.0, 10.0
    levels = np.array([[510, 260], [0, 1010]], dtype=np.uint16)
    header = struct.pack("<iff", 0, a, b)
    message = types.compressed(START_NS, header + png(levels), "32FC1; compressedDepth")
    (found,) = all_pictures(recorded(tmp_path, types, [message]))
    assert (found.encoding, found.width, found.height, found.step) == ("32FC1", 2, 2, 8)
    metres = np.frombuffer(found.data, "<f4").reshape(2, 2)
    assert metres == pytest.approx(np.array([[2.0, 4.0], [0.0, 1.0]]))


def test_rvl_depth_gives_its_millimetres(types: Types, tmp_path: Path) -> None:
    depth = np.array([[0, 0, 700], [65535, 0, 1]], dtype=np.uint16)
    message = types.compressed(START_NS, bytes(12) + rvl(depth), "16UC1; compressedDepth rvl")
    (found,) = all_pictures(recorded(tmp_path, types, [message]))
    assert (found.encoding, found.width, found.height, found.step) == ("16UC1", 3, 2, 6)
    assert np.array_equal(np.frombuffer(found.data, "<u2").reshape(2, 3), depth)


def test_damaged_rvl_depth_is_a_fault(types: Types, tmp_path: Path) -> None:
    message = types.compressed(START_NS, bytes(200), "16UC1; compressedDepth rvl")
    recording = recorded(tmp_path, types, [message])
    assert recording.streams["cam"].count == 0
    assert [f.reason for f in recording.faults] == ["corrupt_rvl"]


@pytest.mark.parametrize(
    ("encoding", "pixel", "expected"),
    [
        ("rgb8", 3, "rgb8"),
        ("bgr8", 3, "bgr8"),
        ("rgba8", 4, "rgba8"),
        ("bgra8", 4, "bgra8"),
        ("8UC3", 3, "bgr8"),
        ("mono8", 1, "mono8"),
        ("8UC1", 1, "mono8"),
        ("mono16", 2, "mono16"),
        ("16UC1", 2, "16UC1"),
        ("32FC1", 4, "32FC1"),
        ("yuv422", 2, "uyvy"),
        ("yuv422_yuy2", 2, "yuyv"),
        ("bayer_rggb8", 1, "bayer_rggb8"),
    ],
)
def test_raw_layouts_keep_their_bytes(
    encoding: str, pixel: int, expected: str, types: Types, tmp_path: Path
) -> None:
    step = 4 * pixel + 3  # rows with padding
    pixels = bytes(range(step * 2))
    message = types.image(START_NS, pixels, (4, 2), encoding, step)
    (found,) = all_pictures(recorded(tmp_path, types, [message]))
    assert (found.encoding, found.width, found.height, found.step, found.data) == (
        *(expected, 4, 2, step, pixels),
    )


def test_big_endian_pixels_are_turned_round(types: Types, tmp_path: Path) -> None:
    message = types.image(START_NS, b"\x01\x02\x03\x04", (2, 1), "16UC1", 4)
    message.is_bigendian = 1
    (found,) = all_pictures(recorded(tmp_path, types, [message]))
    assert found.data == b"\x02\x01\x04\x03"


def test_pictures_that_are_cut_or_no_pictures_are_left_out(types: Types, tmp_path: Path) -> None:
    whole = [picture(number) for number in range(6)]
    data = [whole[0], whole[1][:100], whole[2], b"", whole[4] + bytes(40), b"GIF89a" * 60]
    recording = recorded(tmp_path, types, [types.compressed(START_NS, d) for d in data])
    assert [p.data for p in all_pictures(recording)] == [whole[0], whole[2], data[4]]
    assert {(f.stream, f.reason, f.count) for f in recording.faults} == {
        ("cam", "truncated", 1),
        ("cam", "not_a_picture", 1),
        ("cam", "empty", 1),
    }


def test_a_raw_picture_without_its_pixels_is_left_out(types: Types, tmp_path: Path) -> None:
    good = types.image(START_NS, bytes(range(200)) * 6, (20, 20), "rgb8", 60)
    cut = types.image(START_NS, bytes(range(100)), (20, 20), "rgb8", 60)
    other = types.image(START_NS, bytes(range(200)) * 2, (20, 20), "mono8", 20)
    recording = recorded(tmp_path, types, [good, cut, good, other, good])
    assert [p.encoding for p in all_pictures(recording)] == ["rgb8", "rgb8", "mono8", "rgb8"]
    assert [(f.reason, f.count) for f in recording.faults] == [("truncated", 1)]
    assert [e.code for e in recording.intake] == ["schema_changed"]


@pytest.mark.parametrize("label", ["h264", "H.264", "x264", "avc1"])
def test_video_packets_are_passed_on_from_the_first_key_frame(
    label: str, types: Types, tmp_path: Path
) -> None:
    key = b"\x00\x00\x00\x01\x67sps\x00\x00\x00\x01\x65idr"
    delta = b"\x00\x00\x00\x01\x41p"
    packets = [delta, delta, key, delta, key]
    recording = recorded(tmp_path, types, [types.compressed(START_NS, p, label) for p in packets])
    assert recording.streams["cam"].details["encoding"] == "h264"
    assert [(p.encoding, p.data) for p in all_pictures(recording)] == [
        ("h264", packet) for packet in packets[2:]
    ]
    assert [(f.reason, f.count) for f in recording.faults] == [("before_key_frame", 2)]


def test_foxglove_video_has_its_stamp_first(tmp_path: Path) -> None:
    from rosbags.typesys import get_types_from_msg

    types = Types(2)
    text = "builtin_interfaces/Time timestamp\nstring frame_id\nuint8[] data\nstring format\n"
    types.store.register(get_types_from_msg(text, "foxglove_msgs/msg/CompressedVideo"))
    key = np.frombuffer(b"\x00\x00\x00\x01\x40\x01vps\x00\x00\x01\x26\x01idr", np.uint8)
    message = types.make(
        "foxglove_msgs/msg/CompressedVideo", types.time(START_NS + 7), "cam", key, "h265"
    )
    said = [Said("/cam", "foxglove_msgs/msg/CompressedVideo", START_NS + 9, message)]
    path = write_mcap(tmp_path / "a.mcap", said, types)
    recording = open_bag(source_of(path), config_of(camera(clock="header")))
    (found,) = all_pictures(recording)
    assert (found.encoding, found.data, found.stamp_ns) == ("hevc", key.tobytes(), START_NS + 7)
