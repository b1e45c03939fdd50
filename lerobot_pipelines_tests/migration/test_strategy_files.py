"""``convert`` with the strategy files of the dual-arm converter, run from the root of their
repository as their owners run it; rows against the slow reference."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lerobot_pipelines_tests.migration.repository import Repository, record, text
from lerobot_pipelines_tests.migration.running import assert_rows, dataset_of, ran

pytestmark = pytest.mark.filterwarnings("ignore::lerobot_pipelines.errors.PipelineWarning")

CHUNKING, DUAL = text("chunking.yaml"), text("dual_arm_chunking.yaml")
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
    assert not [path for path in (owned.root / "config").rglob("*") if path.suffix != ".yaml"][2:]


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


def test_a_file_without_paths(owned: Repository) -> None:
    recording = record(owned.root / "data", "episode_0001", DUAL, seed=4)
    ran(*("convert", "-c", "config/dual_arm_chunking.yaml", "--input", "data", "--output", "out"))
    assert_rows(owned.root / "out", recording, DUAL)


def test_the_file_of_a_service_names_the_strategy_file(owned: Repository) -> None:
    recording = record(owned.root / "data", "episode_0001", CHUNKING, seed=5)
    ran("convert", "-c", "config/storage.yaml", "--input", "data", "--output", "out")
    assert_rows(owned.root / "out", recording, CHUNKING)
    assert "episode_0001_chunking" in str(dataset_of(owned.root / "out"))


def test_both_formats_if_asked(owned: Repository) -> None:
    record(owned.root / INPUT, "episode_0001", CHUNKING, seed=6)
    ran("convert", "-c", STRATEGY_FILE, "--format", "v2.1", "--format", "v3.0")
    for version in ("v2.1", "v3.0"):
        dataset = dataset_of(owned.root / OUTPUT, version)
        ran("verify", dataset, "--no-decode")
