"""Datasets that ``EpisodeRecorder`` writes itself, loaded by the real lerobot, every row."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from lerobot_pipelines.config.schema import Format
from lerobot_pipelines.recorder import EpisodeRecorder, LerobotOutput
from lerobot_pipelines.recorder.encoders import PictureFormat
from lerobot_pipelines.recordings.synth import read_barcode
from lerobot_pipelines_tests.conformance.shared import lerobot_python
from lerobot_pipelines_tests.recorder import takes

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(600)]

FRAMES = (20, 26, 14)

# Runs in lerobot's own environment: everything of every row, as arrays.
LOAD = """
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


@pytest.mark.parametrize(
    ("fmt", "pictures"), [(Format.V21, "jpeg"), (Format.V30, "jpeg"), (Format.V30, "h264")]
)
def test_the_real_lerobot_loads_every_row_right(
    fmt: Format, pictures: PictureFormat, tmp_path: Path
) -> None:
    output = LerobotOutput(
        fps=25,
        cameras=tuple(takes.CAMERAS),
        state=[takes.ARM],
        action=[takes.ARM],
        format="v2.1" if fmt is Format.V21 else "v3.0",
        settings={"filtering": {"min_duration_sec": 0.2}},
    )
    with EpisodeRecorder(tmp_path, output=output, pictures=pictures) as recorder:
        for number, frames in enumerate(FRAMES):
            takes.record(recorder, number, frames)
            recorder.end_episode()
        assert recorder.wait(120)
    rows = _loaded(fmt, output.folder(tmp_path), tmp_path / "rows.npz")
    assert set(rows["task"].tolist()) == {"pick up the block"}
    np.testing.assert_array_equal(rows["index"], np.arange(len(rows["index"])))
    for episode, frames in enumerate(FRAMES):
        mine = rows["episode_index"] == episode
        # The last row is where the first of the topics ends.
        assert frames - 1 <= np.count_nonzero(mine) <= frames
        np.testing.assert_array_equal(rows["frame_index"][mine], np.arange(mine.sum()))
        states = rows["observation.state"][mine]
        np.testing.assert_array_equal(states, rows["action"][mine])
        times_ms = np.rint((states[:, 0].astype(np.float64) - episode) * 1000) * 4
        np.testing.assert_allclose(np.diff(times_ms), 40)
        for camera, period_ns in takes.CAMERAS.items():
            first = takes.picture_number(episode, 0)
            shown = [(read_barcode(one) - first) * period_ns / 1e6 for one in rows[camera][mine]]
            assert np.abs(np.array(shown) - times_ms).max() <= period_ns / 2e6 + 3


def _loaded(fmt: Format, root: Path, target: Path) -> dict[str, np.ndarray]:
    done = subprocess.run(
        [lerobot_python(fmt), "-c", LOAD, str(root), str(target), *takes.CAMERAS],
        capture_output=True,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    with np.load(target) as arrays:
        return dict(arrays)
