"""A suggestion converts the recording that it was made from, unedited, or says why it cannot."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lerobot_pipelines.recordings.synth import SynthCamera, SynthSpec, write_recording
from lerobot_pipelines_tests.cli.calling import Outcome, call
from lerobot_pipelines_tests.recordings_ros.bags import START_NS, Said, Types
from lerobot_pipelines_tests.suggestions.bags import (
    JOINT_STATE,
    NS,
    bag,
    camera,
    joints,
    others,
    times,
)

TYPES = Types(2)
CAMERA = "/head/color/image_raw/compressed"


def suggested(path: Path, folder: Path) -> tuple[Outcome, Path]:
    outcome = call("inspect", path, "--suggest-config")
    config = folder / "robot.yaml"
    config.write_text(outcome.stdout)
    return outcome, config


def converted(path: Path, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The suggestion and what ``convert`` says; both must succeed."""
    outcome, config = suggested(path, folder)
    assert outcome.code == 0, outcome.stderr
    assert call("config", "check", config).code == 0
    done = call("convert", config, "--input", folder / "raw", "--output", folder / "out", "--json")
    assert done.code == 0, done.stderr
    return yaml.safe_load(outcome.stdout), done.json()


def rows(done: dict[str, Any]) -> dict[str, np.ndarray]:
    location = Path(done["datasets"][-1]["location"])
    table = pq.read_table(next(location.glob("data/*/*.parquet")))
    return {name: np.array(table[name].to_pylist()) for name in table.column_names}


def test_events_and_sensors_do_not_set_the_rate(tmp_path: Path) -> None:
    twist = "geometry_msgs/msg/Twist"
    flag = TYPES.store.types["std_msgs/msg/Bool"]
    path = bag(
        *(tmp_path, TYPES),
        camera(TYPES, CAMERA, 25.0, 4.0),
        joints(TYPES, "/arm/joint_states", 100.0, 4.0),
        joints(TYPES, "/arm/joint_setpoint", 100.0, 4.0),
        others(twist, lambda ns: TYPES.twist(1, 0, 0, 0, 0, 0), "/base/goal_vel", 0.5, 4.0),
        others("std_msgs/msg/Bool", lambda ns: flag(True), "/gripper/closed", 0.4, 4.0),
    )
    document, done = converted(path, tmp_path)
    assert document["dataset"]["fps"] == 25
    assert document["alignment"]["tolerance_ms"] == 20.0
    (episode,) = done["episodes"]
    assert episode["rows"] >= 97
    assert document["features"]["action"]["parts"] == [{"stream": "arm_joint_setpoint"}]
    found = rows(done)
    # Joint 0 is the moment of its sample: rows follow the camera at 25 Hz.
    assert np.abs(np.diff(found["observation.state"][:, 0]) - 0.04).max() < 0.011


def test_arrays_inside_a_type_of_the_robots_own_are_its_joints(tmp_path: Path) -> None:
    path = bag(
        *(tmp_path, TYPES),
        camera(TYPES, CAMERA, 25.0, 2.0),
        others(
            "my_msgs/msg/State",
            lambda ns: TYPES.custom(ns, np.arange(6.0)),
            *("/sensors_data_raw", 100.0, 2.0),
        ),
    )
    document, done = converted(path, tmp_path)
    (stream,) = document["streams"]
    assert stream["field"] == "joint_data.joint_q"
    assert rows(done)["observation.state"].shape[1] == 6
    assert done["remarks"] == [
        "action repeats observation.state: the configuration names no command"
    ]


def test_joints_are_asked_for_by_name(tmp_path: Path) -> None:
    path = bag(
        *(tmp_path, TYPES),
        camera(TYPES, CAMERA, 25.0, 2.0),
        joints(TYPES, "/joint_states", 50.0, 2.0),
    )
    document, _ = converted(path, tmp_path)
    assert document["streams"][0]["joint_names"] == ["shoulder", "elbow", "wrist"]


