"""Small bags with known content, written by libraries that this project does not read with.

One script of messages (``session``) is written as ROS1, ROS 2 SQLite or MCAP, so that a test can
ask for the same streams from every container.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mcap.writer
import numpy as np
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin
from rosbags.rosbag2 import Writer as Writer2
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from lerobot_pipelines.config.schema import (
    CameraConfig,
    DatasetConfig,
    DatasetSection,
    FeatureConfig,
    FeaturePart,
    FilterConfig,
    StorageConfig,
    StreamConfig,
)
from lerobot_pipelines.model import EpisodeSource, Member

START_NS = 1_759_212_371_000_000_000
JOINTS = ("shoulder", "elbow", "wrist")
JPEG = b"\xff\xd8\xff\xe0" + bytes(range(1, 200)) + b"\xff\xd9"

CUSTOM = """\
std_msgs/Header header
time sensor_time
my_msgs/Joints joint_data
int8[] state
================================================================================
MSG: my_msgs/Joints
float64[] joint_q
float32[3] joint_v
================================================================================
MSG: std_msgs/Header
uint32 seq
time stamp
string frame_id
"""


@dataclass(frozen=True)
class Said:
    """One message: the recorder's stamp and the object that is recorded."""

    topic: str
    type_name: str  # as rosbags spells it
    receive_ns: int
    message: Any


