"""The example that people copy from."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lerobot_pipelines.datasets.verify import verify_dataset

EXAMPLE = [sys.executable, "-m", "lerobot_pipelines.recorder.example"]
SHORT = ["--takes", "2", "--seconds", "0.5"]


def run(folder: Path, *options: str) -> str:
    command = [*EXAMPLE, str(folder), *SHORT, *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if done.returncode:
        pytest.fail(done.stderr)
    return done.stdout.splitlines()[-1]


def test_it_records_raw_episodes(tmp_path: Path) -> None:
    folder = Path(run(tmp_path / "recordings"))
    assert len(list(folder.rglob("cam_high/*.jpg"))) == 2 * 15


def test_it_records_a_dataset(tmp_path: Path) -> None:
    report = verify_dataset(Path(run(tmp_path / "recordings", "--lerobot")))
    assert report.ok, report.findings
    assert report.episodes == 2
