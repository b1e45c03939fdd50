"""``inspect --suggest-config`` then ``convert``, unedited, on real recordings."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from lerobot_pipelines_tests.cli.calling import call
from lerobot_pipelines_tests.conformance.real_bags import write_bag
from lerobot_pipelines_tests.conformance.shared import shared_folder

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(600)]


def judged(recording: Path, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The suggestion for a copy of the recording, and what converting with it came to."""
    task = folder / "raw" / "task"
    task.mkdir(parents=True)
    shutil.copy(recording, task)
    suggested = call("inspect", task / recording.name, "--suggest-config")
    assert suggested.code == 0, suggested.stderr
    config = folder / "robot.yaml"
    config.write_text(suggested.stdout)
    assert call("config", "check", config).code == 0
    done = call("convert", config, "--input", folder / "raw", "--output", folder / "out", "--json")
    assert done.code == 0, done.stderr
    for dataset in done.json()["datasets"]:
        assert call("verify", dataset["location"]).code == 0
    return yaml.safe_load(suggested.stdout), done.json()


@pytest.mark.parametrize(
    ("name", "robot", "rows"),
    [
        ("g1_bottle/episode_0028.bag", "unitree_g1", 277),
        ("g1_bottle/episode_0029.bag", "unitree_g1", 220),
        ("g1_bottle/episode_0030.bag", "unitree_g1", 277),
        ("broken_bags/episode_029_truncated_60pct.bag", "unitree_g1", 115),
        ("broken_bags/episode_029_unindexed.bag", "unitree_g1", 220),
        ("ros1_dexhands_multi_episode/01.bag", "unknown", 131),
        ("ros1_matlab_rosbag/example.bag", "unknown", 417),
    ],
)
def test_real_recordings_are_converted_as_suggested(
    tmp_path: Path, name: str, robot: str, rows: int
) -> None:
    document, done = judged(shared_folder() / "data" / name, tmp_path)
    assert document["dataset"]["robot_type"] == robot
    (episode,) = done["episodes"]
    # A row more or less is the rounding of one machine or another.
    assert abs(episode["rows"] - rows) <= 2


def test_a_robot_that_is_known_gets_its_own_configuration(tmp_path: Path) -> None:
    bag = tmp_path / "data_round_0000001.bag"
    write_bag(bag, *(4, 3, 30, 128, 96, 250, "lz4", "--kuavo", "--depth", "--late-cam", 0.3))
    document, done = judged(bag, tmp_path)
    assert document["dataset"]["robot_type"] == "kuavo4pro"
    assert document["dataset"]["formats"] == ["v2.1", "v3.0"]
    topics = {one["name"]: one["topic"] for one in document["streams"]}
    assert topics["arm_state"] == "/sensors_data_raw"
    assert done["episodes"][0]["rows"] > 20


@pytest.mark.parametrize(
    "name",
    [
        "mcap_robocodec/robocodec_test_0.mcap",  # one message of each topic
        "ros1_webviz/only-a-cube.bag",
        "ros1_librealsense/single_depth_color_640x480.bag",
    ],
)
def test_where_nothing_can_be_made_of_it_the_reason_is_told(name: str) -> None:
    outcome = call("inspect", shared_folder() / "data" / name, "--suggest-config")
    assert (outcome.code, outcome.stdout) == (1, "")
    assert "nothing can be suggested: " in outcome.stderr
