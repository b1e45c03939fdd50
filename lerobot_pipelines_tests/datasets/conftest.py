from __future__ import annotations

from pathlib import Path

import pytest

from lerobot_pipelines.config.schema import Format
from lerobot_pipelines_tests.datasets.episodes import Bucket, toy_config


@pytest.fixture
def bucket(tmp_path: Path) -> Bucket:
    return Bucket(toy_config(tmp_path / "bucket"), tmp_path / "scratch")


@pytest.fixture(params=list(Format), ids=lambda fmt: fmt.value)
def fmt(request: pytest.FixtureRequest) -> Format:
    found: Format = request.param
    return found
