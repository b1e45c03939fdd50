"""Scripts written around a bag reader with callbacks, whose import alone is another one."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lerobot_pipelines.bags import RosbagReader
from lerobot_pipelines_tests.migration.snippets import snippet
from lerobot_pipelines_tests.pipeline.test_bag_conversion import CONFIG, write_bag
from lerobot_pipelines_tests.recordings_ros.bags import START_NS

SAMPLE_NS, SAMPLES_A_COMMAND = 10_000_000, 20
HOLE = (60, 100)  # samples without a picture, see write_bag


@pytest.fixture
def bag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bag in the script's folder, under the name that scripts know."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "robot.yaml").write_text(CONFIG.replace("BUCKET", "bucket"))
    return write_bag(tmp_path / "data_round_0000001.bag").name


def test_process_rosbag_chunked_as_it_is_called_today(bag: str) -> None:
    reader = RosbagReader("robot.yaml")
    states: list[Any] = []
    moments: list[float] = []
    actions: list[Any] = []
    indices: list[int] = []
    saved: list[int] = []

    def frame_callback(aligned_frame: Any, frame_idx: int) -> None:
        indices.append(frame_idx)
        states.append(aligned_frame["observation.state"]["data"])
        moments.append(aligned_frame["observation.state"]["timestamp"])
        actions.append(aligned_frame["action"]["data"])

    def save_callback() -> None:
        saved.append(len(states))

    frames = reader.process_rosbag_chunked(
        bag, frame_callback, chunk_size=7, save_callback=save_callback
    )
    assert frames == len(states) == 20
    assert indices == list(range(frames))
    assert saved[-1] == frames
    assert 0 < max(np.diff([0, *saved])) <= 7
    samples = [round((moment - START_NS / 1e9) * 1e9 / SAMPLE_NS) for moment in moments]
    assert samples == [k for k in range(0, 120, 4) if not HOLE[0] <= k < HOLE[1]]
    for sample, state, action in zip(samples, states, actions, strict=True):
        np.testing.assert_allclose(state, joints(sample), rtol=1e-6)
        held = sample - sample % SAMPLES_A_COMMAND
        np.testing.assert_allclose(action, joints(held), rtol=1e-6)


def test_no_picture_is_kept_that_the_script_does_not_keep(bag: str) -> None:
    alive: list[weakref.ref[Any]] = []

    def frame_callback(aligned_frame: Any, frame_idx: int) -> None:
        pictures = [one["data"] for one in aligned_frame.values() if one["data"].ndim == 3]
        assert pictures
        assert sum(one() is not None for one in alive) <= 2 * len(pictures), "this row, the last"
        alive.extend(weakref.ref(one if one.base is None else one.base) for one in pictures)

    assert RosbagReader("robot.yaml").process_rosbag_chunked(bag, frame_callback, 7) == 20


def joints(sample: int) -> np.ndarray:
    """What the bag was written with."""
    return np.sin(sample / 20 + np.arange(3))


def test_the_script_of_the_page_runs(bag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert snippet("RosbagReader(")["frames"] == 20
    assert len(capsys.readouterr().out.splitlines()) == 20
