"""The real daemon at work: episodes come, change, are refused, are backfilled, lose their worker.

The tests share one instance; each brings episodes of its own and counts from what it finds.
"""

from __future__ import annotations

import os
import signal
import time

import pytest
from dagster import AssetKey, DagsterEventType, DagsterRun, DagsterRunStatus

from lerobot_pipelines.config import dump_config, load_config
from lerobot_pipelines.config.hashing import dataset_hash
from lerobot_pipelines.config.schema import Format
from lerobot_pipelines.datasets.verify import verify_dataset
from lerobot_pipelines.defs import naming
from lerobot_pipelines.pipeline.dataset import is_up_to_date
from lerobot_pipelines.pipeline.keys import encode_key
from lerobot_pipelines_tests.integration.services import Services, wait_for

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

LAUNCH_BACKFILL = """
mutation Launch($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }"""
RELOAD = """
mutation { reloadRepositoryLocation(repositoryLocationName: "lerobot_pipelines") { __typename } }"""
STALE = """
query($keys: [AssetKeyInput!]) { assetNodes(assetKeys: $keys) {
  assetKey { path } staleStatus(partition: "block~first") staleCauses(partition: "block~first") {
    reason } } }"""


def finished(run: DagsterRun) -> bool:
    return run.status in (DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE)


def wait_for_dataset(services: Services, episodes: int) -> None:
    """Until both datasets hold that many episodes and nothing is left to do."""

    def settled() -> bool:
        return all(services.episodes_in(fmt) == episodes for fmt in Format) and is_up_to_date(
            services.workspace
        )

    wait_for(f"a dataset of {episodes} episodes", settled)


def episodes_now(services: Services) -> int:
    return services.episodes_in(Format.V30) or 0


def with_a_dataset(services: Services) -> int:
    """How many episodes the dataset holds; at least one, also if a test is run alone."""
    if not episodes_now(services):
        services.upload("block/first", seed=1)
        wait_for_dataset(services, 1)
    return episodes_now(services)


def materialized(services: Services, step: str) -> set[str]:
    return set(services.instance.get_materialized_partitions(naming.asset_key("demo", step)))


def test_an_episode_in_the_bucket_becomes_a_dataset_and_the_next_one_adds_to_it(
    services: Services,
) -> None:
    before = episodes_now(services)
    services.upload("block/first", seed=1)
    wait_for_dataset(services, before + 1)
    services.upload("block/second", seed=2)
    wait_for_dataset(services, before + 2)
    for step in naming.EPISODE_STEPS:
        assert {"block~first", "block~second"} <= materialized(services, step)
    for key in ("block/first", "block/second"):
        assert [run.status for run in services.runs_of(key)] == [DagsterRunStatus.SUCCESS]
    for fmt in Format:
        report = verify_dataset(services.bucket / "converted" / "demo" / fmt)
        assert report.ok, report.findings
        assert report.episodes == before + 2


def test_an_episode_that_changes_is_converted_again_exactly_once(services: Services) -> None:
    before = episodes_now(services)
    services.upload("block/changing", seed=3)
    wait_for_dataset(services, before + 1)
    first = services.record("block/changing")
    assert first is not None

    services.upload("block/changing", seed=4, seconds=2.5)

    def converted_again() -> bool:
        record = services.record("block/changing")
        return record is not None and record.fingerprint != first.fingerprint

    wait_for("the changed episode", converted_again)
    wait_for_dataset(services, before + 1)
    time.sleep(5)  # several ticks of the sensor
    runs = services.runs_of("block/changing")
    assert [run.status for run in runs] == [DagsterRunStatus.SUCCESS] * 2
    assert len({run.tags[naming.FINGERPRINT_TAG] for run in runs}) == 2


def test_a_refused_episode_is_shown_with_its_reason_and_stops_no_other(services: Services) -> None:
    before = episodes_now(services)
    services.upload("block/too_short", seconds=0.3, seed=5)
    services.upload("block/after_it", seed=6)
    wait_for_dataset(services, before + 1)
    run = wait_for(
        "the refused run", lambda: next(filter(finished, services.runs_of("block/too_short")), None)
    )
    assert run.status is DagsterRunStatus.FAILURE
    steps = services.instance.all_logs(run.run_id, of_type=DagsterEventType.STEP_FAILURE)
    failure = steps[0].get_dagster_event().step_failure_data.user_failure_data
    assert failure is not None
    assert failure.metadata["reason"].value in ("too_short", "too_few_frames")
    assert len(services.runs_of("block/too_short")) == 1  # refused, so neither run nor step retried

    def listed() -> bool:
        event = services.instance.get_latest_materialization_event(
            AssetKey(["demo", naming.REFUSED])
        )
        materialization = event.asset_materialization if event else None
        return materialization is not None and "block/too_short" in str(
            materialization.metadata["episodes"].value
        )

    wait_for("the list of refused episodes", listed)


