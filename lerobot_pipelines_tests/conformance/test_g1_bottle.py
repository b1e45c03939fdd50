"""A real robot's recordings: every row shows the picture and the joints that the truth pairs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import av
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from lerobot_pipelines.config import load_config, shipped_configs
from lerobot_pipelines.config.schema import Format
from lerobot_pipelines.datasets.verify import verify_dataset
from lerobot_pipelines.pipeline.convert import convert_dataset
from lerobot_pipelines_tests.conformance.shared import lerobot_python, shared_folder

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(900)]

CAMERA = "observation.images.cam_high"
# Runs in lerobot's own environment, on the recorded JPEGs and the dataset's rows of one episode.
STATISTICS = """
import json, sys
import numpy as np, pandas as pd
from lerobot.datasets.compute_stats import get_feature_stats, sample_images
data, pictures = sys.argv[1], json.load(open(sys.argv[2]))
shown = get_feature_stats(sample_images(pictures), axis=(0, 2, 3), keepdims=True)
rows = pd.read_parquet(data)
found = {"pictures": {k: (v[0] / (1 if k == "count" else 255)).tolist() for k, v in shown.items()}}
for name in ("observation.state", "action"):
    values = np.array(rows[name].tolist(), np.float32)
    found[name] = {k: v.tolist() for k, v in get_feature_stats(values, 0, False).items()}
json.dump(found, sys.stdout)
"""
PICTURE_TOLERANCE = 0.005

EPISODES = ("episode_0028", "episode_0029", "episode_0030")
ARMS = ("left_slave", "right_slave")
# Below it a decoded picture would not be the same scene at crf 23; neighbours in time reach 40 dB.
LEAST_PSNR_DB = 30.0

Layout = Literal["split", "episode"]


@dataclass(frozen=True)
class Truth:
    """One episode as recorded: pictures by row, joints by row.

    The truth pairs by number. Of the 776 pictures 4 carry a stamp that jitter has moved past the
    middle between two joint samples: there the sample nearest to the stamp is the next one, and
    stamps are all that a recording says.
    """

    pictures: list[Path]
    joints: np.ndarray  # (rows, 14) measured, left then right
    moved: int  # pictures nearer to another sample than to their own


def read_truth(data: Path, episode: str) -> Truth:
    pairs = json.loads((data / f"truth_{episode}.json").read_text())["frame_of_timestamp_us"]
    tables = [pq.read_table(data / "joints/bottle" / episode / f"{arm}.parquet") for arm in ARMS]
    joints = np.concatenate(
        [np.stack([table[f"joint_{joint}"] for joint in range(7)], axis=1) for table in tables],
        axis=1,
    )
    sampled = tables[0]["timestamps"].to_numpy()
    # Two episodes end with a picture some ms after the last joint sample: no row can be there.
    pairs = [pair for pair in pairs if sampled[0] <= pair[0] <= sampled[-1]]
    paired = np.array([row for _, row in pairs])
    nearest = np.array([np.abs(sampled - stamp).argmin() for stamp, _ in pairs])
    assert np.abs(nearest - paired).max() <= 1
    folder = data / "images/bottle" / episode / "cam_high"
    return Truth(
        pictures=[folder / f"{stamp}.jpg" for stamp, _ in pairs],
        joints=joints[nearest],
        moved=int(np.count_nonzero(nearest != paired)),
    )


def fill_bucket(data: Path, raw: Path, layout: Layout) -> None:
    """The recordings as an operator would have uploaded them, in either layout."""
    for kind in ("joints", "images"):
        for episode in EPISODES:
            source = data / kind / "bottle" / episode
            split = raw / kind / "bottle" / episode
            target = split if layout == "split" else raw / "bottle" / episode / kind
            shutil.copytree(source, target)


@pytest.fixture(scope="module", params=["split", "episode"])
def bucket(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    bucket = tmp_path_factory.mktemp("g1") / "bucket"
    fill_bucket(shared_folder() / "data/g1_bottle", bucket / "raw", request.param)
    return bucket


@pytest.fixture(scope="module")
def datasets(bucket: Path) -> dict[Format, Path]:
    """The shipped configuration with the camera's own JPEGs copied, in both formats."""
    config = load_config(
        shipped_configs()["unitree_g1_bottle"],
        {
            "storage.url": bucket.as_uri(),
            "storage.raw_prefix": "raw",
            "video.codec": "copy",
            "dataset.formats": ["v2.1", "v3.0"],
        },
    )
    summary = convert_dataset(config)
    assert summary.ok, summary
    return {fmt: bucket / "converted" / config.dataset.name / fmt for fmt in Format}


