"""The comparison itself: it agrees with a conversion by today's keys, and sees what is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lerobot_pipelines_tests.cli.calling import call
from lerobot_pipelines_tests.migration.expected import (
    Rows,
    assert_equal,
    dataset_rows,
    expected_rows,
)
from lerobot_pipelines_tests.migration.repository import Repository, record, text

ROBOT = text("dual_arm_chunking.yaml")
CAMERAS = [camera["name"] for camera in ROBOT["cameras"]]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A recording and the dataset of it."""
    root = tmp_path_factory.mktemp("repository")
    repository = Repository(root)
    repository.put("dual_arm_chunking.yaml")
    recording = record(root / "data", "episode_0001", ROBOT, seed=1)
    done = call(
        *("convert", repository.path("dual_arm_chunking.yaml"), "--set", f"storage.url={root}"),
        *("--set", "storage.raw_prefix=data", "--format", "v2.1"),
    )
    assert done.code == 0, done.stdout + done.stderr
    return recording, root / "converted/dual_arm_chunking/v2.1"


def test_rows_are_those_of_the_slow_reference(written: tuple[Path, Path]) -> None:
    recording, dataset = written
    assert_equal(dataset_rows(dataset, CAMERAS), expected_rows(recording, ROBOT))


def test_a_row_that_differs_is_seen(written: tuple[Path, Path]) -> None:
    recording, dataset = written
    wanted, rows = expected_rows(recording, ROBOT), dataset_rows(dataset, CAMERAS)
    shifted = {**rows.barcodes, CAMERAS[1]: [*rows.barcodes[CAMERAS[1]][1:], 0]}
    with pytest.raises(AssertionError):
        assert_equal(Rows(rows.values, shifted), wanted)
    moved = [np.asarray(value) + 1e-4 for value in rows.values["action"]]
    with pytest.raises(AssertionError):
        assert_equal(Rows({**rows.values, "action": moved}, rows.barcodes), wanted)
    other = expected_rows(recording, ROBOT, "window")
    with pytest.raises((AssertionError, ValueError)):
        assert_equal(rows, other)
