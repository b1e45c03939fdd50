"""Items of the chunk dataset are those of the real lerobot: every row, every key, every pixel."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lerobot_pipelines.config import load_config
from lerobot_pipelines.config.schema import Format
from lerobot_pipelines.pipeline.convert import convert_dataset
from lerobot_pipelines.recordings.synth import SynthSpec, write_recording
from lerobot_pipelines_tests.conformance.shared import lerobot_python
from lerobot_pipelines_tests.datasets.episodes import CAMERA, STATE, Bucket, toy_config

torch = pytest.importorskip("torch", reason="loading needs PyTorch: install the extra train")

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(600)]

# Runs in lerobot's own environment: dtype, shape and digest of every tensor of every row.
ITEMS = """
import hashlib, json, sys
import torch
from lerobot.datasets.lerobot_dataset import LeRobotDataset
root, deltas, backend = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
data = LeRobotDataset("a/b", root=root, delta_timestamps=deltas or None, video_backend=backend)
for row in range(len(data)):
    item = {}
    for key, value in data[row].items():
        if isinstance(value, torch.Tensor):
            digest = hashlib.sha256(value.contiguous().numpy().tobytes()).hexdigest()
            value = [str(value.dtype), list(value.shape), digest]
        item[key] = value
    print(json.dumps(item))
"""
EVERY_FORMAT = pytest.mark.parametrize("fmt", list(Format), ids=lambda fmt: fmt.value)


def theirs(
    root: Path, fmt: Format, deltas: dict[str, list[float]], home: Path, backend: str = "pyav"
) -> list[Any]:
    done = subprocess.run(
        [lerobot_python(fmt), "-W", "ignore", "-c", ITEMS, str(root), json.dumps(deltas), backend],
        capture_output=True,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(home)},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def ours(root: Path, deltas: dict[str, list[float]], **config: Any) -> list[Any]:
    from lerobot_pipelines.loading import LoadingConfig, make_chunk_dataset

    dataset = make_chunk_dataset(root, LoadingConfig(**config), delta_timestamps=deltas or None)
    return [
        {key: described(value) for key, value in dataset[row].items()}
        for row in range(len(dataset))
    ]


def described(value: Any) -> Any:
    if not isinstance(value, torch.Tensor):
        return value
    digest = hashlib.sha256(value.contiguous().numpy().tobytes()).hexdigest()
    return [str(value.dtype), list(value.shape), digest]


DELTAS = {
    "observation.images.cam_high": [-0.2, -0.04, 0.0, 0.12],
    "observation.images.cam_left": [0.0],
    "observation.state.slave": [-0.04, 0.0],
    "action": [step / 25 for step in range(16)],
}


def robot(tmp_path: Path, fmt: Format) -> Path:
    """A dataset of two episodes and two cameras, converted from synthetic recordings."""
    for number in (1, 2):
        spec = SynthSpec(seconds=1.0 + number, seed=number)
        write_recording(tmp_path / "bucket/raw", f"block/episode_{number}", spec)
    (tmp_path / "robot.yaml").write_text(
        f"""
dataset: {{name: robot, fps: 25, formats: [{fmt.value}]}}
storage: {{url: bucket}}
robot:
  arms:
    - {{name: left_slave, file: left_slave.parquet, role: slave}}
    - {{name: left_master, file: left_master.parquet, role: master}}
cameras:
  - {{name: cam_high, role: base, target_fps: 25}}
  - {{name: cam_left, role: sync}}
"""
    )
    assert convert_dataset(load_config(tmp_path / "robot.yaml")).ok
    return tmp_path / "bucket/converted/robot" / fmt.value


@EVERY_FORMAT
@pytest.mark.parametrize("has_deltas", [False, True], ids=["rows", "windows"])
def test_every_item_of_converted_recordings_is_lerobots(
    tmp_path: Path, fmt: Format, has_deltas: bool
) -> None:
    root = robot(tmp_path, fmt)
    wanted = DELTAS if has_deltas else {}
    assert ours(root, wanted) == theirs(root, fmt, wanted, tmp_path / "home")


def test_torchcodec_gives_what_it_gives_in_lerobot(tmp_path: Path) -> None:
    try:
        import torchcodec.decoders  # noqa: F401
    except (ImportError, RuntimeError, OSError) as error:
        pytest.skip(f"torchcodec cannot be used here: {error}")
    root = robot(tmp_path, Format.V30)
    wanted = theirs(root, Format.V30, DELTAS, tmp_path / "home", "torchcodec")
    assert ours(root, DELTAS, decoder="torchcodec") == wanted


@EVERY_FORMAT
def test_every_item_of_chunked_actions_and_scalars_is_lerobots(tmp_path: Path, fmt: Format) -> None:
    bucket = Bucket(toy_config(tmp_path / "bucket"), tmp_path / "scratch")
    for number, rows in enumerate((5, 9, 7)):
        bucket.put(f"e{number}", rows, seed=number, chunk=4, cameras=2, task=f"task {number}")
    bucket.update(fmt)
    deltas = {CAMERA: [0.0, 0.3], STATE: [-0.1], "action": [0.0, 0.1], "gripper": [-0.2, 0.0]}
    for wanted in ({}, deltas):
        assert ours(bucket.root(fmt), wanted) == theirs(
            bucket.root(fmt), fmt, wanted, tmp_path / "home"
        )
