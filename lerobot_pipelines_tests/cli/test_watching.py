"""What the service does around Dagster's daemon, on a real Dagster home without one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.remote_origin import (
    InProcessCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._utils.error import SerializableErrorInfo

from lerobot_pipelines.cli import run_lines
from lerobot_pipelines.cli.processes import ServiceError
from lerobot_pipelines.cli.run_lines import RunLines
from lerobot_pipelines.cli.watching import TickFaults, hand_back, limit_runs, turn_on
from lerobot_pipelines.defs.home import prepare_home


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    prepare_home(tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def records(home: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield instance


def a_run(records: dg.DagsterInstance, status: dg.DagsterRunStatus, **tags: str) -> dg.DagsterRun:
    @dg.job
    def demo_episode() -> None: ...

    run = records.create_run_for_job(demo_episode, tags=tags)
    if status is not dg.DagsterRunStatus.NOT_STARTED:
        records.report_dagster_event(
            dg.DagsterEvent("PIPELINE_START", demo_episode.name), run.run_id
        )
    return run


def status_of(records: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRunStatus:
    found = records.get_run_by_id(run.run_id)
    assert found is not None
    return found.status


def test_runs_whose_processes_are_gone_are_handed_back(
    records: dg.DagsterInstance, capsys: pytest.CaptureFixture[str]
) -> None:
    waiting = a_run(records, dg.DagsterRunStatus.NOT_STARTED)
    gone = [a_run(records, dg.DagsterRunStatus.STARTED) for _ in range(2)]
    assert hand_back(records) == 2
    assert {status_of(records, run) for run in gone} == {dg.DagsterRunStatus.FAILURE}
    assert status_of(records, waiting) is dg.DagsterRunStatus.NOT_STARTED
    assert "2 runs handed back" in capsys.readouterr().out
    assert hand_back(records) == 0


def test_runs_of_another_launcher_are_not_this_machines() -> None:
    with dg.DagsterInstance.ephemeral() as records:
        run = a_run(records, dg.DagsterRunStatus.STARTED)
        assert hand_back(records) == 0
        assert status_of(records, run) is dg.DagsterRunStatus.STARTED


def test_the_number_of_runs_at_once_is_written_and_read_by_dagster(home: Path) -> None:
    limit_runs(home, 7)
    limit_runs(home, 7)
    written = yaml.safe_load((home / "dagster.yaml").read_text())
    assert written["concurrency"]["runs"]["max_concurrent_runs"] == 7
    with dg.DagsterInstance.from_config(str(home)) as records:
        queue = records.get_concurrency_config().run_queue_config
        assert queue is not None and queue.max_concurrent_runs == 7
    (home / "dagster.yaml").write_text("storage: {}\n")
    with pytest.raises(ServiceError, match="no line max_concurrent_runs"):
        limit_runs(home, 3)


def a_sensor(name: str, status: InstigatorStatus) -> InstigatorState:
    location = InProcessCodeLocationOrigin(LoadableTargetOrigin(module_name="x"))
    origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, "repository"), name)
    kind = dg._core.definitions.run_request.InstigatorType.SENSOR  # type: ignore[attr-defined]
    return InstigatorState(origin, kind, status, SensorInstigatorData())


def test_what_was_stopped_runs_again(
    records: dg.DagsterInstance, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, status in (
        ("a_bucket", InstigatorStatus.STOPPED),
        ("b_bucket", InstigatorStatus.RUNNING),
    ):
        records.add_instigator_state(a_sensor(name, status))
    turn_on(records)
    states = {one.instigator_name: one.status for one in records.all_instigator_state()}
    assert set(states.values()) == {InstigatorStatus.RUNNING}
    assert capsys.readouterr().out.count("runs again") == 1


def test_a_sensor_that_fails_is_told_once_until_it_fails_otherwise(
    records: dg.DagsterInstance,
) -> None:
    state = a_sensor("a_bucket", InstigatorStatus.RUNNING)
    records.add_instigator_state(state)
    faults = TickFaults(records)

    def tick(message: str | None, when_s: float) -> None:
        error = None if message is None else SerializableErrorInfo(message, [], "Exception")
        status = TickStatus.SKIPPED if error is None else TickStatus.FAILURE
        records.create_tick(
            TickData(
                instigator_origin_id=state.instigator_origin_id,
                instigator_name=state.instigator_name,
                instigator_type=state.instigator_type,
                status=status,
                timestamp=when_s,
                selector_id=state.selector_id,
                error=error,
            )
        )

    now_s = time.time()
    tick("what another service saw", now_s - 100)
    assert list(faults.new()) == []
    tick("StoreRejected: the keys are wrong\n", now_s + 1)
    assert list(faults.new()) == ["a_bucket: StoreRejected: the keys are wrong"]
    tick("StoreRejected: the keys are wrong\n", now_s + 2)
    assert list(faults.new()) == []
    tick(None, now_s + 3)
    assert list(faults.new()) == []
    tick("StoreRejected: the keys are wrong\n", now_s + 4)
    assert list(faults.new()) == ["a_bucket: StoreRejected: the keys are wrong"]
    assert faults.newest_s == now_s + 4


def test_a_lost_run_is_told_and_what_ended_before_is_not(records: dg.DagsterInstance) -> None:
    tags = {"lerobot_pipelines/episode": "block~a=1Bb", "dagster/partition": "block~a=1Bb"}
    earlier = a_run(records, dg.DagsterRunStatus.STARTED, **tags)
    records.report_run_failed(earlier, "before")
    told: list[str] = []
    lines = RunLines(records, told.append)
    lines.look()
    assert told == []
    run = a_run(records, dg.DagsterRunStatus.STARTED, **tags)
    lines.look()
    records.report_run_failed(run, "its worker was killed")
    lines.look()
    lines.look()
    assert [line.split()[1] for line in told] == ["found", "run"]
    assert "lost, tried again: its worker was killed" in told[1]
    assert lines.counts == {"lost": 1}


def test_a_run_that_waits_long_in_the_queue_is_found_once(
    records: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    lines = RunLines(records, told.append)
    tags = {"lerobot_pipelines/episode": "block~a", "dagster/partition": "block~a"}
    run = a_run(records, dg.DagsterRunStatus.NOT_STARTED, **tags)
    lines.look()
    monkeypatch.setattr(run_lines, "_OVERLAP_S", -5.0)  # as after a longer wait
    lines.look()
    monkeypatch.setattr(run_lines, "_OVERLAP_S", 10.0)
    records.report_dagster_event(dg.DagsterEvent("PIPELINE_START", run.job_name), run.run_id)
    lines.look()
    assert [line.split()[:2] for line in told] == [["block/a", "found"]]
