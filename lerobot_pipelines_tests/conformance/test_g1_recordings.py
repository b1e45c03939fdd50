"""The real Unitree G1 recordings as the reader sees them, in both layouts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from lerobot_pipelines.model import Recording
from lerobot_pipelines.recordings import open_recording, source_from_path
from lerobot_pipelines_tests.conformance.shared import shared_folder

pytestmark = pytest.mark.conformance

ARMS = ("left_master", "left_slave", "right_master", "right_slave")


def _check(recording: Recording, truth: Path) -> None:
    pairs = json.loads(truth.read_text())["frame_of_timestamp_us"]
    stamps_us = [stamp for stamp, _ in pairs]
    assert recording.faults == []
    assert sorted(recording.streams) == ["cam_high", *ARMS]
    assert (recording.timestamps("cam_high") // 1000).tolist() == stamps_us
    assert recording.metadata["task"] == "pick up the bottle"
    details = recording.streams["cam_high"].details
    assert (details["width"], details["height"], details["time_unit"]) == (640, 480, "us")
    for arm in ARMS:
        assert recording.streams[arm].dimension == 7
        assert recording.vectors(arm).shape == (len(pairs), 7)
        assert np.isfinite(recording.vectors(arm)).all()
    last = np.array([0, len(pairs) - 1])
    pictures = list(recording.pictures({"cam_high": last}))
    assert [picture.stamp_ns // 1000 for picture in pictures] == [stamps_us[0], stamps_us[-1]]
    assert all(picture.data[:2] == b"\xff\xd8" for picture in pictures)


@pytest.mark.parametrize("number", ["0028", "0029", "0030"])
def test_the_split_layout_holds_every_picture_and_joint(number: str) -> None:
    data = shared_folder() / "data" / "g1_bottle"
    for half in ("joints", "images"):
        source = source_from_path(data / half / "bottle" / f"episode_{number}")
        assert source.key == f"bottle/episode_{number}"
        _check(open_recording(source), data / f"truth_episode_{number}.json")


def test_the_episode_layout_holds_the_same(tmp_path: Path) -> None:
    data = shared_folder() / "data" / "g1_bottle"
    for half in ("joints", "images"):
        shutil.copytree(data / half / "bottle" / "episode_0029", tmp_path / "episode_0029" / half)
    source = source_from_path(tmp_path / "episode_0029")
    _check(open_recording(source), data / "truth_episode_0029.json")
