"""The Dagster home: written once, kept as a person changed it, limits really set."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
import yaml

from lerobot_pipelines.defs.home import prepare_home, settings
from lerobot_pipelines.defs.pools import ensure_limits, wanted_limits

PREPARE = (
    "import sys; from pathlib import Path; "
    "from lerobot_pipelines.defs.home import prepare_home; prepare_home(Path(sys.argv[1]))"
)


def limits_of(home: Path) -> dict[str, int]:
    with dg.DagsterInstance.from_config(str(home)) as instance:
        return {pool.name: pool.limit for pool in instance.event_log_storage.get_pool_limits()}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home of one") / "dagster home"
    prepare_home(folder)
    return folder


def test_the_settings_are_accepted_by_dagster_and_lie_in_the_home(home: Path) -> None:
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert instance.run_retries_enabled
        assert instance.run_monitoring_enabled
        assert not instance.telemetry_enabled
        assert instance.run_retries_max_retries == 2
        assert instance.run_coordinator.dequeue_interval_seconds == 1  # type: ignore[attr-defined]
        assert instance.get_runs_count() == 0
    assert list(home.rglob("runs.db"))


def test_every_writer_pool_has_an_explicit_limit_of_one(home: Path) -> None:
    limits = limits_of(home)
    assert limits["encode"] >= 1
    assert limits["dataset_demo"] == 1


def test_preparing_again_keeps_what_a_person_changed(home: Path) -> None:
    file = home / "dagster.yaml"
    changed = file.read_text().replace("max_retries: 2", "max_retries: 1")
    file.write_text(changed)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        instance.event_log_storage.set_concurrency_slots("encode", 7)
    prepare_home(home)
    assert file.read_text() == changed
    assert limits_of(home)["encode"] == 7
    assert [path.name for path in home.glob(".dagster.yaml*")] == []


def test_two_processes_may_prepare_one_home_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PREPARE, str(tmp_path / "home")]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(2)]
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors.decode()[-2000:]


def test_runs_in_progress_follow_the_cores(tmp_path: Path) -> None:
    many = yaml.safe_load(settings(tmp_path, cores=16))["concurrency"]["runs"]
    assert many["max_concurrent_runs"] == 16
    assert many["tag_concurrency_limits"] == [{"key": "dagster/backfill", "limit": 15}]
    few = yaml.safe_load(settings(tmp_path, cores=1))["concurrency"]["runs"]
    assert few["max_concurrent_runs"] == 2


def test_a_new_dataset_gets_its_limit_and_others_keep_theirs() -> None:
    with dg.instance_for_test() as instance:
        storage = instance.event_log_storage
        ensure_limits(instance, wanted_limits({"a": None}, cores=8))
        storage.set_concurrency_slots("encode", 1)
        ensure_limits(instance, wanted_limits({"a": None, "b": None}, cores=8))
        limits = {pool.name: pool.limit for pool in storage.get_pool_limits()}
        assert limits == {"encode": 1, "dataset_a": 1, "dataset_b": 1}


def test_a_second_writer_of_a_dataset_waits_for_the_first(home: Path) -> None:
    with dg.DagsterInstance.from_config(str(home)) as instance:
        storage = instance.event_log_storage
        first = storage.claim_concurrency_slot("dataset_demo", "run-1", "demo__lerobot_dataset")
        second = storage.claim_concurrency_slot("dataset_demo", "run-2", "demo__lerobot_dataset")
        assert (first.is_claimed, second.is_claimed) == (True, False)
        storage.free_concurrency_slots_for_run("run-1")
        again = storage.claim_concurrency_slot("dataset_demo", "run-2", "demo__lerobot_dataset")
        assert again.is_claimed
        storage.free_concurrency_slots_for_run("run-2")
