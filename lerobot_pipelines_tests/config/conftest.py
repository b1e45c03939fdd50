from __future__ import annotations

from pathlib import Path

import pytest

from lerobot_pipelines_tests.config.loading import Loader


@pytest.fixture
def loader(tmp_path: Path) -> Loader:
    return Loader(tmp_path)
