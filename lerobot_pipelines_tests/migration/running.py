"""Runs command lines, and compares the dataset that came out with the slow reference."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lerobot_pipelines_tests.cli.calling import Outcome, call
from lerobot_pipelines_tests.migration.expected import assert_equal, dataset_rows, expected_rows


def ran(*words: object, code: int = 0) -> Outcome:
    """What ``lerobot-pipelines WORDS...`` printed; it has to end with that exit code."""
    done = call(*words)
    assert done.code == code, f"{words}: {done.stdout}{done.stderr}"
    return done


def dataset_of(folder: Path, version: str = "v2.1") -> Path:
    """The one dataset of that format version below a folder."""
    (info,) = (
        path
        for path in folder.rglob("meta/info.json")
        if json.loads(path.read_text())["codebase_version"] == version
    )
    return info.parents[1]


def assert_rows(
    folder: Path,
    recording: Path,
    robot: Mapping[str, Any],
    strategy: str | None = None,
    **changes: Any,
) -> None:
    """The one dataset below ``folder`` is v2.1, where scripts look for it, and of this recording.

    ``robot``, ``strategy`` and ``changes`` as in ``expected.expected_rows``.
    """
    cameras = [camera["name"] for camera in robot["cameras"]]
    dataset = dataset_of(folder)
    assert (dataset / "data/chunk-000/episode_000000.parquet").is_file()
    assert (dataset / "meta/episodes.jsonl").is_file()
    wanted = expected_rows(recording, robot, strategy, **changes)
    assert_equal(dataset_rows(dataset, cameras), wanted)
