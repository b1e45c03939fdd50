"""Bags, parquet files and videos whose clock was set: rows are of one time, or there are none."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lerobot_pipelines.alignment import align
from lerobot_pipelines.config.schema import Clock, DatasetConfig
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.intake import IntakeCode, Severity
from lerobot_pipelines.model import AlignedFrames, Recording
from lerobot_pipelines.recordings import report_intake
from lerobot_pipelines.recordings.ros import open_bag
from lerobot_pipelines_tests.recordings.folders import START_US, Folder
from lerobot_pipelines_tests.recordings.folders import config as folder_config
from lerobot_pipelines_tests.recordings_ros.bags import (
    START_NS,
    Said,
    Types,
    picture,
    source_of,
    write_mcap,
    write_ros1,
    write_ros2,
)

MS = 1_000_000
SECONDS = 3
CAMERA = "observation.images.cam"
ROS1, ROS2 = Types(1), Types(2)

few = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


def moments(rate: int) -> NDArray[np.int64]:
    return np.arange(SECONDS * rate, dtype=np.int64) * (1_000_000_000 // rate)


def session(types: Types, at: int, size: int, stepped: str) -> list[Said]:
    """Joints at 100 Hz whose value is their true time in s, and pictures at 25 Hz."""

    def header(true: int) -> int:
        return START_NS + true + (size if stepped in ("header", "both") and true >= at else 0)

    def receive(true: int) -> int:
        return START_NS + true + (size if stepped in ("receive", "both") and true >= at else 0)

    said = []
    for true in moments(100).tolist():
        joints = types.joint_state(header(true), (true / 1e9,), ("a",))
        said.append((true + MS, "/joints", "sensor_msgs/msg/JointState", joints))
    for k, true in enumerate(moments(25).tolist()):
        jpeg = types.compressed(header(true), picture(k))
        said.append((true + 20 * MS, "/cam", "sensor_msgs/msg/CompressedImage", jpeg))
    said.sort(key=lambda one: one[0])
    return [Said(topic, kind, receive(true), message) for true, topic, kind, message in said]


def config_of(clock: Clock, policy: str) -> DatasetConfig:
    return DatasetConfig.model_validate(
        {
            "dataset": {"name": "test", "fps": 25},
            "storage": {"url": "file:///nowhere"},
            "streams": [{"name": "arm", "topic": "/joints", "clock": clock}],
            "cameras": [
                {
                    "name": "cam",
                    "topic": "/cam",
                    "clock": clock,
                    "feature": "observation.images.cam",
                }
            ],
            "features": {"observation.state": {"parts": [{"stream": "arm"}]}},
            "alignment": {"rate_tolerance": 0.2},
            "filtering": {"gap_policy": policy},
        }
    )


def apart_ms(frames: AlignedFrames) -> float:
    """The largest distance between the true moments of a row's picture and of its joints."""
    pictures = frames.pictures[CAMERA] * 40.0
    joints = frames.features["observation.state"][:, 0].astype(np.float64) * 1000
    return float(np.abs(pictures - joints).max())


@few
@given(data=st.data())
@pytest.mark.parametrize("container", ["ros1", "mcap", "db3"])
def test_a_bag_is_right_or_refused_whichever_clock_is_set(
    container: str, data: st.DataObject
) -> None:
    at = data.draw(st.integers(100, 2900)) * MS
    size = data.draw(st.one_of(st.integers(-2500, -30), st.integers(150, 2500))) * MS
    stepped = data.draw(st.sampled_from(["header", "receive", "both"]))
    clock = data.draw(st.sampled_from([Clock.HEADER, Clock.RECEIVE]))
    policy = data.draw(st.sampled_from(["fail", "split"]))
    with tempfile.TemporaryDirectory() as folder:
        path = write_bag(container, Path(folder), at, size, stepped)
        recording = open_bag(source_of(path), config_of(clock, policy))
        try:
            check_bag(
                recording, at, size, policy, in_use=stepped in (clock, "both"), stepped=stepped
            )
        finally:
            recording.close()


def write_bag(container: str, folder: Path, at: int, size: int, stepped: str) -> Path:
    if container == "ros1":
        return write_ros1(folder / "a.bag", session(ROS1, at, size, stepped), ROS1)
    said = session(ROS2, at, size, stepped)
    if container == "mcap":
        return write_mcap(folder / "a.mcap", said, ROS2)
    return write_ros2(folder / "a", said, ROS2)


def check_bag(
    recording: Recording, at: int, size: int, policy: str, *, in_use: bool, stepped: str
) -> None:
    config = config_of(next(iter(recording.streams.values())).clock, policy)
    try:
        frames = align(recording, config)
    except Refused as refusal:
        assert in_use, refusal
        if refusal.reason is Reason.GAP:  # both clocks went on together: nothing tells it apart
            assert size > 0 and policy == "fail"
            return
        assert refusal.reason is Reason.CLOCK_STEP, refusal
        assert refusal.details["size_ms"] == pytest.approx(size / MS, abs=60)
        assert refusal.details["at_s"] == pytest.approx(at / 1e9, abs=0.1)
        near_an_end = min(at, SECONDS * 1_000_000_000 - at) < 250 * MS
        # A step that a camera at 25 Hz cannot show, or hardly any samples of one side.
        assert policy == "fail" or abs(size) < 120 * MS or near_an_end, refusal
        return
    assert apart_ms(frames) <= 40, (at / MS, size / MS, stepped)
    if in_use and size < -120 * MS and 250 * MS < at < 2750 * MS:
        assert policy == "split"
        assert set(frames.segments.tolist()) >= {0, 1}
        codes = {(e.code, e.severity) for e in report_intake(recording, config)}
        assert (IntakeCode.CLOCK_STEP, Severity.WARNING) in codes


