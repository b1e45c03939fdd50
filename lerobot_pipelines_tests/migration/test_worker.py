"""``worker`` as it was started, with the real daemon: it converts the episodes of its robot."""

from __future__ import annotations

import signal

import pytest

from lerobot_pipelines_tests.integration.test_watch import watching
from lerobot_pipelines_tests.migration.repository import Repository, record, text
from lerobot_pipelines_tests.migration.running import assert_rows, ran

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore::lerobot_pipelines.errors.PipelineWarning"),
]

ROBOT = text("dual_arm_chunking.yaml")


def test_a_worker_converts_the_episodes_of_its_robot(owned: Repository) -> None:
    bucket = owned.root / "bucket"
    recording = record(bucket / "raw/robot_1", "episode_0001", ROBOT, seed=1)
    record(bucket / "raw/robot_2", "episode_0001", ROBOT, seed=2)
    where = ["-c", "config/redis_config.yaml", "--set", f"storage.url={bucket}"]
    prompt = ["--interval", "2", "--set", "storage.scanner.quiet_period_s=0"]

    def is_there() -> bool:
        return any(bucket.glob("*/robot_1/episode_0001_chunking/v2.1/meta/info.json"))

    words = ["worker", *where, "-s", "robot_1", "--max-workers", "4", *prompt]
    with watching(owned.root, *words) as worker:
        worker.wait_for("the dataset of robot_1", is_there)
        assert worker.stop(signal.SIGTERM) == 0, worker.text
    (place,) = bucket.glob("*/robot_1/episode_0001_chunking")
    assert_rows(place, recording, ROBOT)
    sources = {one["source"]: one for one in ran("monitor", *where, "--json").json()["sources"]}
    assert sources["robot_1"]["converted"] == 1
    assert (sources["robot_2"]["converted"], sources["robot_2"]["pending"]) == (0, 1)
