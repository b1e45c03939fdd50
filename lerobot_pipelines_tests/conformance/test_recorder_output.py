"""Datasets that ``EpisodeRecorder`` writes itself, loaded by the real lerobot, every row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lerobot_pipelines.config.schema import Format
from lerobot_pipelines.recorder import EpisodeRecorder, LerobotOutput
from lerobot_pipelines.recorder.encoders import PictureFormat
from lerobot_pipelines.recordings.synth import read_barcode
from lerobot_pipelines_tests.conformance.shared import lerobot_python, rows_loaded
from lerobot_pipelines_tests.recorder import takes

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(600)]

FRAMES = (20, 26, 14)


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
    rows = rows_loaded(lerobot_python(fmt), output.folder(tmp_path), [*takes.CAMERAS])
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
