"""Depth of ROS's own bags through the whole conversion: metric in the dataset, and it loads."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from lerobot_pipelines.config import load_config
from lerobot_pipelines.config.schema import DatasetConfig, Format
from lerobot_pipelines.datasets.verify import verify_dataset
from lerobot_pipelines.model import DepthCoding
from lerobot_pipelines.pipeline.aligned import read_aligned
from lerobot_pipelines.pipeline.convert import convert_dataset
from lerobot_pipelines.pipeline.workspace import open_workspace
from lerobot_pipelines.recordings.ros import open_bag
from lerobot_pipelines.video.depth import distances, step_m
from lerobot_pipelines_tests.conformance.real_bags import RealBag, source_of, write_bag
from lerobot_pipelines_tests.conformance.shared import lerobot_python
from lerobot_pipelines_tests.conformance.test_lerobot_datasets import load, offline

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(600)]

FEATURE = "observation.depth.head"
WIDTH, HEIGHT = 128, 96

CONFIG = """
dataset: {name: depth, fps: 10, formats: [v2.1, v3.0], task: look}
storage: {url: BUCKET}
streams: [{name: joints, topic: JOINTS, field: FIELD, clock: header}]
cameras:
  - {name: colour, topic: COLOUR, clock: header, role: base}
  - {name: head, topic: DEPTH, clock: header, depth: true, depth_range_m: [0.0, 4.0]}
