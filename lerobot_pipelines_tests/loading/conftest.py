from __future__ import annotations

from pathlib import Path

import pytest

from lerobot_pipelines.config.schema import Format
from lerobot_pipelines_tests.datasets.episodes import Bucket, toy_config


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> None:
    """Without PyTorch these modules cannot be imported."""
    pytest.importorskip("torch", reason="loading needs PyTorch: install the extra train")


@pytest.fixture(autouse=True)
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEROBOT_PIPELINES_CACHE", str(tmp_path / "caches"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A v3.0 dataset of 34 rows in three episodes of uneven length."""
    return toy_dataset(tmp_path / "toy")


def toy_dataset(folder: Path, fmt: Format = Format.V30, *, seed: int = 0, **put: object) -> Path:
    """Episodes of 9, 14 and 11 rows with the tasks ``pick`` and ``place``."""
    bucket = Bucket(toy_config(folder / "bucket"), folder / "scratch")
    for number, (rows, task) in enumerate(((9, "pick"), (14, "place"), (11, "pick"))):
        bucket.put(f"e{number}", rows, seed=seed + number, task=task, **put)  # type: ignore[arg-type]
    bucket.update(fmt)
    return bucket.root(fmt)
