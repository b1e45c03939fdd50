"""Where steps keep what they need on this machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lerobot_pipelines.pipeline.workspace import CACHE_VARIABLE, default_cache_dir


def test_each_user_of_a_machine_has_a_cache_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CACHE_VARIABLE, raising=False)
    mine = default_cache_dir()
    monkeypatch.setattr(os, "getuid", lambda: 65_534)
    assert default_cache_dir() != mine
    assert default_cache_dir().parent == mine.parent


def test_the_cache_is_where_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    assert default_cache_dir() == tmp_path