def stepped_us(rate: int, at: int, size: int) -> NDArray[np.int64]:
    true = moments(rate)
    return START_US + (true + np.where(true >= at, size, 0)) // 1000


def folder_with_video(root: Path, at: int, size: int, packets: bytes) -> Folder:
    folder = Folder(root)
    arm = moments(100) / 1e9
    folder.arm("left", {"timestamps": stepped_us(100, at, size), "joint_0": arm})
    folder.picture("cam", "video.mp4", packets)
    path = folder.picture("cam", "stamps.parquet", b"")
    pq.write_table(pa.table({"timestamps": stepped_us(25, at, size)}), path)
    return folder


@pytest.fixture(scope="module")
def video() -> bytes:
    import io

    import av

    stream = io.BytesIO()
    with av.open(stream, "w", format="mp4") as container:
        encoder = container.add_stream("libx264", rate=25, options={"bf": "0"})
        encoder.width, encoder.height, encoder.pix_fmt = 64, 48, "yuv420p"
        for k in range(SECONDS * 25):
            shade = np.full((48, 64, 3), k * 3, np.uint8)
            container.mux(encoder.encode(av.VideoFrame.from_ndarray(shade, format="rgb24")))
        container.mux(encoder.encode(None))
    return stream.getvalue()


def of_folder(policy: str) -> DatasetConfig:
    more: dict[str, Any] = {
        "dataset": {"name": "test", "fps": 25},
        "features": {"observation.state": {"parts": [{"stream": "left"}]}},
        "alignment": {"rate_tolerance": 0.2},
        "filtering": {"gap_policy": policy},
    }
    return folder_config(**more)


@few
@given(data=st.data())
def test_parquet_rows_and_videos_are_right_or_refused(video: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(100, 2900)) * MS
    size = data.draw(st.integers(-2500, -30)) * MS
    policy = data.draw(st.sampled_from(["fail", "split"]))
    with tempfile.TemporaryDirectory() as root:
        folder = folder_with_video(Path(root), at, size, video)
        try:
            recording = folder.open(of_folder(policy))
            frames = align(recording, of_folder(policy))
        except Refused as refusal:
            if refusal.reason in (Reason.BAD_STAMPS, Reason.COUNT_MISMATCH):
                # So small a step is no other time: stamps that repeat, or do not fit the video.
                near_an_end = min(at, SECONDS * 1_000_000_000 - at) < 250 * MS
                assert abs(size) < 120 * MS or near_an_end, refusal
                return
            assert refusal.reason is Reason.CLOCK_STEP, refusal
            assert refusal.details["size_ms"] == pytest.approx(size / MS, abs=60)
            near_an_end = min(at, SECONDS * 1_000_000_000 - at) < 250 * MS
            assert policy == "fail" or abs(size) < 120 * MS or near_an_end, refusal
            return
        assert apart_ms(frames) <= 40
        if size < -120 * MS and 250 * MS < at < 2750 * MS:
            assert policy == "split" and set(frames.segments.tolist()) >= {0, 1}
            # Pictures of a video come one after the other, over the step as well.
            ids = frames.pictures[CAMERA]
            assert [p.id for p in recording.pictures({"cam": ids})] == ids.tolist()


def test_names_of_pictures_tell_no_order_so_a_step_of_the_joints_is_refused(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    at, size = 1500 * MS, -700 * MS
    arm = moments(100) / 1e9
    folder.arm("left", {"timestamps": stepped_us(100, at, size), "joint_0": arm})
    for stamp in stepped_us(25, at, size).tolist():
        folder.picture("cam", f"{stamp + 3}.jpg")
    for policy in ("fail", "split"):
        with pytest.raises(Refused, match="clock of left was set back by 700") as refusal:
            align(folder.open(of_folder(policy)), of_folder(policy))
        assert refusal.value.reason is Reason.CLOCK_STEP


def test_late_rows_are_put_in_order_and_counted_with_the_largest_step(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    order = np.arange(75)
    order[[40, 41, 60, 62]] = order[[41, 40, 62, 60]]
    folder.arm("left", {"timestamps": stepped_us(25, 10**12, 0)[order], "joint_0": order * 1.0})
    folder.camera("cam")
    recording = folder.open(of_folder("fail"))
    notes = [e for e in recording.intake if e.code is IntakeCode.DISORDER]
    assert [(e.stream, e.severity) for e in notes] == [("left", Severity.NOTE)]
    assert notes[0].details["largest_ms"] == pytest.approx(80)
