"""``convert`` with the strategy files of the dual-arm converter, run from the root of their
repository as their owners run it; rows against the slow reference."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lerobot_pipelines_tests.migration.repository import Repository, record, text
from lerobot_pipelines_tests.migration.running import assert_rows, dataset_of, ran

pytestmark = pytest.mark.filterwarnings("ignore::lerobot_pipelines.errors.PipelineWarning")

CHUNKING = text("chunking.yaml")
INPUT, OUTPUT = CHUNKING["input"]["data_path"], CHUNKING["output"]["base_path"]
STRATEGY_FILE = "config/strategies/chunking.yaml"
# Of the older converter, where a file of another strategy is asked for averages.
OLDER_WINDOW_MS = 20


def test_a_file_gives_its_rows_where_it_says(owned: Repository) -> None:
    recording = record(owned.root / INPUT, "episode_0001", CHUNKING, seed=1)
    ran("convert", "-c", STRATEGY_FILE)
    assert_rows(owned.root / OUTPUT, recording, CHUNKING)
    dataset = dataset_of(owned.root / OUTPUT)
    info = json.loads((dataset / "meta/info.json").read_text())
    assert CHUNKING["output"]["dataset_name"] in str(dataset)
    assert (info["fps"], info["robot_type"]) == (25, "dual_arm")
    files = [path for path in (owned.root / "config").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".yaml"}  # nothing lies beside the YAML


@pytest.mark.parametrize(
    ("options", "strategy", "changes"),
    [
        (["--chunk-size", "15"], None, {"chunk_size": 15}),
        (["--strategy", "window"], "window", {"window_ms": OLDER_WINDOW_MS}),
        (["--strategy", "nearest", "--output", "elsewhere"], "nearest", {}),
        (["--strategy", "window", "--chunk-size", "15", "--output", "elsewhere"], "window",
         {"window_ms": OLDER_WINDOW_MS}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_one_episode_with_options(
    owned: Repository, options: list[str], strategy: str | None, changes: dict[str, Any]
) -> None:
    recording = record(owned.root / INPUT, "episode_0001", CHUNKING, seed=2)
    record(owned.root / INPUT, "episode_0002", CHUNKING, seed=3)
    ran("convert", "-c", STRATEGY_FILE, "-e", "episode_0001", *options)
    place = "elsewhere" if "--output" in options else OUTPUT
    assert_rows(owned.root / place, recording, CHUNKING, strategy, **changes)
