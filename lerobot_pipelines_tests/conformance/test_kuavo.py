"""Kuavo bags with the shipped configurations: every row is what the robot did at that moment."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from lerobot_pipelines.alignment import align
from lerobot_pipelines.config import load_config, shipped_configs
from lerobot_pipelines.config.schema import Format
from lerobot_pipelines.datasets.verify import verify_dataset
from lerobot_pipelines.model import AlignedFrames
from lerobot_pipelines.pipeline.convert import convert_dataset
from lerobot_pipelines.recordings.ros import open_bag
from lerobot_pipelines_tests.cli.calling import call
from lerobot_pipelines_tests.config.test_legacy_rosbag import SCRIPT
from lerobot_pipelines_tests.conformance.real_bags import RealBag, shown, source_of, write_bag
from lerobot_pipelines_tests.conformance.test_lerobot_datasets import load

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(600)]

ARMS = [*range(7), *range(8, 15)]
CLAWS = [7, 15]
CAMERAS = ("head_cam_h", "wrist_cam_l", "wrist_cam_r")


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> RealBag:
    path = tmp_path_factory.mktemp("kuavo") / "data_round_0000001.bag"
    arguments = (4, 3, 30, 128, 96, 250, "lz4", "--kuavo", "--depth", "--late-cam", 0.3)
    return write_bag(path, *arguments, "--bad-jpeg", 25)


@pytest.fixture(scope="module")
def frames(bag: RealBag) -> AlignedFrames:
    config = load_config(shipped_configs()["kuavo_4pro_claw"])
    return align(open_bag(source_of(bag.path), config), config)


def test_state_and_action_are_what_the_robot_did(bag: RealBag, frames: AlignedFrames) -> None:
    times = frames.row_times_ns
    state, action = frames.features["observation.state"], frames.features["action"]
    assert state.shape == action.shape == (len(times), 16)
    assert len(times) > 20
    # A sample is at most 2 ms (state) or 8 ms (command) from its row, joints move under 1.8 rad/s.
    assert np.abs(state[:, ARMS] - bag.joints(times)).max() < 0.004
    lead = bag.truth["command_lead_s"]
    assert np.abs(action[:, ARMS] - bag.joints(times, lead)).max() < 0.02
    claws = bag.gripper(times) / 100
    assert np.abs(state[:, CLAWS] - claws).max() < 0.005
    assert np.abs(action[:, CLAWS] - claws).max() < 0.01


def test_names_are_those_of_the_challenge(frames: AlignedFrames) -> None:
    names = list(frames.feature_names["observation.state"])
    assert names == list(frames.feature_names["action"])
    assert [*names[:1], *names[6:9]] == [
        *("zarm_l1_link", "zarm_l7_link", "left_claw", "zarm_r1_link"),
    ]
    assert sorted(frames.pictures) == sorted(f"observation.images.{name}" for name in CAMERAS)


def test_rows_lie_on_the_grid_and_show_the_nearest_picture(
    bag: RealBag, frames: AlignedFrames
) -> None:
    assert (np.diff(frames.row_times_ns) == 100_000_000).all()
    config = load_config(shipped_configs()["kuavo_4pro_claw"])
    recording = open_bag(source_of(bag.path), config)
    for number, name in enumerate(CAMERAS):
        ids = frames.pictures[f"observation.images.{name}"]
        stamps = np.array([s for s, _ in bag.truth["camera_stamps_and_frame_numbers"][number]])
        numbers = [n for _, n in bag.truth["camera_stamps_and_frame_numbers"][number]]
        if number == 0:  # every 25th picture of this camera is cut
            good = [k for k, n in enumerate(numbers) if n % 25 != 24]
            stamps, numbers = stamps[good], [numbers[k] for k in good]
        times = (frames.row_times_ns - bag.t0_ns) / 1e9
        expected = [numbers[int(np.abs(stamps - t).argmin())] for t in times]
        found = {p.id: shown(p) for p in recording.pictures({name: np.unique(ids)})}
        assert [found[int(id)] for id in ids] == [(number, n) for n in expected]


def test_the_arms_come_from_the_joint_command_while_no_trajectory_is_sent(
    bag: RealBag, tmp_path: Path
) -> None:
    text = shipped_configs()["kuavo_4pro_claw"].read_text()
    path = tmp_path / "kuavo.yaml"
    path.write_text(text.replace("/kuavo_arm_traj\n", "/kuavo_arm_traj_synced\n"))
    config = load_config(path)
    frames = align(open_bag(source_of(bag.path), config), config)
    lead = bag.truth["command_lead_s"]
    expected = bag.joints(frames.row_times_ns, lead)
    assert np.abs(frames.features["action"][:, ARMS] - expected).max() < 0.02


def test_another_platforms_arms_lie_elsewhere(bag: RealBag) -> None:
    """The wheeled robot's slice of this robot's joints begins eight joints down the legs."""
    config = load_config(shipped_configs()["kuavo_5w_claw"])
    recording = open_bag(source_of(bag.path), config)
    values, stamps = recording.vectors("arm_state"), recording.timestamps("arm_state")
    assert (values[:, :8] == 0).all()
    assert values[:, 8:] == pytest.approx(bag.joints(stamps)[:, :6], abs=1e-6)


def with_depth(folder: Path) -> Path:
    """The shipped configuration with its commented head depth camera switched on."""
    lines = shipped_configs()["kuavo_4pro_claw"].read_text().splitlines()
    first = next(n for n, line in enumerate(lines) if "# - {name: depth_h" in line)
    for number in (first, first + 1):
        lines[number] = lines[number].replace("# ", "", 1)
    path = folder / "kuavo.yaml"
    path.write_text("\n".join(lines))
    return path


def test_a_kuavo_bag_becomes_a_dataset_with_its_task(bag: RealBag, tmp_path: Path) -> None:
    raw = tmp_path / "bucket/bags/kuavo_4pro_claw/bottle"
    raw.mkdir(parents=True)
    shutil.copy(bag.path, raw)
    side = {"taskName": "bottle", "taskPrompt": "put the bottle into the box", "marks": []}
    (raw / f"{bag.path.stem}.json").write_text(json.dumps(side))
    config = load_config(
        with_depth(tmp_path),
        {
            "storage.url": (tmp_path / "bucket").as_uri(),
            "video.preset": "ultrafast",
            "dataset.formats": ["v2.1", "v3.0"],
        },
    )
    summary = convert_dataset(config)
    assert summary.ok, summary
    for fmt in Format:
        root = tmp_path / "bucket/converted" / config.dataset.name / fmt
        report = verify_dataset(root)
        assert report.findings == ()
        info = json.loads((root / "meta/info.json").read_text())
        assert info["fps"] == 10
        assert info["features"]["observation.state"]["shape"] == [16]
        assert info["features"]["observation.depth_h"]["shape"] == [96, 128, 1]
        assert list(info["features"]["action"]["names"]) == ["action_names"]
        rows = [
            row
            for p in sorted(root.glob("data/*/*.parquet"))
            for row in pq.read_table(p).to_pylist()
        ]
        assert len(rows) == report.frames > 20
        loaded = load(root, fmt, "pyav", tmp_path / "caches")
        assert loaded["errors"] == 0, loaded
        assert loaded["shapes"]["observation.depth_h"] == [3, 96, 128]
    tasks = (tmp_path / f"bucket/converted/{config.dataset.name}/v2.1/meta/tasks.jsonl").read_text()
    assert "put the bottle into the box" in tasks


def test_the_bag_scripts_own_file_and_words_give_the_same_rows(
    bag: RealBag, frames: AlignedFrames, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(bag.path.parent, tmp_path / "bags")
    script = SCRIPT | {"dataset": SCRIPT["dataset"] | {"train_hz": 30}}
    Path("KuavoRosbag2Lerobot.yaml").write_text(yaml.safe_dump(script), encoding="utf-8")
    words = ("rosbag.rosbag_dir=bags", "rosbag.lerobot_dir=out", "dataset.train_hz=10")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        done = call("convert", "KuavoRosbag2Lerobot.yaml", *words)
    assert done.code == 0, done.stdout + done.stderr
    (file,) = Path("out/kuavo_4pro_claw/v3.0/data").rglob("*.parquet")
    table = pq.read_table(file)
    for name in ("observation.state", "action"):
        values = np.array(table.column(name).to_pylist(), dtype=np.float32)
        np.testing.assert_array_equal(values, frames.features[name].astype(np.float32))