def rows_of(root: Path) -> Iterator[dict[str, object]]:
    for path in sorted(root.glob("data/*/*.parquet")):
        yield from pq.read_table(path).to_pylist()


def packets_of(root: Path) -> Iterator[bytes]:
    """The JPEGs in the mp4 files, in the order of the rows."""
    for path in sorted(root.glob(f"videos/**/{CAMERA}/**/*.mp4")):
        with av.open(str(path)) as container:
            for packet in container.demux(video=0):
                if packet.size:
                    yield bytes(packet)


@pytest.mark.parametrize("fmt", list(Format))
def test_each_row_holds_the_picture_and_joints_that_belong_together(
    datasets: dict[Format, Path], fmt: Format
) -> None:
    """With the pictures copied the proof is exact: the bytes of the JPEG that truth names."""
    root = datasets[fmt]
    assert verify_dataset(root).findings == ()
    data = shared_folder() / "data/g1_bottle"
    truths = [read_truth(data, episode) for episode in EPISODES]
    expected_pictures = [picture for truth in truths for picture in truth.pictures]
    expected_joints = np.concatenate([truth.joints for truth in truths])
    assert [truth.moved for truth in truths] == [4, 0, 0]
    joints = np.array([row["observation.state"] for row in rows_of(root)])
    np.testing.assert_array_equal(joints, expected_joints.astype(np.float32))
    packets = list(packets_of(root))
    assert len(packets) == len(expected_pictures)
    for packet, picture in zip(packets, expected_pictures, strict=True):
        assert packet == picture.read_bytes(), picture.name


def test_statistics_equal_those_of_lerobot(datasets: dict[Format, Path], tmp_path: Path) -> None:
    root = datasets[Format.V21]
    data = shared_folder() / "data/g1_bottle"
    lines = (root / "meta/episodes_stats.jsonl").read_text().splitlines()
    for number, episode in enumerate(EPISODES):
        ours = json.loads(lines[number])["stats"]
        pictures = tmp_path / f"{episode}.json"
        pictures.write_text(json.dumps([str(p) for p in read_truth(data, episode).pictures]))
        rows = root / f"data/chunk-000/episode_{number:06d}.parquet"
        command = [lerobot_python(Format.V21), "-c", STATISTICS, str(rows), str(pictures)]
        finished = subprocess.run(command, capture_output=True, text=True, check=False)
        assert finished.returncode == 0, finished.stderr
        theirs = json.loads(finished.stdout)
        for measure in ("min", "max", "mean", "std", "count"):
            shown = np.array(theirs["pictures"][measure])
            np.testing.assert_allclose(ours[CAMERA][measure], shown, atol=PICTURE_TOLERANCE)
            for name in ("observation.state", "action"):
                np.testing.assert_allclose(
                    ours[name][measure], theirs[name][measure], rtol=1e-5, atol=1e-6
                )


@pytest.mark.parametrize("bucket", ["split"], indirect=True)
@pytest.mark.parametrize("fmt", list(Format))
def test_the_real_lerobot_shows_the_same_pictures_and_joints(bucket: Path, fmt: Format) -> None:
    """h264 as shipped, read back by lerobot itself."""
    config = load_config(
        shipped_configs()["unitree_g1_bottle"],
        {
            "storage.url": bucket.as_uri(),
            "storage.raw_prefix": "raw",
            "dataset.name": "g1_h264",
            "dataset.formats": [fmt],
        },
    )
    assert convert_dataset(config).ok
    root = bucket / "converted" / "g1_h264" / fmt
    dump = bucket / f"dump_{fmt}"
    loader = shared_folder() / "lerobot/load.py"
    command = [lerobot_python(fmt), str(loader), str(root), "--dump", str(dump), "--every", "25"]
    finished = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    data = shared_folder() / "data/g1_bottle"
    truths = [read_truth(data, episode) for episode in EPISODES]
    pictures = [picture for truth in truths for picture in truth.pictures]
    joints = np.concatenate([truth.joints for truth in truths]).astype(np.float32)
    dumped = sorted(dump.glob("*.json"))
    assert len(dumped) >= len(pictures) // 25
    for path in dumped:
        row = int(path.stem)
        values = json.loads(path.read_text())["observation.state"]
        np.testing.assert_array_equal(np.array(values, np.float32), joints[row])
        shown = np.asarray(Image.open(dump / f"{row:06d}.{CAMERA}.png").convert("RGB"))
        recorded = np.asarray(Image.open(pictures[row]).convert("RGB"))
        assert psnr_db(shown, recorded) > LEAST_PSNR_DB, row


def psnr_db(left: np.ndarray, right: np.ndarray) -> float:
    error = np.mean((left.astype(np.float64) - right.astype(np.float64)) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-12)))
