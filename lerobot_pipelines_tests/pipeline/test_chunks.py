"""Chunks of aligned rows hold what the dataset holds, whatever their size."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from lerobot_pipelines.alignment import align
from lerobot_pipelines.config.schema import (
    AlignmentConfig,
    DatasetConfig,
    FilterConfig,
    StreamConfig,
)
from lerobot_pipelines.model import Clock, Recording
from lerobot_pipelines.pipeline.chunks import AlignedChunk, aligned_chunks, each_frame
from lerobot_pipelines.recordings import open_recording
from lerobot_pipelines.recordings.ros import open_bag
from lerobot_pipelines_tests.recordings_ros.bags import (
    START_NS,
    Said,
    Types,
    camera,
    config_of,
    source_of,
    write_ros1,
)

FRAMES = 30
HOLE = range(14, 20)  # pictures that the camera lost
SIZE = (32, 24)


def jpeg(brightness: int) -> bytes:
    encoder = av.CodecContext.create("mjpeg", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height = SIZE
    encoder.pix_fmt, encoder.time_base = "yuvj420p", 1  # type: ignore[assignment]
    frame = av.VideoFrame.from_ndarray(np.full((24, 32), brightness, np.uint8), format="gray")
    frame = frame.reformat(format="yuvj420p")
    return b"".join(bytes(p) for p in [*encoder.encode(frame), *encoder.encode(None)])


@pytest.fixture(scope="module")
def config() -> DatasetConfig:
    """Depth beside colour, and a hole that makes two segments."""
    colour, depth = camera(clock=Clock.HEADER), camera("/depth", clock=Clock.HEADER)
    base = config_of(
        StreamConfig(name="joints", topic="/joints", clock=Clock.HEADER),
        colour,
        depth.model_copy(update={"name": "depth", "feature": "depth"}),
    )
    return base.model_copy(
        update={
            "dataset": base.dataset.model_copy(update={"fps": 25}),
            "alignment": AlignmentConfig(),
            "filtering": FilterConfig(max_timestamp_gap_ms=150, gap_policy="split"),
        }
    )


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    types = Types(1)
    said = []
    for k in range(FRAMES * 4):
        ns = START_NS + k * 10_000_000
        said.append(Said("/joints", "sensor_msgs/msg/JointState", ns, types.joint_state(ns, (k,))))
        if k % 4 == 0 and k // 4 not in HOLE:
            picture = types.compressed(ns, jpeg(8 * (k // 4)))
            said.append(Said("/cam", "sensor_msgs/msg/CompressedImage", ns + 1, picture))
        if k % 4 == 0:
            metres = np.full((24, 32), k // 4, "<f4").tobytes()
            image = types.image(ns, metres, SIZE, "32FC1", 128)
            said.append(Said("/depth", "sensor_msgs/msg/Image", ns + 2, image))
    return write_ros1(tmp_path_factory.mktemp("chunks") / "a.bag", said, types)


def opened(bag: Path, config: DatasetConfig) -> Recording:
    return open_bag(source_of(bag), config)  # type: ignore[return-value]


def joined(chunks: list[AlignedChunk], name: str) -> np.ndarray:
    both = [{**chunk.features, **chunk.pictures}[name] for chunk in chunks]
    return np.concatenate(both)


@pytest.mark.parametrize("chunk_size", [1, 7, 50, 1000])
def test_the_chunk_size_changes_nothing(chunk_size: int, bag: Path, config: DatasetConfig) -> None:
    frames = align(opened(bag, config), config)
    chunks = list(aligned_chunks(opened(bag, config), config, chunk_size))
    assert all(1 <= len(chunk) <= chunk_size for chunk in chunks)
    times = np.concatenate([chunk.row_times_ns for chunk in chunks])
    assert np.array_equal(times, frames.row_times_ns)
    state = frames.features["observation.state"]
    assert np.array_equal(joined(chunks, "observation.state"), state)
    segments = [chunk.segment for chunk in chunks for _ in range(len(chunk))]
    assert segments == frames.segments.tolist()
    pictures = joined(chunks, "observation.images.cam")
    assert pictures.shape == (len(times), 24, 32, 3)
    assert pictures.dtype == np.uint8
    expected = state[:, 0] / 4 * 8  # joints and picture of a row were recorded together
    assert np.abs(pictures.mean(axis=(1, 2, 3)) - expected).max() < 4
    depth = joined(chunks, "depth")
    assert depth.dtype == np.float32
    assert np.array_equal(depth[:, 0, 0], state[:, 0] / 4)


def test_a_callback_sees_every_row_and_is_told_where_episodes_end(
    bag: Path, config: DatasetConfig
) -> None:
    seen: list[list[int]] = [[]]
    rows = each_frame(
        opened(bag, config),
        config,
        lambda frame, index: seen[-1].append(index) or None,
        lambda: seen.append([]),
        chunk_size=4,
    )
    assert seen[-1] == []
    assert [episode == list(range(len(episode))) for episode in seen[:-1]] == [True, True]
    assert sum(map(len, seen)) == rows == FRAMES - len(HOLE)


def test_a_frame_holds_every_feature_by_name(bag: Path, config: DatasetConfig) -> None:
    chunk = next(aligned_chunks(opened(bag, config), config, 5))
    frame = chunk.frame(2)
    assert set(frame) == {"observation.state", "observation.images.cam", "depth"}
    assert frame["observation.images.cam"].shape == (24, 32, 3)
    assert frame["observation.state"].tolist() == [8.0]


def test_a_recording_offers_both_forms_itself(bag: Path, config: DatasetConfig) -> None:
    recording = open_recording(source_of(bag), config)
    chunks = list(recording.aligned_chunks(config, chunk_size=7))
    frames: list[np.ndarray] = []
    saved: list[int] = []
    rows = open_recording(source_of(bag), config).each_frame(
        config,
        lambda aligned_frame, frame_index: frames.append(aligned_frame["observation.images.cam"]),
        lambda: saved.append(len(frames)),
    )
    assert rows == len(frames) == sum(map(len, chunks)) == saved[-1]
    assert np.array_equal(np.stack(frames), joined(chunks, "observation.images.cam"))
    assert len(saved) == 2


def test_a_chunk_of_nothing_is_refused(bag: Path, config: DatasetConfig) -> None:
    with pytest.raises(ValueError, match="chunk_size"):
        next(aligned_chunks(opened(bag, config), config, 0))


def packets(brightness: list[int], codec: str) -> list[bytes]:
    """One packet of a video topic for each picture, a key frame every ten."""
    encoder = av.CodecContext.create(codec, "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = 64, 48, "yuv420p"
    encoder.framerate, encoder.gop_size, encoder.max_b_frames = 25, 10, 0  # type: ignore[assignment]
    encoder.options = {"tune": "zerolatency", "preset": "ultrafast"}
    made = []
    for number, value in enumerate(brightness):
        gray = np.full((48, 64), value, np.uint8)
        frame = av.VideoFrame.from_ndarray(gray, format="gray").reformat(format="yuv420p")
        frame.pts = number
        made += [bytes(packet) for packet in encoder.encode(frame)]
    made += [bytes(packet) for packet in encoder.encode(None)]
    assert len(made) == len(brightness)
    return made


@pytest.mark.parametrize(("codec", "label"), [("libx264", "h264"), ("libx265", "h265")])
@pytest.mark.parametrize("chunk_size", [1, 7, 100])
def test_a_video_topic_gives_its_pictures(
    codec: str, label: str, chunk_size: int, tmp_path: Path, config: DatasetConfig
) -> None:
    types = Types(1)
    brightness = [40 + 6 * k for k in range(25)]
    said = []
    for k, data in enumerate(packets(brightness, codec)):
        ns = START_NS + k * 40_000_000
        said.append(Said("/joints", "sensor_msgs/msg/JointState", ns, types.joint_state(ns, (k,))))
        if k >= 3:  # the recording begins amid a group of pictures
            message = types.compressed(ns, data, label)
            said.append(Said("/cam", "sensor_msgs/msg/CompressedImage", ns + 1, message))
    bag = write_ros1(tmp_path / "a.bag", said, types)
    only = config.model_copy(update={"cameras": config.cameras[:1]})
    chunks = list(aligned_chunks(opened(bag, only), only, chunk_size))
    rows = joined(chunks, "observation.state")[:, 0].astype(int)
    assert rows.tolist() == list(range(10, 25))  # from the first key frame on
    means = joined(chunks, "observation.images.cam").mean(axis=(1, 2, 3))
    assert np.abs(means - np.array(brightness)[rows]).max() < 6