class Types:
    """Message classes of one ROS version, with a custom type beside the usual ones."""

    def __init__(self, ros: int) -> None:
        self.ros = ros
        self.store = get_typestore(Stores.ROS1_NOETIC if ros == 1 else Stores.LATEST)
        text = CUSTOM.replace("uint32 seq\n", "") if ros == 2 else CUSTOM
        custom = get_types_from_msg(text, "my_msgs/msg/State")
        self.store.register({k: v for k, v in custom.items() if k.startswith("my_msgs")})

    def make(self, name: str, *fields: Any) -> Any:
        return self.store.types[name](*fields)

    def time(self, ns: int) -> Any:
        return self.make("builtin_interfaces/msg/Time", ns // 10**9, ns % 10**9)

    def header(self, ns: int, seq: int = 0) -> Any:
        fields = (self.time(ns), "base")
        return self.make("std_msgs/msg/Header", *((seq, *fields) if self.ros == 1 else fields))

    def joint_state(self, ns: int, position: Sequence[float], names: Sequence[str] = JOINTS) -> Any:
        empty = np.empty(0)
        return self.make(
            *("sensor_msgs/msg/JointState", self.header(ns), list(names)),
            *(np.array(position, dtype=np.float64), empty, empty),
        )

    def compressed(self, ns: int, data: bytes, fmt: str = "jpeg") -> Any:
        pixels = np.frombuffer(data, dtype=np.uint8)
        return self.make("sensor_msgs/msg/CompressedImage", self.header(ns), fmt, pixels)

    def image(self, ns: int, pixels: bytes, size: tuple[int, int], encoding: str, step: int) -> Any:
        width, height = size
        return self.make(
            *("sensor_msgs/msg/Image", self.header(ns), height, width, encoding, 0, step),
            np.frombuffer(pixels, dtype=np.uint8),
        )

    def custom(self, ns: int, q: Sequence[float]) -> Any:
        joints = self.make(
            "my_msgs/msg/Joints",
            np.array(q, dtype=np.float64),
            np.array([1, 2, 3], dtype=np.float32),
        )
        state = np.array([1, 2], dtype=np.int8)
        return self.make("my_msgs/msg/State", self.header(ns), self.time(ns), joints, state)

    def twist(self, *numbers: float) -> Any:
        vectors = [
            self.make("geometry_msgs/msg/Vector3", *numbers[:3]),
            self.make("geometry_msgs/msg/Vector3", *numbers[3:]),
        ]
        return self.make("geometry_msgs/msg/Twist", *vectors)


def picture(number: int, size: int = 200) -> bytes:
    """Bytes that begin and end as a JPEG, differ by number, and do not compress."""
    noise = np.random.default_rng(number).integers(0, 255, size, dtype=np.uint8)
    return JPEG[:4] + noise.tobytes() + JPEG[-2:]


def session(types: Types, count: int = 40, picture_bytes: int = 200) -> list[Said]:
    """Joints at 100 Hz, a custom type, a twist without header, and a camera at 25 Hz.

    Header stamps are ``START_NS + k * 10 ms``; the recorder is 2 ms later with joints and 20 ms
    later with pictures.
    """
    said = []
    for k in range(count):
        ns = START_NS + k * 10_000_000
        joints = types.joint_state(ns, (k, k + 0.5, -k))
        said.append(Said("/joints", "sensor_msgs/msg/JointState", ns + 2_000_000, joints))
        custom = types.custom(ns, np.arange(28) + 100 * k)
        said.append(Said("/state", "my_msgs/msg/State", ns + 2_000_001, custom))
        twist = types.twist(k, 0, 0, 0, 0, 2 * k)
        said.append(Said("/twist", "geometry_msgs/msg/Twist", ns + 2_000_002, twist))
        if k % 4 == 0:
            jpeg = types.compressed(ns, picture(k // 4, picture_bytes))
            said.append(Said("/cam", "sensor_msgs/msg/CompressedImage", ns + 20_000_000, jpeg))
    return sorted(said, key=lambda item: item.receive_ns)


def write_ros1(
    path: Path, said: Sequence[Said], types: Types, compression: str = "none", **connection: str
) -> Path:
    """``connection`` may fake msgdef and md5sum of every topic."""
    writer = Writer1(path)
    if compression != "none":
        writer.set_compression(Writer1.CompressionFormat[compression.upper()])
    writer.chunk_threshold = 4096  # several chunks even in a small bag
    with writer:
        known: dict[str, Any] = {}
        for item in said:
            if item.topic not in known:
                known[item.topic] = writer.add_connection(
                    item.topic, item.type_name, typestore=types.store, **connection
                )
            raw = types.store.serialize_ros1(item.message, item.type_name)
            writer.write(known[item.topic], item.receive_ns, raw)
    return path


def write_ros2(
    folder: Path,
    said: Sequence[Said],
    types: Types,
    plugin: StoragePlugin = StoragePlugin.SQLITE3,
    mode: CompressionMode = CompressionMode.NONE,
) -> Path:
    writer = Writer2(folder, version=9, storage_plugin=plugin)
    writer.set_compression(mode, CompressionFormat.ZSTD)
    with writer:
        known: dict[str, Any] = {}
        for item in said:
            if item.topic not in known:
                known[item.topic] = writer.add_connection(
                    item.topic, item.type_name, typestore=types.store
                )
            raw = types.store.serialize_cdr(item.message, item.type_name)
            writer.write(known[item.topic], item.receive_ns, raw)
    return folder


def write_mcap(
    path: Path,
    said: Sequence[Said],
    types: Types,
    *,
    profile: str = "ros2",
    tail: bytes = b"",
    **options: Any,
) -> Path:
    """Through the reference writer; ``tail`` is put behind every message."""
    ros1 = types.ros == 1
    options = {"chunk_size": 4096, **options}
    with path.open("wb") as stream:
        writer = mcap.writer.Writer(stream, **options)
        writer.start(profile=profile, library="test")
        known: dict[str, int] = {}
        for sequence, item in enumerate(said):
            if item.topic not in known:
                text, _ = types.store.generate_msgdef(item.type_name, ros_version=types.ros)
                name = item.type_name.replace("/msg/", "/") if ros1 else item.type_name
                schema = writer.register_schema(
                    name, "ros1msg" if ros1 else "ros2msg", text.encode()
                )
                known[item.topic] = writer.register_channel(
                    item.topic, "ros1" if ros1 else "cdr", schema
                )
            serialize = types.store.serialize_ros1 if ros1 else types.store.serialize_cdr
            data = bytes(serialize(item.message, item.type_name)) + tail
            writer.add_message(known[item.topic], item.receive_ns, data, item.receive_ns, sequence)
        writer.finish()
    return path


def source_of(*paths: Path) -> EpisodeSource:
    """An episode made of these files, or of all files of one folder."""
    if len(paths) == 1 and paths[0].is_dir():
        paths = tuple(sorted(paths[0].iterdir()))
    root = paths[0].parent
    members = tuple(Member(path.name, path.stat().st_size, "etag") for path in paths)
    return EpisodeSource("task/episode", root, members, root.as_uri())


def config_of(*parts: StreamConfig | CameraConfig, max_corrupt: float = 1.0) -> DatasetConfig:
    """A configuration with these streams and cameras; all streams together are the state.

    Unless ``max_corrupt`` says otherwise nothing is refused for what is left out of it.
    """
    streams = tuple(part for part in parts if isinstance(part, StreamConfig))
    return DatasetConfig(
        dataset=DatasetSection(name="bags"),
        storage=StorageConfig(url="file:///nowhere"),
        filtering=FilterConfig(max_corrupt_fraction=max_corrupt),
        streams=streams,
        cameras=tuple(part for part in parts if isinstance(part, CameraConfig)),
        features={
            "observation.state": FeatureConfig(
                parts=tuple(FeaturePart(stream=stream.name) for stream in streams)
            )
        }
        if streams
        else {},
    )


def camera(topic: str = "/cam", **settings: Any) -> CameraConfig:
    return CameraConfig(name="cam", topic=topic, feature="observation.images.cam", **settings)
