"""``lerobot-pipelines record``: lerobot's own recording command, three versions, every row.

The robot is the package ``lerobot_robot`` beside this file; it counts what it shows. What the
command of lerobot 0.3.3 and 0.4.4 needs beside lerobot is in ``lerobot_record_*.txt``.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import lerobot_pipelines
from lerobot_pipelines_tests.conformance.shared import lerobot_python_of, rows_loaded

pytestmark = [
    pytest.mark.conformance,
    pytest.mark.timeout(1200),
    pytest.mark.parametrize("lerobot", ["0.3", "0.4", "0.6"]),
]

ROBOT = "lerobot_pipelines_tests.conformance.lerobot_robot"
COMMAND = (sys.executable, "-m", "lerobot_pipelines.cli", "record")
FPS = 20
ASYNC = (
    "--dataset.async_saving=true",
    "--dataset.async_save_queue_size=5",
    "--dataset.async_save_timeout=300.0",
)


class Recording:
    """A run of the command into ``root``."""

    def __init__(self, lerobot: str, folder: Path, episodes: int = 3, **environment: str) -> None:
        self.root = folder / "dataset"
        self.lerobot = lerobot_python_of(lerobot)
        self._times = folder / "times"
        self._arguments = [
            f"--robot.discover_packages_path={ROBOT}",
            "--robot.type=mock_robot",
            "--teleop.type=mock_teleop",
            "--dataset.repo_id=tests/recorded",
            f"--dataset.root={self.root}",
            "--dataset.single_task=count",
            f"--dataset.fps={FPS}",
            f"--dataset.num_episodes={episodes}",
            "--dataset.episode_time_s=0.6",
            "--dataset.reset_time_s=0.2",
            "--dataset.push_to_hub=false",
            "--play_sounds=false",
        ]
        self._environment = {
            **os.environ,
            "HF_HUB_OFFLINE": "1",
            "HF_LEROBOT_HOME": str(folder / "home"),
            "PYTHONPATH": str(Path(lerobot_pipelines.__file__).parents[1]),
            "TEST_TIMES": str(self._times),
            **environment,
        }

    def start(self, *more: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*COMMAND, "--python", self.lerobot, "--", *self._arguments, *more],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self._environment,
        )

    def run(self, *more: str) -> tuple[int, str]:
        return self.ended(self.start(*more))

    def ended(self, process: subprocess.Popen[str]) -> tuple[int, str]:
        """The exit code, and what it said."""
        said, _ = process.communicate()
        if process.returncode == 2 and "which is not installed beside" in said:
            pytest.skip(said.strip().splitlines()[-1])
        return process.returncode, said

    def longest_pause(self) -> float:
        """Between two observations of the robot, in s."""
        times = [json.loads(line)[1] for line in self._times.read_text().splitlines()]
        return float(np.diff(times).max())

    def observations(self) -> int:
        return len(self._times.read_text().splitlines()) if self._times.exists() else 0

    def check(self, episodes: int) -> None:
        """Every row shows what its joint says, episodes are whole, in order, and apart."""

        # As the robot has it, which only lerobot's interpreter can import.
        def shade(number: np.ndarray) -> np.ndarray:
            return 37 * number % 211 + 20

        rows = rows_loaded(self.lerobot, self.root, ["front"])
        numbers = rows["observation.state"].reshape(-1).astype(int)
        np.testing.assert_array_equal(rows["action"].reshape(-1).astype(int), numbers)
        seen = rows["front"].mean(axis=(1, 2, 3))
        assert np.abs(seen - shade(numbers)).max() < 4
        assert set(rows["task"].tolist()) == {"count"}
        np.testing.assert_array_equal(rows["index"], np.arange(len(numbers)))
        assert sorted(set(rows["episode_index"].tolist())) == list(range(episodes))
        steps = np.diff(numbers)
        inside = np.diff(rows["episode_index"]) == 0
        assert (steps[inside] == 1).all() and (steps[~inside] > 1).all()
        for episode in range(episodes):
            mine = rows["frame_index"][rows["episode_index"] == episode]
            np.testing.assert_array_equal(mine, np.arange(len(mine)))


def test_episodes_are_saved_while_the_next_are_recorded(lerobot: str, tmp_path: Path) -> None:
    recording = Recording(lerobot, tmp_path, TEST_SAVE_S="3")
    code, said = recording.run(*ASYNC)
    assert code == 0, said[-3000:]
    assert "3 of 3 episodes saved" in said
    assert "Recording episode 2" in said, "what is under way counts in what is announced"
    assert recording.longest_pause() < 3, "the robot was left alone while an episode was saved"
    recording.check(3)
    assert not list(tmp_path.glob(".*spool*")), "nothing is left to do"

    # Once more into the same dataset, which lerobot reopens.
    code, said = recording.run(*ASYNC, "--resume=true")
    assert code == 0, said[-3000:]
    assert "3 of 3 episodes saved" in said
    rows = rows_loaded(recording.lerobot, recording.root, ["front"])
    assert set(rows["episode_index"].tolist()) == set(range(6))


def test_without_the_option_it_is_lerobots_command(lerobot: str, tmp_path: Path) -> None:
    recording = Recording(lerobot, tmp_path, episodes=2)
    code, said = recording.run()
    assert code == 0, said[-3000:]
    recording.check(2)


def test_a_lost_episode_is_named_and_the_exit_code_says_so(lerobot: str, tmp_path: Path) -> None:
    recording = Recording(lerobot, tmp_path, TEST_FAIL_SAVE="1")
    code, said = recording.run(*ASYNC)
    assert code == 1, said[-3000:]
    assert "2 of 3 episodes saved" in said
    assert "episode 1 is NOT in the dataset: OSError: [Errno 28] No space left" in said
    assert "recover" in said
    recording.check(2)


def test_ctrl_c_keeps_every_finished_episode(lerobot: str, tmp_path: Path) -> None:
    recording = Recording(lerobot, tmp_path, episodes=50, TEST_SAVE_S="1")
    process = recording.start(*ASYNC)
    # Two episodes and their resets, and a bit of the third.
    deadline = time.monotonic() + 300
    while recording.observations() < 40 and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    code, said = recording.ended(process)
    assert code == 130, said[-3000:]
    line = next(line for line in said.splitlines() if line.endswith("episodes saved"))
    saved, total = (int(word) for word in line.split() if word.isdigit())
    assert saved == total >= 2
    recording.check(saved)


def test_values_that_cannot_be_are_refused(lerobot: str, tmp_path: Path) -> None:
    recording = Recording(lerobot, tmp_path)
    code, said = recording.run(ASYNC[0], "--dataset.async_save_queue_size=0")
    assert code == 2, said[-3000:]
    assert "error: --dataset.async_save_queue_size must be positive, not 0" in said
    assert "Traceback" not in said
    assert not recording.root.exists()
