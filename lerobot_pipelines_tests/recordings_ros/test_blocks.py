"""Messages taken many at a time give what they give one by one, whole or damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lerobot_pipelines.config.schema import DatasetConfig, StreamConfig
from lerobot_pipelines.errors import Refused
from lerobot_pipelines.model import Clock
from lerobot_pipelines.recordings.ros import open_bag
from lerobot_pipelines.recordings.ros.blocks import Block, unread_blocks
from lerobot_pipelines.recordings.ros.recording import BagRecording
from lerobot_pipelines.recordings.ros.ros1 import Ros1File
from lerobot_pipelines_tests.recordings_ros.bags import (
    START_NS,
    Said,
    Types,
    camera,
    config_of,
    picture,
    session,
    source_of,
    write_mcap,
    write_ros1,
    write_ros2,
)

CONFIG = config_of(
    StreamConfig(name="joints", topic="/joints", clock=Clock.HEADER),
    StreamConfig(name="q", topic="/state", field="joint_data.joint_q[12:26]", clock=Clock.HEADER),
    StreamConfig(name="v", topic="/state", field="joint_data.joint_v, state"),
    StreamConfig(name="twist", topic="/twist"),
    camera(clock=Clock.HEADER),
)


def session_of_many_shapes(types: Types) -> list[Said]:
    """Joints that change their order, their number and their sanity; pictures large and small."""
    said = session(types, 24)
    for k in range(24):
        ns = START_NS + k * 10_000_000
        names = ("wrist", "elbow", "shoulder") if k % 5 == 3 else ("shoulder", "elbow", "wrist")
        values = (k, float("nan") if k % 7 == 6 else 1.0, 2.0)
        size = 2 if k % 11 == 9 else 3
        joints = types.joint_state(ns, values[:size], names[:size])
        said.append(Said("/joints", "sensor_msgs/msg/JointState", ns + 3_000_000, joints))
        jpeg = picture(100 + k, (50, 300, 20_000)[k % 3]) + bytes((0, 7, 300)[k // 3 % 3])
        jpeg = jpeg[:-30] if k % 9 == 4 else jpeg
        shown = types.compressed(ns + 1, jpeg, "jpeg" if k < 12 else "rgb8; jpeg compressed bgr8")
        said.append(Said("/cam", "sensor_msgs/msg/CompressedImage", ns + 21_000_000, shown))
    return sorted(said, key=lambda item: item.receive_ns)


@pytest.fixture(scope="module")
def bags(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("bags")
    one, two = Types(1), Types(2)
    said1, said2 = session_of_many_shapes(one), session_of_many_shapes(two)
    made = {
        f"{c}.bag": write_ros1(folder / f"{c}.bag", said1, one, c).read_bytes()
        for c in ("none", "lz4")
    }
    made["packed.mcap"] = write_mcap(folder / "packed.mcap", said2, two).read_bytes()
    unchunked = write_mcap(folder / "flat.mcap", said2, two, use_chunking=False)
    made["flat.mcap"] = unchunked.read_bytes()
    made["ros1.mcap"] = write_mcap(folder / "ros1.mcap", said1, one, profile="").read_bytes()
    return made


def found(path: Path, config: DatasetConfig | None) -> dict[str, Any]:
    """Everything that the first pass finds."""
    try:
        recording = open_bag(source_of(path), config)
    except Refused as refusal:
        return {"refused": (refusal.reason, refusal.message)}
    try:
        told: dict[str, Any] = {
            name: (
                stream,
                recording.timestamps(name).tolist(),
                recording.vectors(name).tobytes() if stream.kind == "vector" else None,
            )
            for name, stream in recording.streams.items()
        }
        return told | {"faults": sorted(map(str, recording.faults))}
    except Refused as refusal:
        return {"refused": (refusal.reason, refusal.message)}
    finally:
        recording.close()


def found_singly(path: Path, config: DatasetConfig | None) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        for module in ("ros1", "mcap"):
            patch.setattr(
                f"lerobot_pipelines.recordings.ros.{module}.read_blocks",
                lambda index, rows, *rest: unread_blocks(rows),
            )
        return found(path, config)


@pytest.mark.parametrize("name", ["none.bag", "lz4.bag", "packed.mcap", "flat.mcap", "ros1.mcap"])
@pytest.mark.parametrize("config", [CONFIG, None])
def test_blocks_give_what_single_messages_give(
    name: str, config: DatasetConfig | None, bags: dict[str, bytes], tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(bags[name])
    told = found(path, config)
    assert told == found_singly(path, config)
    assert "refused" not in told
    if config is not None:
        reasons = {fault.split("reason='")[1].split("'")[0] for fault in told["faults"]}
        assert reasons >= {"non_finite", "truncated", "duplicate_stamp", "missing_field"}


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(data=st.data())
def test_blocks_of_damaged_bags_give_what_single_messages_give(
    data: st.DataObject, bags: dict[str, bytes], tmp_path: Path
) -> None:
    name = data.draw(st.sampled_from(sorted(bags)))
    content = bytearray(bags[name])
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(13, len(content) - 1))
        content[at] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path / name
    path.write_bytes(bytes(content))
    assert found(path, CONFIG) == found_singly(path, CONFIG)


def test_most_messages_of_a_usual_bag_are_not_read_singly(tmp_path: Path) -> None:
    types = Types(1)
    path = write_ros1(tmp_path / "a.bag", session(types, 400, 20_000), types)
    file = Ros1File(path)
    rows = np.arange(len(file.index))
    blocks: list[Block] = list(file.blocks(rows))
    assert np.array_equal(np.concatenate([block.rows for block in blocks]), rows)
    sound = np.concatenate([block.sound for block in blocks])
    assert sound.all()
    assert sum(len(block.content) for block in blocks) < path.stat().st_size / 3
    file.close()


def test_a_split_recording_is_one_row_of_blocks(tmp_path: Path) -> None:
    types = Types(2)
    said = session(types)
    folder = tmp_path / "rec"
    folder.mkdir()
    for number, part in enumerate((said[:60], said[60:])):
        made = write_mcap(folder / f"rec_{number}.mcap", part, types)
        assert made.exists()
    whole = write_mcap(tmp_path / "whole.mcap", said, types)
    with_parts = open_bag(source_of(folder), CONFIG)
    at_once: BagRecording = open_bag(source_of(whole), CONFIG)
    for name in at_once.streams:
        assert np.array_equal(with_parts.timestamps(name), at_once.timestamps(name))
    assert np.array_equal(with_parts.vectors("q"), at_once.vectors("q"))
    database = write_ros2(tmp_path / "db", said, types)
    assert np.array_equal(open_bag(source_of(database), CONFIG).vectors("q"), at_once.vectors("q"))
