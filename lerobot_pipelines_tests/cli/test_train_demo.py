from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from lerobot_pipelines.cli.program import run
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


def test_what_is_no_dataset_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train-demo", str(tmp_path)]) == 1
    assert "meta/info.json" in capsys.readouterr().err
