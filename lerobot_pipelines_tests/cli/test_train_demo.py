from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from lerobot_pipelines.cli.program import run
from lerobot_pipelines.config.schema import Format
from lerobot_pipelines_tests.datasets.episodes import Bucket, toy_config
from lerobot_pipelines_tests.loading.conftest import toy_dataset

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None,
    reason="loading needs PyTorch: install the extra train",
)


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_small_policy_learns_and_its_loss_is_plotted(
    tmp_path: Path, ranks: int, capsys: pytest.CaptureFixture[str]
) -> None:
    root, plot = toy_dataset(tmp_path / "toy"), tmp_path / "loss.png"
    order = ["train-demo", str(root), "--output", str(plot), "--seconds", "0.1", "--workers", "0"]
    code = run([*order, "--ranks", str(ranks)])
    assert code in (0, 1)  # so few noisy rows need not be learnt in three epochs
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert "held out" in capsys.readouterr().out


def test_chunks_that_a_dataset_holds_are_what_is_predicted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = toy_dataset(tmp_path / "toy", chunk=4)
    plot = ["--output", str(tmp_path / "loss.png")]
    assert run(["train-demo", str(root), "--seconds", "0.1", "--workers", "0", *plot]) in (0, 1)
    assert "held out" in capsys.readouterr().out


def test_a_single_episode_is_trained_on_and_that_none_is_held_out_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket = Bucket(toy_config(tmp_path / "bucket"), tmp_path / "scratch")
    bucket.put("e0", 20)
    bucket.update(Format.V30)
    plot = ["--output", str(tmp_path / "loss.png")]
    order = ["train-demo", str(bucket.root(Format.V30)), "--seconds", "0.1", "--workers", "0"]
    assert run([*order, *plot]) in (0, 1)
    told = capsys.readouterr().out
    assert "so none is held out" in told and "none held out" in told


def test_what_is_no_dataset_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train-demo", str(tmp_path)]) == 1
    assert "meta/info.json" in capsys.readouterr().err