features: {observation.state: [joints], action: [joints]}
alignment: {rate_tolerance: 0.1, picture_tolerance_ms: 80}
"""
PLACES = {
    "16UC1": {
        "JOINTS": "/joint_states",
        "FIELD": "position",
        "COLOUR": "/cam_0/color/image_raw/compressed",
        "DEPTH": "/cam_0/depth/image_raw",
    },
    "compressedDepth": {
        "JOINTS": "/sensors_data_raw",
        "FIELD": "joint_data.joint_q",
        "COLOUR": "/cam_h/color/image_raw/compressed",
        "DEPTH": "/cam_h/depth/image_raw/compressedDepth",
    },
}


class Converted:
    def __init__(self, bag: RealBag, config: DatasetConfig, root: Path) -> None:
        self.bag, self.config, self.root = bag, config, root

    def dataset(self, fmt: Format) -> Path:
        return self.root / "converted/depth" / fmt.value

    def video(self, fmt: Format) -> Path:
        (path,) = (path for path in self.dataset(fmt).rglob("*.mp4") if FEATURE in str(path))
        return path

    def info(self, fmt: Format) -> dict[str, Any]:
        info = json.loads((self.dataset(fmt) / "meta/info.json").read_text())
        described: dict[str, Any] = info["features"][FEATURE]
        return described


@pytest.fixture(scope="module", params=PLACES)
def converted(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Converted:
    root = tmp_path_factory.mktemp("depth")
    path = root / "raw/task/round_1.bag"
    path.parent.mkdir(parents=True)
    kuavo = ["--kuavo"] if request.param == "compressedDepth" else []
    bag = write_bag(path, 4, 1, 10, WIDTH, HEIGHT, 60, "lz4", "--depth", *kuavo)
    shutil.move(f"{path}.truth.json", root)
    text = CONFIG.replace("BUCKET", root.as_uri())
    for word, place in PLACES[request.param].items():
        text = text.replace(word, place)
    (root / "depth.yaml").write_text(text)
    config = load_config(root / "depth.yaml")
    summary = convert_dataset(config)
    assert summary.ok, summary
    return Converted(bag, config, root)


@pytest.mark.parametrize("fmt", list(Format), ids=str)
def test_distances_are_those_of_the_camera_within_half_a_step(
    converted: Converted, fmt: Format
) -> None:
    """By the formula of ``video.depth``, with the numbers that info.json states."""
    stated = converted.info(fmt)["info"]
    coding = DepthCoding(
        stated["depth_unit"],
        stated["video.depth_min"],
        stated["video.depth_max"],
        stated["video.shift"],
    )
    assert (coding.unit, coding.nearest_m, coding.farthest_m) == ("mm", 0.0, 4.0)
    key = "task/round_1.bag"
    _, frames = read_aligned(open_workspace(converted.config), key)
    recording = open_bag(source_of(converted.bag.path), converted.config)
    stamps = recording.timestamps("head")[frames.pictures[FEATURE]]
    recording.close()
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    rows = 0
    with av.open(str(converted.video(fmt))) as container:
        for stamp, frame in zip(stamps, container.decode(video=0), strict=True):
            t = (int(stamp) - converted.bag.t0_ns) / 1e9
            camera_mm = np.floor(800 + 300 * np.sin(x / 90.0 + t) + 200 * np.cos(y / 70.0))
            read_mm = distances(frame.to_ndarray(format="gray12le"), coding)
            # The writer's own floor may fall a millimetre beside ours where time is rounded.
            half_step_mm = step_m(camera_mm.max() / 1000, coding) * 500
            error = np.abs(read_mm - camera_mm)
            assert np.quantile(error, 0.99) <= half_step_mm
            assert error.max() <= half_step_mm + 1
            rows += 1
    assert rows == len(frames.row_times_ns) > 30


@pytest.mark.parametrize("fmt", list(Format), ids=str)
def test_the_feature_is_described_as_lerobot_describes_depth(
    converted: Converted, fmt: Format
) -> None:
    described = converted.info(fmt)
    assert (described["dtype"], described["shape"]) == ("video", [HEIGHT, WIDTH, 1])
    assert described["names"] == ["height", "width", "channels"]
    stated = described["info"]
    assert (stated["is_depth_map"], stated["video.is_depth_map"]) == (True, True)
    assert (stated["video.codec"], stated["video.pix_fmt"]) == ("hevc", "gray12le")
    assert (stated["video.channels"], stated["video.use_log"]) == (1, True)
    report = verify_dataset(converted.dataset(fmt))
    assert report.ok, report.findings
    assert report.findings == ()
    statistics = (
        json.loads((converted.dataset(fmt) / "meta/stats.json").read_text())
        if fmt is Format.V30
        else json.loads((converted.dataset(fmt) / "meta/episodes_stats.jsonl").read_text())["stats"]
    )[FEATURE]
    assert np.shape(statistics["mean"]) == (1, 1, 1)
    # 800 +- 300 +- 200 mm, of which the picture shows a part
    assert 300 <= statistics["min"][0][0][0] < statistics["mean"][0][0][0] < 1300
    assert statistics["max"][0][0][0] <= 1301


ONE_KIND = pytest.mark.parametrize("converted", ["compressedDepth"], indirect=True)


@ONE_KIND
@pytest.mark.parametrize("backend", ["pyav", "torchcodec"])
@pytest.mark.parametrize("fmt", list(Format), ids=str)
def test_the_real_lerobot_reads_every_row(
    converted: Converted, fmt: Format, backend: str, tmp_path: Path
) -> None:
    found = load(converted.dataset(fmt), fmt, backend, tmp_path / "caches")
    assert found["errors"] == 0, found
    assert found["shapes"][FEATURE] == [3, HEIGHT, WIDTH]


# Runs in lerobot's own environment: the depth picture of one row, as lerobot hands it over.
ONE_ROW = """
import sys
import numpy as np
from lerobot.datasets.lerobot_dataset import LeRobotDataset
dataset = LeRobotDataset("local/depth", root=sys.argv[1], video_backend="pyav")
np.save(sys.argv[3], dataset[20][sys.argv[2]].numpy())
"""


@ONE_KIND
@pytest.mark.parametrize("fmt", list(Format), ids=str)
def test_an_older_lerobot_sees_the_codes_as_three_equal_channels(
    converted: Converted, fmt: Format, tmp_path: Path
) -> None:
    out = tmp_path / "row.npy"
    command = [lerobot_python(fmt), "-c", ONE_ROW, converted.dataset(fmt), FEATURE, out]
    subprocess.run(list(map(str, command)), check=True, env=offline(), capture_output=True)
    seen = np.load(out)
    with av.open(str(converted.video(fmt))) as container:
        codes = list(container.decode(video=0))[20].to_ndarray(format="gray12le")
    assert seen.shape == (3, HEIGHT, WIDTH)
    assert (seen == seen[0]).all()
    assert np.abs(seen[0] - codes / 4095).max() < 1 / 128  # eight bits of the twelve