def test_nodes_that_share_a_topic_are_all_in_the_state_the_arm_first(tmp_path: Path) -> None:
    arm = [f"joint{k}" for k in range(1, 8)]
    fingers = ["finger_left", "finger_right"]

    def both(ns: int) -> list[tuple[int, Any]]:
        s = (ns - START_NS) / NS
        closed = TYPES.joint_state(ns, [0.04 - s / 100, 0.04 - s / 100], fingers)
        return [(ns - 100_000, closed), (ns, TYPES.joint_state(ns, [s, *[10.0] * 6], arm))]

    said = [
        Said("/joint_states", JOINT_STATE, at + 1_000_000, message)
        for ns in times(100.0, 2.0)
        for at, message in both(ns)
    ]
    path = bag(tmp_path, TYPES, camera(TYPES, CAMERA, 25.0, 2.0), said)
    document, done = converted(path, tmp_path)
    assert [one["joint_names"] for one in document["streams"]] == [arm, fingers]
    state = rows(done)["observation.state"]
    assert state.shape[1] == 9
    assert np.abs(state[:, 0] - np.arange(len(state)) * 0.04).max() < 0.04
    assert np.allclose(state[:, 7], 0.04 - state[:, 0] / 100, atol=2e-4)


def test_a_clock_of_another_machine_is_not_suggested(tmp_path: Path) -> None:
    path = bag(
        *(tmp_path, TYPES),
        camera(TYPES, CAMERA, 25.0, 4.0, latency_ms=-580.0),
        joints(TYPES, "/joint_states", 100.0, 4.0),
    )
    outcome, config = suggested(path, tmp_path)
    document = yaml.safe_load(config.read_text())
    assert "clock" not in document["cameras"][0]
    assert document["streams"][0]["clock"] == "header"
    assert "580.0 ms after reception" in outcome.stdout


def test_a_hole_makes_episodes_of_its_sides_and_is_told(tmp_path: Path) -> None:
    moving = joints(TYPES, "/joint_states", 100.0, 2.0)
    later = joints(TYPES, "/joint_states", 100.0, 2.0, start_s=3.0)
    path = bag(tmp_path, TYPES, camera(TYPES, CAMERA, 25.0, 5.0), moving, later)
    outcome, config = suggested(path, tmp_path)
    assert outcome.code == 0, outcome.stderr
    assert yaml.safe_load(config.read_text())["filtering"] == {"gap_policy": "split"}
    assert "There is a hole: stream joint_states gives no usable data for" in outcome.stdout
    _, done = converted(path, tmp_path)
    assert done["datasets"][0]["episodes"] == 2


def test_the_task_is_written_where_one_folder_holds_them_all(tmp_path: Path) -> None:
    parts = (camera(TYPES, CAMERA, 25.0, 1.0), joints(TYPES, "/joint_states", 50.0, 1.0))
    path = bag(tmp_path, TYPES, *parts)
    assert yaml.safe_load(suggested(path, tmp_path)[0].stdout)["dataset"]["task"] == "stack"
    (tmp_path / "raw" / "pour").mkdir()
    assert yaml.safe_load(suggested(path, tmp_path)[0].stdout)["dataset"]["task"] is None
    path.with_suffix(".json").write_text(json.dumps({"task": "stack two cups", "robot": "arm_7"}))
    outcome, _ = suggested(path, tmp_path)
    assert yaml.safe_load(outcome.stdout)["dataset"]["task"] is None
    assert "stack two cups" in outcome.stdout


def test_the_robot_is_named_by_its_description(tmp_path: Path) -> None:
    text = TYPES.store.types["std_msgs/msg/String"]
    urdf = '<?xml version="1.0"?>\n<robot xmlns:xacro="x" name="so_arm_100"><link/></robot>'
    path = bag(
        *(tmp_path, TYPES),
        camera(TYPES, CAMERA, 25.0, 1.0),
        joints(TYPES, "/joint_states", 50.0, 1.0),
        others("std_msgs/msg/String", lambda ns: text(urdf), "/robot_description", 1.0, 1.0),
    )
    document = yaml.safe_load(suggested(path, tmp_path)[0].stdout)
    assert document["dataset"]["robot_type"] == "so_arm_100"


def broken_camera(topic: str, seconds: float = 2.0) -> list[Any]:
    make = TYPES.compressed
    return others(
        "sensor_msgs/msg/CompressedImage",
        lambda ns: make(ns, b"BM" + bytes(60), "bmp"),
        topic,
        25.0,
        seconds,
    )


