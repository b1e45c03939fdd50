"""Where the real recordings and the real lerobot are, on machines that have them."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from lerobot_pipelines.config.schema import Format

INTERPRETERS = {
    Format.V21: "LEROBOT_PIPELINES_LEROBOT_V21_PYTHON",
    Format.V30: "LEROBOT_PIPELINES_LEROBOT_V30_PYTHON",
}


NEWEST = "LEROBOT_PIPELINES_LEROBOT_V06_PYTHON"  # needs Python 3.12


def shared_folder() -> Path:
    """The folder of real recordings and tools that CI names."""
    return Path(_named("LEROBOT_PIPELINES_SHARED"))


def lerobot_python(fmt: Format) -> str:
    """The interpreter whose lerobot reads the format: 0.3.3 for v2.1, 0.4.4 for v3.0."""
    return _named(INTERPRETERS[fmt])


def lerobot_python_of(version: str) -> str:
    """The interpreter of lerobot "0.3", "0.4" or "0.6"."""
    variables = {"0.3": INTERPRETERS[Format.V21], "0.4": INTERPRETERS[Format.V30]}
    return _named(variables.get(version, NEWEST))


# Runs in lerobot's own environment: everything of every row, as arrays.
_LOAD = """
import sys
import numpy as np
from lerobot.datasets.lerobot_dataset import LeRobotDataset
root, target, *cameras = sys.argv[1:]
dataset = LeRobotDataset("tests/recorded", root=root, video_backend="pyav")
rows = [dataset[k] for k in range(len(dataset))]
arrays = {name: np.stack([(row[f"observation.images.{name}"].permute(1, 2, 0) * 255).round()
    .byte().numpy() for row in rows]) for name in cameras}
for name in ("observation.state", "action", "episode_index", "frame_index", "index"):
    arrays[name] = np.stack([row[name].numpy() for row in rows])
arrays["task"] = np.array([row["task"] for row in rows])
np.savez(target, **arrays)
"""


def rows_loaded(python: str, root: Path, cameras: Sequence[str]) -> dict[str, np.ndarray]:
    """Every row of a dataset through the real lerobot: each camera (n, h, w, 3) uint8, and
    the vectors, indices and tasks by their names."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "rows.npz")
        done = subprocess.run(
            [python, "-W", "ignore", "-c", _LOAD, str(root), str(target), *cameras],
            capture_output=True,
            text=True,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        with np.load(target) as arrays:
            return dict(arrays)


def _named(variable: str) -> str:
    value = os.environ.get(variable)
    if not value:
        pytest.skip(f"needs files that are not part of the repository: set {variable} (CI does)")
    return value
