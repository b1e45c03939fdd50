"""The page on migration: every key of the old files has its line, and its snippets run."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lerobot_pipelines_tests.documents.texts import read
from lerobot_pipelines_tests.migration.repository import TEXTS, text
from lerobot_pipelines_tests.migration.snippets import PAGE, snippet

FILES = sorted(path.name for path in TEXTS.glob("*.yaml"))


def keys(content: Any) -> Iterator[str]:
    if isinstance(content, dict):
        for key, value in content.items():
            yield key
            yield from keys(value)
    elif isinstance(content, list):
        for value in content:
            yield from keys(value)


@pytest.mark.parametrize("name", FILES)
def test_every_key_of_an_old_file_is_on_the_page(name: str) -> None:
    spoken_of = set(re.findall(r"\w+", " ".join(re.findall(r"`[^`\n]+`", read(PAGE)))))
    assert set(keys(text(name))) <= spoken_of


def test_rows_are_compared_as_the_page_says(tmp_path: Path) -> None:
    differences = snippet("def differences")["differences"]
    state = np.arange(12, dtype=np.float32).reshape(4, 3)
    action = np.arange(40, dtype=np.float32).reshape(4, 5, 2)  # a chunk of five
    old, new = tmp_path / "old.parquet", tmp_path / "new.parquet"
    write(old, state, action)
    shutil.copyfile(old, new)
    assert differences(old, new) == {}
    action[2, 3, 1] += 0.5
    write(new, state, action)
    assert list(differences(old, new)) == ["action"]
    assert "0.5 apart" in differences(old, new)["action"]
    write(new, state[1:], action[1:])
    assert "shapes (4, 3) and (3, 3)" in differences(old, new)["observation.state"]


def write(file: Path, state: np.ndarray, action: np.ndarray) -> None:
    table = {"observation.state": state.tolist(), "action": action.tolist()}
    pq.write_table(pa.table(table), file)


def test_each_system_has_its_tables() -> None:
    assert len(re.findall(r"^\| old \| new \|", read(PAGE), re.MULTILINE)) >= 9
    (heading,) = re.findall(r"^\| the list .*$", read(PAGE), re.MULTILINE)
    assert text("redis_config.yaml")["redis"]["queue_name"] in heading
