from __future__ import annotations

from pathlib import Path

import pytest

from lerobot_pipelines_tests.migration.repository import PLACES, Repository


@pytest.fixture
def owned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """An owner's repository with all files, which is also the working directory."""
    monkeypatch.chdir(tmp_path)
    for name in ("ROBOT_ID", "LEROBOT_TEMP_DIR", "DAGSTER_HOME", "LEROBOT_PIPELINES_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    repository = Repository(tmp_path)
    repository.put(*PLACES)
    return repository
