"""Depth in another unit than it is read in is refused where it shows, and said where it may."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lerobot_pipelines.config.schema import CameraConfig, DatasetConfig
from lerobot_pipelines.datasets.records import EpisodeRecord, VideoRecord
from lerobot_pipelines.intake import IntakeCode, Severity
from lerobot_pipelines.model import DepthCoding
from lerobot_pipelines.pipeline.convert import convert_dataset, current_record
from lerobot_pipelines.pipeline.depth_range import depth_shares, impossible_ranges, range_entries
from lerobot_pipelines.pipeline.workspace import open_workspace
from lerobot_pipelines.video.depth import LEVELS, quantise
from lerobot_pipelines_tests.recordings_ros.bags import START_NS, Said, Types, write_mcap

FEATURE = "observation.depth.front"
WIDTH, HEIGHT = 64, 48


def config(**camera: Any) -> DatasetConfig:
    return DatasetConfig.model_validate(
        {
            "dataset": {"name": "depth", "fps": 25},
            "storage": {"url": "file:///nowhere"},
            "cameras": [{"name": "front", "feature": FEATURE, "depth": True, **camera}],
        }
    )


def video(distances_mm: Any, camera: CameraConfig) -> dict[str, VideoRecord]:
    coding = DepthCoding("mm", *camera.depth_range_m, 3.5)
    codes = quantise(np.asarray(distances_mm, np.float64), "mm", coding)
    counts = np.bincount(codes, minlength=LEVELS).tolist()
    return {
        FEATURE: VideoRecord(
            key="k",
            bytes=1,
            sha256="",
            frames=1,
            codec="hevc",
            width=1,
            pix_fmt="gray12le",
            height=1,
            fps=25,
            sampled_frames=1,
            depth=coding,
            histogram=[counts],
        )
    }


@given(
    st.lists(st.integers(0, 65535), min_size=1, max_size=200),
    st.sampled_from([(0.0, 10.0), (0.0, 1.5), (0.3, 4.0)]),
)
def test_shares_are_those_of_the_pixels(distances: list[int], range_m: tuple[float, float]) -> None:
    """Against a count of the distances themselves; a code holds some 5 mm."""
    settings = config(depth_range_m=range_m)
    near_mm, far_mm = (1000 * end for end in range_m)
    clear = [d for d in distances if min(abs(d - near_mm), abs(d - far_mm)) > 10 or d == 0]
    if not clear:
        return
    (shares,) = depth_shares([video(clear, settings.cameras[0])]).values()
    near = sum(d <= near_mm for d in clear)
    far = sum(d >= far_mm for d in clear)
    assert (shares.pixels, shares.nearest, shares.farthest) == pytest.approx(
        (len(clear), near / len(clear), far / len(clear))
    )
    refused = bool(impossible_ranges([video(clear, settings.cameras[0])], settings))
    measured = len(clear) - near
    at_far = measured > 0 and far / measured >= 0.99
    at_near = near_mm > 0 and near / len(clear) >= 0.99
    assert refused == (at_far or at_near)


def test_a_wall_behind_the_range_is_said_and_not_refused() -> None:
    settings = config(depth_range_m=(0, 1.5))
    made = [video([0] * 10 + [800] * 20 + [2500] * 70, settings.cameras[0])]
    assert impossible_ranges(made, settings) == []
    (entry,) = range_entries(made, settings)
    assert (entry.code, entry.severity, entry.stream) == (
        *(IntakeCode.RANGE, Severity.WARNING, "front"),
    )
    assert entry.message.startswith("10.0% of the pixels have no distance, 70.0% are at or beyond")


def recording(root: Path) -> None:
    """50 pictures from a camera in millimetres as floats, and one in tenths of a millimetre."""
    types = Types(2)
    said = []
    for k in range(50):
        ns = START_NS + k * 40_000_000
        far = np.full((HEIGHT, WIDTH), 500 + k, "<f4").tobytes()
        near = np.full((HEIGHT, WIDTH), 2000 + k, "<u2").tobytes()
        for topic, pixels, encoding, size in (
            *(("/ensenso", far, "32FC1", 4), ("/d405", near, "16UC1", 2)),
        ):
            image = types.image(ns, pixels, (WIDTH, HEIGHT), encoding, WIDTH * size)
            said.append(Said(topic, image.__msgtype__, ns, image))
        joints = types.joint_state(ns, [0.01 * k, 0.0, 0.0])
        said.append(Said("/joint_states", joints.__msgtype__, ns, joints))
    (root / "raw/task").mkdir(parents=True)
    write_mcap(root / "raw/task/one.mcap", said, types)


def convert(root: Path, topic: str, **camera: Any) -> tuple[str, EpisodeRecord]:
    settings = DatasetConfig.model_validate(
        {
            "dataset": {"name": "depth", "fps": 25},
            "storage": {"url": root.as_uri()},
            "streams": [{"name": "joints", "topic": "/joint_states"}],
            "features": {"observation.state": {"parts": [{"stream": "joints"}]}},
            "cameras": [
                {"name": "front", "feature": FEATURE, "depth": True, "topic": topic, **camera}
            ],
        }
    )
    (outcome,) = convert_dataset(settings).episodes
    record = current_record(open_workspace(settings), outcome.key)
    assert record is not None, outcome.message
    return outcome.status, record


@pytest.mark.parametrize("given", [None, "mm"])
def test_millimetres_read_as_metres_are_refused_until_the_unit_is_given(
    given: str | None, tmp_path: Path
) -> None:
    recording(tmp_path)
    status, record = convert(tmp_path, "/ensenso", depth_unit=given)
    (check,) = (check for check in record.checks if check.name == "depth_in_range")
    assert check.passed == (given is not None)
    assert (status == "converted") == (given is not None)
    if given is None:
        assert "depth_unit" in check.description
        assert "10 m" in check.description
        assert [e.severity for e in record.intake if e.code is IntakeCode.RANGE] == ["warning"]


def test_tenths_of_a_millimetre_come_out_in_metric_units(tmp_path: Path) -> None:
    recording(tmp_path)
    status, record = convert(tmp_path, "/d405", depth_unit="0.1mm")
    assert status == "converted"
    (shares,) = depth_shares([segment.videos for segment in record.segments]).values()
    assert (shares.nearest, shares.farthest) == (0, 0)
    coding = record.segments[0].videos[FEATURE].depth
    assert coding is not None
    codes = np.flatnonzero(record.segments[0].videos[FEATURE].histogram[0])
    expected = quantise(np.array([0.2, 0.2049]), "m", coding)
    assert (int(codes.min()), int(codes.max())) == tuple(expected.tolist())
