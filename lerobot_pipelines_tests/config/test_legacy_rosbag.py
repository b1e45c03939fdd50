"""The keys of the Kuavo bag scripts make a shipped configuration, changed as they say."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import yaml

from lerobot_pipelines.config import load_config, shipped_configs
from lerobot_pipelines.config.hashing import dataset_hash, video_hash
from lerobot_pipelines.config.schema import CameraRole, DatasetConfig, Format
from lerobot_pipelines.errors import ConfigError
from lerobot_pipelines_tests.config.loading import Loader

# What the scripts' file holds, with the values of their documentation.
SCRIPT: dict[str, Any] = {
    "hydra": {"run": {"dir": "./outputs/${now:%Y%m%d_%H%M%S}"}},
    "rosbag": {"rosbag_dir": "/bags", "num_used": None, "lerobot_dir": "/out/lerobot"},
    "dataset": {
        "only_arm": True,
        "eef_type": "leju_claw",
        "which_arm": "both",
        "use_depth": False,
        "depth_range": [0, 1500],
        "train_hz": 10,
        "main_timeline": "head_cam_h",
        "main_timeline_fps": 30,
        "sample_drop": 10,
        "dex_dof_needed": 1,
        "is_binary": False,
        "delta_action": False,
        "relative_start": False,
    },
}


def load(
    loader: Loader, overrides: dict[str, object] | None = None, **dataset: object
) -> tuple[DatasetConfig, str]:
    content = SCRIPT | {"dataset": SCRIPT["dataset"] | dataset}
    path = loader.write(yaml.safe_dump(content, sort_keys=False))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        config = load_config(path, overrides)
    return config, " ".join(str(one.message) for one in caught)


@pytest.mark.parametrize(
    ("eef", "name"),
    [
        ("leju_claw", "kuavo_4pro_claw"),
        ("qiangnao", "kuavo_4pro_hand"),
        ("rq2f85", "kuavo_simulator"),
    ],
)
def test_the_scripts_own_values_are_the_shipped_configuration(
    loader: Loader, eef: str, name: str
) -> None:
    config, said = load(loader, eef_type=eef)
    shipped = load_config(shipped_configs()[name])
    assert video_hash(config) == video_hash(shipped)
    assert dataset_hash(config) == dataset_hash(shipped)
    assert config.dataset.formats == (Format.V30,)
    assert (config.storage.raw_prefix, config.storage.converted_prefix) == ("bags", "out/lerobot")
    assert name in said
    assert "not by reception" in said
    assert "hydra" in said


@pytest.mark.parametrize(("side", "letter", "other"), [("left", "l", "r"), ("right", "r", "l")])
def test_one_arm_is_its_joints_its_gripper_and_its_cameras(
    loader: Loader, side: str, letter: str, other: str
) -> None:
    config, _ = load(loader, which_arm=side, use_depth=True, depth_range=[100, 1200])
    for feature in ("observation.state", "action"):
        parts = config.features[feature].parts
        names = [name for part in parts for name in part.names or ()]
        assert len(names) == 8
        assert names[0].startswith(f"zarm_{letter}1")
        assert names[-1] == f"{side}_claw"
    cameras = {camera.name: camera for camera in config.cameras}
    assert set(cameras) == {
        *("head_cam_h", f"wrist_cam_{letter}", "depth_h", f"depth_{letter}"),
    }
    assert f"wrist_cam_{other}" not in cameras
    assert cameras["depth_h"].depth_range_m == (0.1, 1.2)
    assert cameras["depth_h"].feature == "observation.depth_h"


def test_rates_sizes_and_names_are_those_of_the_file(loader: Loader) -> None:
    config, _ = load(
        loader,
        train_hz=15,
        sample_drop=5,
        main_timeline="wrist_cam_l",
        task_description="hand over",
        resize={"width": 848, "height": 480},
    )
    assert config.dataset.fps == 15
    assert config.dataset.task == "hand over"
    assert (config.alignment.trim_start_frames, config.alignment.trim_end_frames) == (3, 3)
    roles = {camera.name: camera.role for camera in config.cameras}
    assert roles["wrist_cam_l"] is CameraRole.BASE
    assert roles["head_cam_h"] is CameraRole.SYNC
    assert config.video.size == (848, 480)


@pytest.mark.parametrize("count", [1, 2, 6])
def test_fingers_are_counted_from_the_first_of_each_hand(loader: Loader, count: int) -> None:
    config, _ = load(loader, eef_type="qiangnao", dex_dof_needed=count)
    parts = config.features["action"].parts
    assert [parts[1].slice, parts[3].slice] == [f"0:{count}", f"6:{6 + count}"]
    assert parts[3].names == tuple(f"right_qiangnao_{n}" for n in range(1, count + 1))
    assert parts[3].fallback_slice == f"6:{6 + count}"


def test_grippers_are_open_or_closed_where_asked(loader: Loader) -> None:
    config, _ = load(loader, eef_type="rq2f85", is_binary=True)
    assert config.features["observation.state"].parts[1].binary_threshold == 0.5
    assert config.features["action"].parts[3].binary_threshold == pytest.approx(70 / 255)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("delta_action", True, "subtract when training"),
        ("relative_start", True, "subtract when training"),
        ("only_arm", False, "cmd_pose_world"),
        ("eef_type", "leju_clow", 'did you mean "leju_claw"'),
        ("which_arm", "middle", "known are left, right, both"),
        ("main_timeline", "cam", "the cameras are"),
        ("depth_rnge", [0, 1], "there is no such key"),
    ],
)
def test_what_has_no_counterpart_is_refused(
    loader: Loader, key: str, value: object, words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(loader, **{key: value})
    assert f"dataset.{key}" in str(caught.value)
    assert words in str(caught.value)


def test_words_of_the_command_line_go_before_the_file(loader: Loader) -> None:
    words = {
        "rosbag.rosbag_dir": "/other/bags",
        "dataset.train_hz": 20,
        "dataset.which_arm": "left",
    }
    config, _ = load(loader, words)
    assert config.storage.raw_prefix == "other/bags"
    assert config.dataset.fps == 20
    assert len(config.features["action"].parts) == 2


def test_a_random_choice_of_bags_says_that_all_are_converted(loader: Loader) -> None:
    assert "choose with --episode" in load(loader, {"rosbag.num_used": 5})[1]
