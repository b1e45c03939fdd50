"""The service of several robots: a dataset for each source, episode and strategy, side by side;
counts; episodes that failed, cleared and retried."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from lerobot_pipelines_tests.migration.repository import Repository, record, text
from lerobot_pipelines_tests.migration.running import assert_rows, ran

pytestmark = pytest.mark.filterwarnings("ignore::lerobot_pipelines.errors.PipelineWarning")

SERVICE, ROBOT = text("redis_config.yaml"), text("dual_arm_chunking.yaml")
CONFIG = "config/redis_config.yaml"
STRATEGIES = ("chunking", "window", "nearest")
# The files ask for two processes, which take longer to start than such episodes to convert.
ALONE = ("--max-workers", "1")
LOST_CAMERA = "cam_right"


def test_three_strategies_of_every_source_and_episode_stand_side_by_side(owned: Repository) -> None:
    recordings = {
        (source, episode): record(owned.root / "raw" / source, episode, ROBOT, seed=n)
        for n, (source, episode) in enumerate(
            [("robot_1", "episode_0001"), ("robot_1", "episode_0002"), ("robot_3", "episode_0001")]
        )
    }
    for strategy in STRATEGIES:
        where = ("-c", CONFIG, "--input", "raw", "--output", "out")
        ran("convert", *where, *ALONE, "--strategy", strategy)
    made = sorted(
        folder.relative_to(owned.root / "out").as_posix()
        for folder in (owned.root / "out").glob("*/*")
        if folder.is_dir() and not folder.parent.name.startswith(".")
    )
    assert made == sorted(
        f"{source}/{episode}_{strategy}"
        for source, episode in recordings
        for strategy in STRATEGIES
    )
    for (source, episode), recording in recordings.items():
        for strategy in STRATEGIES:
            folder = owned.root / "out" / source / f"{episode}_{strategy}"
            assert_rows(folder, recording, ROBOT, strategy)


@pytest.fixture(scope="module")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bucket in which three episodes are converted, one failed, and one is new."""
    root = tmp_path_factory.mktemp("fleet")
    owned, bucket = Repository(root), root / "bucket/raw"
    owned.put("redis_config.yaml", "dual_arm_chunking.yaml")
    record(bucket / "robot_1", "episode_0001", ROBOT, seed=1)
    record(bucket / "robot_1", "episode_0002", ROBOT, seed=2)
    record(bucket / "robot_2", "episode_0001", ROBOT, seed=3)
    broken = record(bucket / "robot_2", "episode_0002", ROBOT, seed=4)
    shutil.move(broken / LOST_CAMERA, root / LOST_CAMERA)
    url = f"storage.url={bucket.parent}"
    ran("convert", "-c", owned.path("redis_config.yaml"), "--set", url, *ALONE, code=1)
    record(bucket / "robot_3", "episode_0001", ROBOT, seed=5)
    return root


@pytest.fixture
def fleet(converted: Path, owned: Repository) -> tuple[Any, ...]:
    """``-c FILE`` and so on, of a copy of that bucket."""
    for part in ("bucket", LOST_CAMERA):
        shutil.copytree(converted / part, owned.root / part)
    return ("-c", CONFIG, "--set", f"storage.url={owned.root / 'bucket'}")


def counts(where: tuple[Any, ...], *options: str) -> dict[str, Any]:
    status = ran("monitor", *where, *options, "--json").json()
    per_source = {
        one["source"]: (one["pending"], one["converted"], one["refused"], one["cleared"])
        for one in status["sources"]
    }
    assert [sum(column) for column in zip(*per_source.values(), strict=True)] == [
        status[state] for state in ("pending", "converted", "refused", "cleared")
    ]
    return per_source


def test_the_monitor_counts_what_lies_there(fleet: tuple[Any, ...]) -> None:
    assert list(counts(fleet)) == SERVICE["sources"]
    assert counts(fleet) == {
        "robot_1": (0, 2, 0, 0),
        "robot_2": (0, 1, 1, 0),
        "robot_3": (1, 0, 0, 0),
    }
    shown = ran("monitor", *fleet, "-v").stdout
    assert "robot_2/episode_0002" in shown and "missing_camera" in shown


def test_failed_episodes_are_cleared_and_retried(fleet: tuple[Any, ...], owned: Repository) -> None:
    assert counts(fleet, "--clear-failed")["robot_2"] == (0, 1, 0, 1)
    broken = owned.root / "bucket/raw/robot_2/episode_0002"
    ran("convert", *fleet, *ALONE)  # what is set aside stays so, and is no failure
    assert counts(fleet)["robot_2"] == (0, 1, 0, 1)
    assert counts(fleet)["robot_3"] == (0, 1, 0, 0)
    ran("retry", *fleet, "episode_0002", "-s", "robot_2")
    assert counts(fleet)["robot_2"] == (1, 1, 0, 0)
    ran("convert", *fleet, *ALONE, code=1)
    assert counts(fleet, "--retry-failed")["robot_2"] == (1, 1, 0, 0)
    ran("convert", *fleet, *ALONE, code=1)
    assert counts(fleet)["robot_2"] == (0, 1, 1, 0)
    shutil.move(owned.root / LOST_CAMERA, broken / LOST_CAMERA)  # the upload is completed
    ran("convert", *fleet, *ALONE)
    assert counts(fleet)["robot_2"] == (0, 2, 0, 0)
    assert_rows(folder_of(owned.root / "bucket"), broken, ROBOT)


def folder_of(bucket: Path) -> Path:
    """Where the dataset of the episode that failed first lies."""
    (found,) = bucket.glob("**/robot_2/episode_0002_chunking")
    return found


def test_the_scanner_looks_once(fleet: tuple[Any, ...]) -> None:
    for options in (["--once"], ["--interval", "300", "--once"]):
        assert "3 converted, 1 new, 1 refused" in ran("scanner", *fleet, *options).stdout
    # With its files looked at, the last recording may be too young to be complete.
    shown = ran("scanner", *fleet, "--once", "--full-scan").stdout
    assert "3 converted" in shown and "1 refused" in shown
