"""The real lerobot loads what the writers write, after every kind of update, with both decoders.

Every row in order, rows in random order with fresh decoders, and windows by ``delta_timestamps``.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lerobot_pipelines.config.schema import Format
from lerobot_pipelines_tests.conformance.shared import lerobot_python, shared_folder
from lerobot_pipelines_tests.datasets.episodes import (
    CAMERA,
    HEIGHT,
    WIDTH,
    Bucket,
    brightness,
    toy_config,
)
from lerobot_pipelines_tests.datasets.reading import json_lines

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(600)]

Step = Callable[[Bucket], object]

STEPS: dict[str, Step | None] = {
    "created": None,
    "appended": lambda bucket: bucket.put("c", 7, seed=3, task="place"),
    "replaced": lambda bucket: bucket.put("a", 9, seed=4),
    "removed": lambda bucket: bucket.remove("a"),
}
ROWS = {
    "created": {"0": 6, "1": 5, "2": 4},
    "appended": {"0": 6, "1": 5, "2": 4, "3": 7},
    "replaced": {"0": 9, "1": 5, "2": 4},
    "removed": {"0": 5, "1": 4},
}

# Runs in lerobot's own environment: its statistics of the rows and pictures of one episode.
STATISTICS = """
import json, sys
import numpy as np, pandas as pd
from PIL import Image
from lerobot.datasets.compute_stats import compute_episode_stats
root, folder, camera = sys.argv[1:4]
height, width, greys = json.loads(sys.argv[4])
info = json.load(open(root + "/meta/info.json"))
rows = pd.read_parquet(root + "/data/chunk-000/episode_000000.parquet")
data = {}
for name in rows.columns:
    shape = info["features"][name]["shape"]
    values = np.array(rows[name].tolist(), dtype=info["features"][name]["dtype"])
    data[name] = values.reshape(len(rows), *shape)
data[camera] = []
for number, grey in enumerate(greys):
    path = f"{folder}/{number}.png"
    Image.fromarray(np.full((height, width, 3), grey, np.uint8)).save(path)
    data[camera].append(path)
stats = compute_episode_stats(data, info["features"])
print(json.dumps({k: {s: v.tolist() for s, v in one.items()} for k, one in stats.items()}))
"""


def offline() -> dict[str, str]:
    return {**os.environ, "HF_HUB_OFFLINE": "1"}


def load(root: Path, fmt: Format, backend: str, caches: Path) -> dict[str, Any]:
    """What lerobot found, by the shared tool that touches every row."""
    done = subprocess.run(
        [
            lerobot_python(fmt),
            str(shared_folder() / "lerobot/load.py"),
            str(root),
            "--backend",
            backend,
            "--random",
            "12",
            "--delta",
            "-0.1",
            "0",
            "0.2",
        ],
        capture_output=True,
        text=True,
        env={**offline(), "HF_HOME": str(caches)},
    )
    assert done.stdout.strip(), done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 0, found
    return found


EVERY_FORMAT = pytest.mark.parametrize("fmt", list(Format), ids=lambda fmt: fmt.value)


@EVERY_FORMAT
@pytest.mark.parametrize("backend", ["pyav", "torchcodec"])
@pytest.mark.parametrize("name", STEPS)
def test_lerobot_reads_every_row_after_every_kind_of_update(
    tmp_path: Path, fmt: Format, name: str, backend: str
) -> None:
    bucket = Bucket(toy_config(tmp_path / "bucket"), tmp_path / "scratch")
    bucket.put("a", 6, seed=1, task="pick")
    bucket.put("b", 5, 4, seed=2, task="pick")
    bucket.update(fmt)
    if (step := STEPS[name]) is not None:
        step(bucket)
        assert bucket.update(fmt).changed
    found = load(bucket.root(fmt), fmt, backend, tmp_path / "caches")
    assert (found["errors"], found["rows_per_episode"]) == (0, ROWS[name])
    assert found["shapes"][CAMERA] == [3, HEIGHT, WIDTH]
    assert sum(found["tasks"].values()) == sum(ROWS[name].values())


@EVERY_FORMAT
def test_lerobot_reads_action_chunks_and_two_cameras(tmp_path: Path, fmt: Format) -> None:
    bucket = Bucket(toy_config(tmp_path / "bucket"), tmp_path / "scratch")
    for number in range(3):
        bucket.put(f"e{number}", 5, seed=number, chunk=4, cameras=2, task=f"task {number} ä")
    bucket.update(fmt)
    found = load(bucket.root(fmt), fmt, "pyav", tmp_path / "caches")
    assert found["errors"] == 0
    assert found["shapes"]["action"] == [4, 2]
    assert found["shapes"]["action_is_pad"] == [4]
    assert found["tasks"] == {f"task {number} ä": 5 for number in range(3)}


def test_lerobot_reads_files_joined_from_many_appends(tmp_path: Path) -> None:
    bucket = Bucket(toy_config(tmp_path / "bucket"), tmp_path / "scratch")
    for number in range(18):
        bucket.put(f"e{number:02d}", 3, seed=number)
        bucket.update(Format.V30)
    found = load(bucket.root(Format.V30), Format.V30, "pyav", tmp_path / "caches")
    assert (found["errors"], found["rows"], found["episodes"]) == (0, 54, 18)


def test_statistics_of_an_episode_are_lerobots_own(tmp_path: Path) -> None:
    bucket = Bucket(toy_config(tmp_path / "bucket"), tmp_path / "scratch")
    bucket.put("a", 40, seed=1, chunk=3)
    bucket.update(Format.V21)
    root = bucket.root(Format.V21)
    greys = [brightness(1, frame) for frame in range(40)]
    done = subprocess.run(
        [
            lerobot_python(Format.V21),
            "-c",
            STATISTICS,
            str(root),
            str(tmp_path),
            CAMERA,
            json.dumps([HEIGHT, WIDTH, greys]),
        ],
        capture_output=True,
        text=True,
        env=offline(),
    )
    assert done.returncode == 0, done.stderr[-2000:]
    theirs = json.loads(done.stdout.splitlines()[-1])
    (line,) = json_lines(root / "meta/episodes_stats.jsonl")
    ours = line["stats"]
    assert ours.keys() == theirs.keys()
    for name, wanted in theirs.items():
        assert ours[name].keys() == wanted.keys()
        for key, value in wanted.items():
            found = np.asarray(ours[name][key], dtype=np.float64)
            value = np.asarray(value, dtype=np.float64)
            assert found.shape == value.shape, (name, key)
            # lerobot sums in float32.
            np.testing.assert_allclose(found, value, rtol=2e-5, atol=2e-6, err_msg=f"{name} {key}")
