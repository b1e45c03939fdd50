from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lerobot_pipelines.config.schema import Format
from lerobot_pipelines_tests.cli.calling import call
from lerobot_pipelines_tests.conftest import Converted


@pytest.mark.parametrize("fmt", list(Format))
def test_a_sound_dataset_is_exit_code_0(converted: Converted, fmt: Format) -> None:
    outcome = call("verify", converted.dataset(fmt))
    assert outcome.code == 0, outcome.stdout
    assert f": sound ({fmt}, 3 episodes, " in outcome.stdout


def test_a_defect_is_exit_code_1_and_listed(converted: Converted, tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    shutil.copytree(converted.dataset(Format.V30), root)
    next(root.rglob("*.mp4")).unlink()
    outcome = call("verify", root)
    assert outcome.code == 1
    assert ".mp4" in outcome.stdout
    as_json = call("verify", root, "--no-decode", "--json")
    assert as_json.code == 1
    assert as_json.json()["ok"] is False
    assert as_json.json()["findings"]


def test_another_folder_is_exit_code_2(tmp_path: Path) -> None:
    outcome = call("verify", tmp_path)
    assert outcome.code == 2
    assert "not a LeRobot dataset" in outcome.stderr
