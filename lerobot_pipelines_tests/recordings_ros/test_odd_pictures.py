"""Pictures as drivers really send them: read where they can be, else named with what helps."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.intake import IntakeCode, Severity
from lerobot_pipelines.recordings.ros import open_bag
from lerobot_pipelines.recordings.ros.recording import BagRecording
from lerobot_pipelines.video.pictures import PictureDecoder
from lerobot_pipelines_tests.recordings.folders import jpeg
from lerobot_pipelines_tests.recordings_ros.bags import (
    START_NS,
    Said,
    Types,
    camera,
    config_of,
    source_of,
    write_ros1,
)
from lerobot_pipelines_tests.recordings_ros.test_pictures import all_pictures, png

WIDTH, HEIGHT = 32, 24
DELTA = b"\x00\x00\x00\x01\x41p"
KEY = b"\x00\x00\x00\x01\x67sps\x00\x00\x00\x01\x65idr"
DEPTH = np.arange(WIDTH * HEIGHT, dtype=np.uint16).reshape(HEIGHT, WIDTH) + 300


@pytest.fixture
def types() -> Types:
    return Types(1)


def recorded(
    folder: Path, messages: list[Any], types: Types, max_corrupt: float = 1.0, **settings: Any
) -> BagRecording:
    said = [
        Said("/cam", message.__msgtype__, START_NS + k * 40_000_000, message)
        for k, message in enumerate(messages)
    ]
    config = config_of(camera(**settings), max_corrupt=max_corrupt)
    path = folder / "a.bag"
    path.unlink(missing_ok=True)
    return open_bag(source_of(write_ros1(path, said, types)), config)


def test_a_video_in_messages_for_raw_pixels_is_read(types: Types, tmp_path: Path) -> None:
    packets = [KEY, DELTA, DELTA]
    said = [types.image(START_NS, packet, (WIDTH, HEIGHT), "h264", 0) for packet in packets]
    found = all_pictures(recorded(tmp_path, said, types))
    assert [(p.encoding, p.data) for p in found] == [("h264", packet) for packet in packets]


def test_a_whole_picture_in_a_message_for_raw_pixels_is_read(types: Types, tmp_path: Path) -> None:
    said = [types.image(START_NS, jpeg(), (32, 24), "jpeg", 0)]
    assert [p.encoding for p in all_pictures(recorded(tmp_path, said, types))] == ["jpeg"]


@pytest.mark.parametrize("counts_all_rows", [False, True])
@pytest.mark.parametrize(
    ("encoding", "layout"),
    [
        *(("nv12", "nv12"), ("NV21", "nv21"), ("I420", "yuv420p"), ("yuv420", "yuv420p")),
        *(("nv24", "nv24"), ("yuv422p", "yuv422p"), ("nv16", "nv16"), ("yuv444p", "yuv444p")),
    ],
)
def test_planes_show_the_colours_that_were_sent(
    encoding: str, layout: str, counts_all_rows: bool, types: Types, tmp_path: Path
) -> None:
    colours = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    colours[:, : WIDTH // 2] = (200, 60, 40)
    colours[:, WIDTH // 2 :] = (30, 90, 180)
    rgb = av.VideoFrame.from_ndarray(colours, format="rgb24")
    frame = rgb.reformat(format=layout, dst_color_range=1)
    planes = []
    for plane in frame.planes:
        rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
        sent = plane.width * (2 if layout.startswith("nv") and planes else 1)
        planes.append(rows[:, :sent].tobytes())
    data = b"".join(planes)
    height = len(data) // WIDTH if counts_all_rows else HEIGHT
    said = [types.image(START_NS, data, (WIDTH, height), encoding, WIDTH)]
    (picture,) = all_pictures(recorded(tmp_path, said, types))
    assert (picture.width, picture.height) == (WIDTH, HEIGHT)
    (one,) = PictureDecoder().decode(picture)
    shown = one.frame.to_ndarray(format="rgb24").astype(int)
    inside = np.r_[2 : WIDTH // 2 - 2, WIDTH // 2 + 2 : WIDTH - 2]
    assert np.abs(shown - colours)[:, inside].max() <= 6


@pytest.mark.parametrize("label", ["16UC1", "16UC1; compressedDepth", "16UC1; compressedDepth png"])
def test_depth_behind_a_header_is_read_whatever_it_is_called(
    label: str, types: Types, tmp_path: Path
) -> None:
    said = [types.compressed(START_NS, struct.pack("<iff", 0, 0, 0) + png(DEPTH), label)]
    recording = recorded(tmp_path, said, types, depth=True)
    (picture,) = all_pictures(recording)
    (one,) = PictureDecoder().decode(picture)
    assert one.is_depth
    assert np.array_equal(one.frame.to_ndarray(), DEPTH)
    assert recording.streams["cam"].details["is_depth"]
    (entry,) = recording.intake
    assert (entry.code, entry.severity) == (IntakeCode.UNIT_ASSUMED, Severity.NOTE)
    assert "depth_unit" in entry.message
    given = recorded(tmp_path, said, types, depth=True, depth_unit="mm")
    assert given.intake == ()


@pytest.mark.parametrize(
    ("label", "data"),
    [
        ("16UC1; compressedDepth zlib", bytes(12) + b"\x78\x9c" + bytes(40)),
        ("16UC1; compressedDepth jpeg", bytes(12) + jpeg()),
    ],
)
def test_depth_in_another_codec_is_named(
    label: str, data: bytes, types: Types, tmp_path: Path
) -> None:
    with pytest.raises(Refused, match="neither a PNG nor RVL") as caught:
        _ = recorded(tmp_path, [types.compressed(START_NS, data, label)], types, 0.05).streams[
            "cam"
        ]
    assert caught.value.reason is Reason.UNSUPPORTED
    assert label.lower() in caught.value.message


def test_distances_recorded_as_a_jpeg_are_warned_of(types: Types, tmp_path: Path) -> None:
    said = [types.compressed(START_NS, jpeg(), "16UC1; jpeg compressed ")]
    (entry,) = recorded(tmp_path, said, types).intake
    assert (entry.code, entry.severity) == (IntakeCode.UNREAD, Severity.WARNING)
    assert "compressedDepth (PNG, RVL)" in entry.message


def test_an_encoding_that_is_not_known_is_named(types: Types, tmp_path: Path) -> None:
    said = [types.image(START_NS, bytes(96), (4, 2), "32FC3", 48)]
    with pytest.raises(Refused, match=r"encoding '32FC3'; known are mono8") as caught:
        _ = recorded(tmp_path, said, types, 0.05).streams["cam"]
    assert caught.value.reason is Reason.UNSUPPORTED
    lenient = recorded(tmp_path, said, types)
    assert "32FC3" in lenient.streams["cam"].details["problem"]
    assert any("32FC3" in fault.where for fault in lenient.faults)


def test_a_video_without_a_key_frame_says_so(types: Types, tmp_path: Path) -> None:
    said = [types.compressed(START_NS, DELTA, "h264") for _ in range(5)]
    with pytest.raises(Refused, match="none of its 5 h264 packets is a key frame") as caught:
        _ = recorded(tmp_path, said, types).streams["cam"]
    assert caught.value.reason is Reason.CORRUPT_PICTURE
    assert "require_all_cameras" not in caught.value.message


def test_jpegs_with_old_data_behind_them_are_taken(types: Types, tmp_path: Path) -> None:
    junk = np.random.default_rng(1).integers(1, 255, 600, dtype=np.uint8).tobytes()
    said = [types.compressed(START_NS, jpeg(shade) + junk, "jpeg") for shade in range(5)]
    said.append(types.compressed(START_NS, jpeg()[:200] + bytes(2000), "jpeg"))
    recording = recorded(tmp_path, said, types)
    assert recording.streams["cam"].count == 5
    assert [(f.reason, f.count) for f in recording.faults] == [("truncated", 1)]