def test_a_camera_that_cannot_be_read_makes_no_dataset_without_pictures(tmp_path: Path) -> None:
    path = bag(tmp_path, TYPES, broken_camera(CAMERA), joints(TYPES, "/joint_states", 50.0, 2.0))
    outcome, _ = suggested(path, tmp_path)
    assert outcome.code == 1
    assert outcome.stdout == ""
    assert "no camera can be read" in outcome.stderr and CAMERA in outcome.stderr


def test_a_broken_camera_is_listed_apart_from_sensors(tmp_path: Path) -> None:
    path = bag(
        *(tmp_path, TYPES),
        camera(TYPES, CAMERA, 25.0, 2.0),
        broken_camera("/wrist/image_raw/compressed"),
        joints(TYPES, "/joint_states", 50.0, 2.0),
    )
    outcome, _ = suggested(path, tmp_path)
    assert outcome.code == 0, outcome.stderr
    assert "camera /wrist/image_raw/compressed: cannot be read: " in outcome.stdout


def test_joints_that_cannot_be_read_are_no_dataset_of_pictures_alone(tmp_path: Path) -> None:
    camera_ = SynthCamera("front", 25.0, width=64, height=48)
    spec = SynthSpec(seconds=1.2, cameras=(camera_,), arms=("arm",), layout="episode")
    write_recording(tmp_path / "raw", "stack/ep1", spec)
    episode = tmp_path / "raw" / "stack" / "ep1"
    (episode / "joints" / "arm.parquet").write_bytes(b"PAR1 but nothing else")
    outcome, _ = suggested(episode, tmp_path)
    assert outcome.code == 1
    assert "its joints cannot be read, and pictures alone are left: arm: " in outcome.stderr
    assert "#   joints arm: cannot be read: " in outcome.stdout


def test_where_nothing_can_be_suggested_the_reason_is_told_and_no_yaml(tmp_path: Path) -> None:
    flag = TYPES.store.types["std_msgs/msg/Bool"]
    path = bag(
        tmp_path, TYPES, others("std_msgs/msg/Bool", lambda ns: flag(True), "/mode", 1.0, 3.0)
    )
    outcome, _ = suggested(path, tmp_path)
    assert (outcome.code, outcome.stdout) == (1, "")
    assert "neither a camera with a rate nor a stream of numbers" in outcome.stderr


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_any_robot_is_converted_as_suggested_or_explained(seed: int) -> None:
    with TemporaryDirectory() as folder:
        judge_any_robot(Path(folder), seed)


def judge_any_robot(tmp_path: Path, seed: int) -> None:
    chance = np.random.default_rng(seed)
    seconds = float(chance.uniform(1.5, 3.0))
    parts: list[Any] = []
    for n in range(int(chance.integers(0, 3))):
        rate = float(chance.choice([10.0, 19.8, 25.0, 30.0]))
        latency = float(chance.choice([20.0, 20.0, -400.0]))
        parts.append(camera(TYPES, f"/cam_{n}/image/compressed", rate, seconds, latency))
    for word in chance.choice(["state", "cmd", "goal", "claw", "x"], int(chance.integers(0, 4))):
        rate = float(chance.choice([0.7, 8.0, 50.0, 200.0]))
        start = float(chance.choice([0.0, 0.0, 0.9]))
        names = [f"{word}_{n}" for n in chance.permutation(int(chance.integers(1, 6)))]
        parts.append(joints(TYPES, f"/arm_{word}", rate, seconds - start, names, start))
    if not parts:
        parts.append(joints(TYPES, "/joint_states", 50.0, seconds))
    path = bag(tmp_path, TYPES, *parts)
    outcome, config = suggested(path, tmp_path)
    if outcome.code == 1:
        assert len(outcome.stderr.strip()) > 40
        return
    assert outcome.code == 0, outcome.stderr
    _, done = converted(path, tmp_path)
    (episode,) = done["episodes"]
    assert episode["status"] == "converted" and episode["rows"] >= 2
    assert config.read_text() == outcome.stdout
