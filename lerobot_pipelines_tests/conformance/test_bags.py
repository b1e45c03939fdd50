"""Real bags: from robots, from ROS's own library, and damaged as they are found in the field."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from lerobot_pipelines.config import load_config, shipped_configs
from lerobot_pipelines.config.schema import CameraConfig, DatasetConfig, Format, StreamConfig
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.model import Clock, StreamKind
from lerobot_pipelines.pipeline.convert import convert_dataset
from lerobot_pipelines.recordings.ros import open_bag
from lerobot_pipelines.recordings.ros.recording import BagRecording
from lerobot_pipelines_tests.conformance.real_bags import RealBag, shown, source_of, write_bag
from lerobot_pipelines_tests.conformance.shared import shared_folder
from lerobot_pipelines_tests.conformance.test_lerobot_datasets import load
from lerobot_pipelines_tests.recordings_ros.bags import config_of

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(600)]

EPISODES = ("episode_0028", "episode_0029", "episode_0030")  # bz2, lz4, none
G1_CAMERA = "/cam_high/color/image_raw/compressed"
# The writer's stamps are rounded to a microsecond before they become floating point.
STAMP_UNIT_NS = 10


def g1_folder() -> Path:
    return shared_folder() / "data/g1_bottle"


@pytest.fixture(params=EPISODES)
def episode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_robots_bag_holds_the_pictures_and_joints_of_the_folder(episode: str) -> None:
    config = load_config(shipped_configs()["g1_bottle_bag"])
    recording = open_bag(source_of(g1_folder() / f"{episode}.bag"), config)
    pairs = json.loads((g1_folder() / f"truth_{episode}.json").read_text())
    stamps_us = np.array([stamp for stamp, _ in pairs["frame_of_timestamp_us"]])
    for arm in ("left_slave", "right_slave", "left_master", "right_master"):
        table = pq.read_table(g1_folder() / "joints/bottle" / episode / f"{arm}.parquet")
        expected = np.stack([table[f"joint_{j}"].to_numpy() for j in range(7)], axis=1)
        assert np.array_equal(recording.vectors(arm), expected)
        assert np.array_equal(recording.timestamps(arm) // 1000, table["timestamps"].to_numpy())
    assert np.array_equal(recording.timestamps("cam_high") // 1000, stamps_us)
    folder = g1_folder() / "images/bottle" / episode / "cam_high"
    for picture in recording.pictures({"cam_high": np.arange(len(stamps_us))}):
        assert picture.data == (folder / f"{stamps_us[picture.id]}.jpg").read_bytes()
    assert recording.faults == ()
    recording.close()


def test_bags_convert_to_the_dataset_of_the_folder(tmp_path: Path) -> None:
    raw = tmp_path / "folder/raw"
    for kind in ("joints", "images"):
        for name in EPISODES:
            shutil.copytree(g1_folder() / kind / "bottle" / name, raw / kind / "bottle" / name)
    (tmp_path / "bags/raw/bottle").mkdir(parents=True)
    for name in EPISODES:
        shutil.copy(g1_folder() / f"{name}.bag", tmp_path / "bags/raw/bottle")
    roots = []
    for bucket, shipped in (("folder", "unitree_g1_bottle"), ("bags", "g1_bottle_bag")):
        config = load_config(
            shipped_configs()[shipped],
            {
                "storage.url": (tmp_path / bucket).as_uri(),
                "storage.raw_prefix": "raw",
                "video.codec": "copy",
                "dataset.formats": ["v2.1", "v3.0"],
                "dataset.name": "same",
                "dataset.task": "pick up the bottle",
            },
        )
        summary = convert_dataset(config)
        assert summary.ok, summary
        roots.append(tmp_path / bucket / "converted/same/v3.0")
    from_folder, from_bags = ({p.relative_to(r): p for p in files_of(r)} for r in roots)
    assert set(from_folder) == set(from_bags)
    for name, path in from_folder.items():
        if name.suffix == ".mp4" or name.parts[0] == "data":
            assert from_bags[name].read_bytes() == path.read_bytes(), name
    for fmt in Format:
        loaded = load(roots[1].with_name(fmt.value), fmt, "pyav", tmp_path / "caches")
        assert loaded["errors"] == 0, loaded
        assert len(loaded["rows_per_episode"]) == len(EPISODES)


def files_of(root: Path) -> Iterator[Path]:
    return (path for path in root.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("name", "messages", "faults"),
    [
        ("unindexed", 663, {"index_rebuilt"}),
        ("truncated_60pct", 348, {"index_rebuilt", "truncated_chunk"}),
        ("bitrot_middle_chunk", 663, {"rotten_chunk"}),
    ],
)
def test_a_damaged_bag_gives_what_ros_itself_recovers(
    name: str, messages: int, faults: set[str]
) -> None:
    path = shared_folder() / f"data/broken_bags/episode_029_{name}.bag"
    before = path.stat()
    recording = open_bag(source_of(path))
    assert sum(topic.count for topic in recording.topics.values()) == messages
    assert {fault.reason for fault in recording.faults} == faults
    whole = open_bag(source_of(g1_folder() / "episode_0029.bag"))
    found = recording.timestamps(G1_CAMERA)
    assert np.isin(found, whole.timestamps(G1_CAMERA)).all()
    kept = np.isin(whole.timestamps("/joint_states"), recording.timestamps("/joint_states"))
    assert np.array_equal(recording.vectors("/joint_states"), whole.vectors("/joint_states")[kept])
    assert len(list(recording.pictures({G1_CAMERA: np.arange(len(found))}))) == len(found)
    assert path.stat().st_mtime_ns == before.st_mtime_ns


@pytest.mark.parametrize("name", ["empty", "header_only"])
def test_a_bag_without_messages_is_refused(name: str) -> None:
    path = shared_folder() / f"data/broken_bags/episode_029_{name}.bag"
    with pytest.raises(Refused) as caught:
        open_bag(source_of(path))
    assert caught.value.reason is Reason.CORRUPT_CONTAINER
    assert path.name in caught.value.message


# What these hold cannot be read, and the reason is in the name or in the folder's own notes.
REFUSED = {
    "episode_029_empty.bag",
    "episode_029_header_only.bag",
    "empty-file.bag",
    "history_packages__webviz-core__src__players__bag__invalid.bag",
    "Dockerfile.mcap",
}


def test_every_fixture_is_opened_or_refused_with_a_reason() -> None:
    seen = 0
    for paths in episodes_of(shared_folder() / "data"):
        seen += 1
        try:
            recording = open_bag(source_of(*paths))
        except Refused as refused:
            assert paths[0].name in REFUSED, refused
            assert refused.reason is Reason.CORRUPT_CONTAINER
            continue
        assert paths[0].name not in REFUSED
        read_everything(recording)
        recording.close()
    assert seen > 60


def episodes_of(data: Path) -> Iterator[tuple[Path, ...]]:
    """Every bag by itself; the files of a ROS 2 recording together."""
    for path in sorted(data.rglob("*.bag")):
        yield (path,)
    folders = {path.parent for suffix in ("db3", "mcap*") for path in data.rglob(f"*.{suffix}")}
    for folder in sorted(folders):
        if (folder / "metadata.yaml").exists() or "multiple_files" in folder.name:
            yield tuple(sorted(path for path in folder.iterdir() if path.is_file()))
        else:
            for path in sorted(folder.glob("*.db3")) + sorted(folder.glob("*.mcap*")):
                yield (path,)


def read_everything(recording: BagRecording) -> None:
    for name, stream in recording.streams.items():
        stamps = recording.timestamps(name)
        assert len(stamps) == stream.count
        assert (np.diff(stamps) > 0).all()
        if stream.kind is StreamKind.PICTURE:
            pictures = list(recording.pictures({name: np.arange(stream.count)}))
            assert [picture.id for picture in pictures] == list(range(stream.count))
        else:
            assert len(recording.vectors(name)) == stream.count


@pytest.mark.parametrize("compression", ["none", "bz2", "lz4"])
def test_every_picture_of_ros_own_bags_is_the_one_its_stamp_says(
    compression: str, tmp_path: Path
) -> None:
    bag = write_bag(tmp_path / "a.bag", 2, 2, 30, 128, 96, 200, compression, "--drop", 0.1)
    config = full_config(Clock.HEADER, cameras=2)
    recording = open_bag(source_of(bag.path), config)
    check_joints(bag, recording)
    assert recording.faults == ()
    wanted = {f"cam_{c}": np.arange(recording.streams[f"cam_{c}"].count) for c in range(2)}
    seen = dict.fromkeys(wanted, 0)
    for picture in recording.pictures(wanted):
        camera = int(picture.stream[-1])
        numbers = bag.frames(camera)
        key = (picture.stamp_ns - bag.t0_ns) // STAMP_UNIT_NS
        assert shown(picture) == (camera, nearest(numbers, key))
        seen[picture.stream] += 1
    assert seen == {f"cam_{c}": len(bag.frames(c)) for c in range(2)}


def test_raw_pictures_a_hole_and_bad_jpegs_of_ros_own_bags(tmp_path: Path) -> None:
    bag = write_bag(
        *(tmp_path / "a.bag", 2, 3, 30, 128, 96, 100, "lz4", "--raw", 1, "--encoding", "bgr8"),
        *("--gap", 1, 0.5, 1.2, "--late-cam", 0.4),
    )
    recording = open_bag(source_of(bag.path), full_config(Clock.HEADER, cameras=3, raw=(0,)))
    for camera in range(3):
        numbers = bag.frames(camera)
        assert recording.streams[f"cam_{camera}"].count == len(numbers)
        ids = np.arange(len(numbers))
        for picture in recording.pictures({f"cam_{camera}": ids}):
            key = (picture.stamp_ns - bag.t0_ns) // STAMP_UNIT_NS
            assert shown(picture) == (camera, nearest(numbers, key))
    assert np.diff(recording.timestamps("cam_1")).max() > 650_000_000

    bad = write_bag(tmp_path / "b.bag", 2, 1, 30, 128, 96, 100, "none", "--bad-jpeg", 10)
    recording = open_bag(source_of(bad.path), full_config(Clock.HEADER, cameras=1))
    (fault,) = recording.faults
    assert (fault.stream, fault.reason) == ("cam_0", "truncated")
    assert recording.streams["cam_0"].count == len(bad.frames(0)) - fault.count
    assert fault.count == len(bad.frames(0)) // 10


def test_depth_of_ros_own_bags_stays_metric(tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "a.bag", 1, 1, 10, 64, 48, 50, "none", "--depth")
    depth = CameraConfig(
        name="depth", topic="/cam_0/depth/image_raw", feature="depth", clock=Clock.HEADER
    )
    recording = open_bag(source_of(bag.path), config_of(depth))
    (picture,) = recording.pictures({"depth": np.array([3])})
    assert (picture.encoding, picture.width, picture.height) == ("16UC1", 64, 48)
    t = (picture.stamp_ns - bag.t0_ns) / 1e9
    y, x = np.mgrid[0:48, 0:64]
    millimetres = 800 + 300 * np.sin(x / 90.0 + t) + 200 * np.cos(y / 70.0)
    found = np.frombuffer(picture.data, "<u2").reshape(48, 64)
    assert np.abs(found - millimetres).max() < 1.5


def full_config(clock: Clock, cameras: int, raw: tuple[int, ...] = ()) -> DatasetConfig:
    return config_of(
        StreamConfig(name="joints", topic="/joint_states", clock=clock),
        StreamConfig(name="command", topic="/joint_cmd", clock=clock),
        StreamConfig(name="gripper", topic="/gripper_state", field="data"),
        *(
            CameraConfig(
                name=f"cam_{c}",
                topic=f"/cam_{c}/color/image_raw" + ("" if c in raw else "/compressed"),
                feature=f"observation.images.cam_{c}",
                clock=clock,
            )
            for c in range(cameras)
        ),
    )


def check_joints(bag: RealBag, recording: BagRecording) -> None:
    stamps = recording.timestamps("joints")
    # Stamps are rounded to a nanosecond, joints move at most 3 rad/s.
    assert recording.vectors("joints") == pytest.approx(bag.joints(stamps), abs=1e-6)
    stamps = recording.timestamps("command")
    lead = bag.truth["command_lead_s"]
    assert recording.vectors("command") == pytest.approx(bag.joints(stamps, lead), abs=1e-6)
    assert recording.streams["gripper"].clock is Clock.RECEIVE


def nearest(numbers: dict[int, int], key: int) -> int:
    found = min(numbers, key=lambda stamp: abs(stamp - key))
    assert abs(found - key) <= 100, "no picture was taken at that moment"
    return numbers[found]
