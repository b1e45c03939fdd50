"""The dataset's sensor: once after a burst, never for nothing, not for ever the same failure."""

from __future__ import annotations

import pytest
from dagster import AssetMaterialization

from lerobot_pipelines.datasets.options import work_folder
from lerobot_pipelines.defs import dataset_sensor
from lerobot_pipelines.pipeline import dataset
from lerobot_pipelines_tests.defs.bucket import Bucket
from lerobot_pipelines_tests.defs.daemon import Daemon

SENSOR = "demo_dataset"


def update(bucket: Bucket) -> None:
    """What a complete update leaves behind."""
    workspace = bucket.workspace
    state = dataset.DatasetState(finished=dataset.finished_fingerprint(workspace))
    key = f"{work_folder(workspace.config)}/dataset_state.json"
    workspace.storage.write(key, state.model_dump_json().encode())


def finish_burst(daemon: Daemon, first: int, count: int) -> None:
    for number in range(first, first + count):
        daemon.bucket.put(f"block/episode_{number}")
    daemon.finish(daemon.tick())


def test_a_burst_gives_one_update_after_its_last_episode(daemon: Daemon) -> None:
    for number in range(3):
        daemon.bucket.put(f"block/episode_{number}")
    runs = daemon.tick()
    daemon.finish(runs[:2])
    assert daemon.tick(SENSOR) == []
    assert "queued or in progress" in daemon.skip_message
    daemon.finish(runs[2:])
    updates = daemon.tick(SENSOR)
    assert [run.job_name for run in updates] == ["demo_update"]
    assert daemon.tick(SENSOR) == []
    assert "under way" in daemon.skip_message
    update(daemon.bucket)
    daemon.finish(updates)
    assert daemon.tick(SENSOR) == []
    assert "holds every finished episode" in daemon.skip_message


def test_episodes_that_finish_during_an_update_get_one_of_their_own(daemon: Daemon) -> None:
    finish_burst(daemon, 0, 1)
    updates = daemon.tick(SENSOR)
    update(daemon.bucket)
    finish_burst(daemon, 1, 1)
    daemon.finish(updates)
    assert len(daemon.tick(SENSOR)) == 1


def test_a_set_of_episodes_that_comes_back_is_built_again(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lerobot_pipelines.storage.local.etag_of", lambda status: "etag")
    finish_burst(daemon, 0, 1)
    for _ in range(2):
        daemon.finish(daemon.tick(SENSOR))
        update(daemon.bucket)
        finish_burst(daemon, 1, 1)
        daemon.finish(daemon.tick(SENSOR))
        update(daemon.bucket)
        record = "work/demo/records/block~episode_1.json"
        daemon.bucket.workspace.storage.delete(record)
        break
    assert len(daemon.tick(SENSOR)) == 1


def test_an_update_that_keeps_failing_is_given_up_and_said_so(daemon: Daemon) -> None:
    finish_burst(daemon, 0, 1)
    requested = 0
    for _ in range(5):
        runs = daemon.tick(SENSOR)
        requested += len(runs)
        daemon.finish(runs, convert=False)
    assert requested == dataset_sensor.MOST_ATTEMPTS
    assert "did not complete" in daemon.skip_message


def test_a_fleet_that_never_rests_still_gets_its_dataset(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish_burst(daemon, 0, 1)
    daemon.bucket.put("block/episode_1")
    assert len(daemon.tick()) == 1  # and stays queued
    assert daemon.tick(SENSOR) == []
    monkeypatch.setattr(dataset_sensor, "LONGEST_WAIT_S", -1)
    assert len(daemon.tick(SENSOR)) == 1


def test_the_list_of_refusals_is_reported_when_it_changes_and_only_then(daemon: Daemon) -> None:
    def reported() -> list[int]:
        daemon.tick(SENSOR)
        assert daemon.last is not None
        events = [e for e in daemon.last.asset_events if isinstance(e, AssetMaterialization)]
        assert all(e.asset_key.path == ["demo", "refused_episodes"] for e in events)
        return [int(str(e.metadata["refused"].value)) for e in events]

    assert reported() == [0]
    assert reported() == []
    daemon.bucket.put("block/episode_1")
    daemon.bucket.refuse("block/episode_1")
    assert reported() == [1]
    assert reported() == []


def test_an_empty_bucket_asks_for_no_dataset(daemon: Daemon) -> None:
    assert daemon.tick(SENSOR) == []
    assert "no episode is finished yet" in daemon.skip_message