def worker_of(services: Services, run: DagsterRun) -> int | None:
    """The process that executes the run, as it reported itself."""
    for entry in services.instance.all_logs(run.run_id, of_type=DagsterEventType.ENGINE_EVENT):
        metadata = entry.get_dagster_event().engine_event_data.metadata
        if "pid" in metadata:
            return int(str(metadata["pid"].value))
    return None


def test_a_killed_worker_leaves_nothing_half_visible_and_the_retry_completes(
    services: Services,
) -> None:
    before = with_a_dataset(services)
    services.upload("block/killed", seconds=30.0, seed=7)

    def encoding() -> tuple[DagsterRun, int] | None:
        for run in services.runs_of("block/killed"):
            starts = services.instance.all_logs(run.run_id, of_type=DagsterEventType.STEP_START)
            steps = [entry.step_key for entry in starts]
            worker = worker_of(services, run)
            if worker is not None and f"demo__{naming.VIDEOS}" in steps:
                return run, worker
        return None

    run, worker = wait_for("the encoder to start", encoding)
    os.kill(worker, signal.SIGKILL)
    assert services.record("block/killed") is None, "the worker was killed too late"
    assert "block~killed" not in materialized(services, naming.VIDEOS)
    assert not list(services.bucket.glob("work/demo/episodes/block~killed/videos.json"))
    assert episodes_now(services) == before
    for fmt in Format:
        assert verify_dataset(services.bucket / "converted" / "demo" / fmt).ok

    wait_for_dataset(services, before + 1)
    runs = services.runs_of("block/killed")
    assert [each.status for each in runs] == [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE]
    retry = runs[0]
    assert retry.parent_run_id == run.run_id
    # From failure: what was finished before is not done again.
    assert f"demo__{naming.RAW}" not in (retry.step_keys_to_execute or [f"demo__{naming.RAW}"])
    record = services.record("block/killed")
    assert record is not None and record.passed


def test_a_backfill_brings_all_episodes_to_another_strategy(services: Services) -> None:
    with_a_dataset(services)
    changed = load_config(services.config_file, {"alignment.strategy": "window"})
    services.config_file.write_text(dump_config(changed))
    services.graphql(RELOAD)
    keys = [{"path": ["demo", step]} for step in naming.EPISODE_STEPS]

    def stale() -> dict[str, str]:
        nodes = services.graphql(STALE, {"keys": keys})["assetNodes"]
        return {node["assetKey"]["path"][-1]: node["staleStatus"] for node in nodes}

    wait_for("the changed configuration", lambda: stale()[naming.ALIGNED] == "STALE")
    assert stale()[naming.RAW] == "FRESH"

    partitions = sorted(materialized(services, naming.METADATA))
    params = {
        "assetSelection": keys[1:],
        "partitionNames": partitions,
        "title": "window instead of nearest",
    }
    launched = services.graphql(LAUNCH_BACKFILL, {"params": params})["launchPartitionBackfill"]
    assert launched["__typename"] == "LaunchBackfillSuccess", launched

    wanted = dataset_hash(changed)

    def all_converted() -> bool:
        records = [services.record(partition.replace("~", "/")) for partition in partitions]
        return all(record is not None and record.config_hash == wanted for record in records)

    wait_for("the backfill", all_converted, timeout_s=200.0)
    episodes = len(partitions)
    wait_for_dataset(services, episodes)
    for partition in partitions:
        record = services.record(partition.replace("~", "/"))
        assert record is not None and record.provenance["strategy"] == "window"
    assert set(stale().values()) == {"FRESH"}
    for fmt in Format:
        report = verify_dataset(services.bucket / "converted" / "demo" / fmt)
        assert report.ok, report.findings
    assert encode_key("block/first") in partitions
