"""Several machines: PostgreSQL, Redis, two Celery workers, one of which loses its power."""

from __future__ import annotations

from pathlib import Path

import pytest
from dagster import DagsterRun, DagsterRunStatus
from dagster._core.storage.tags import WILL_RETRY_TAG

from lerobot_pipelines.config.schema import Format
from lerobot_pipelines.datasets.verify import verify_dataset
from lerobot_pipelines.defs import naming
from lerobot_pipelines.pipeline.artifacts import records_folder
from lerobot_pipelines.pipeline.dataset import is_up_to_date
from lerobot_pipelines_tests.integration.cluster import Fleet, running_fleet
from lerobot_pipelines_tests.integration.servers import missing_parts
from lerobot_pipelines_tests.integration.services import wait_for

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(600),
    pytest.mark.skipif(bool(missing_parts()), reason=f"missing: {', '.join(missing_parts())}"),
]

EPISODES = 40
BEFORE_THE_LOSS = 12
# A lost worker is noticed after 30 to 50 s, and every wait ends as soon as it can.
PATIENCE_S = 300.0


def converted(fleet: Fleet) -> int:
    """How many episodes have their verdict; a run that failed for good ends the wait for more."""
    failed = fleet.runs(DagsterRunStatus.FAILURE)
    assert not [run for run in failed if run.tags.get(WILL_RETRY_TAG) == "false"], failed
    workspace = fleet.workspace
    return sum(1 for _ in workspace.storage.list(records_folder(workspace)))


def test_forty_episodes_survive_the_loss_of_one_of_two_workers(tmp_path: Path) -> None:
    keys = [f"block/episode_{number:04d}" for number in range(EPISODES)]
    with running_fleet(tmp_path) as fleet:
        fleet.upload(keys)
        fleet.start("daemon")
        wait_for("some episodes", lambda: converted(fleet) >= BEFORE_THE_LOSS, PATIENCE_S)
        lost = wait_for("a run to lose", lambda: fleet.kill_while_converting("one"), PATIENCE_S)

        wait_for("all episodes", lambda: converted(fleet) == EPISODES, PATIENCE_S)
        workspace = fleet.workspace

        def settled() -> bool:
            runs = fleet.runs()
            retried = any(run.parent_run_id == lost.run_id for run in runs)
            return retried and all(run.is_finished for run in runs) and is_up_to_date(workspace)

        wait_for("the dataset", settled, PATIENCE_S)

        shared = fleet.runs_by_worker()
        assert min(shared["one"], shared["two"]) >= BEFORE_THE_LOSS // 4, shared
        runs: dict[str, list[DagsterRun]] = {}
        for run in fleet.runs():
            runs.setdefault(run.tags[naming.EPISODE_TAG], []).append(run)
        assert len(runs) == EPISODES
        again, first = runs.pop(lost.tags[naming.EPISODE_TAG])
        assert first.run_id == lost.run_id == again.parent_run_id
        assert first.status is DagsterRunStatus.FAILURE
        assert fleet.worker_of(again) == "two"
        assert again.status is DagsterRunStatus.SUCCESS
        for episode, attempts in runs.items():
            assert [run.status for run in attempts] == [DagsterRunStatus.SUCCESS], episode
        for fmt in Format:
            report = verify_dataset(fleet.bucket / "converted" / "demo" / fmt)
            assert report.ok, report.findings
            assert report.episodes == EPISODES
