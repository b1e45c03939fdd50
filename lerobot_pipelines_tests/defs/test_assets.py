"""The assets over real recordings: what they publish, show, refuse and retry."""

from __future__ import annotations

import errno
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from lerobot_pipelines.config.schema import Format
from lerobot_pipelines.defs import naming
from lerobot_pipelines.defs.assemble import build_defs
from lerobot_pipelines.defs.resources import PipelineResource
from lerobot_pipelines.errors import NotMadeYet, Reason, Refused, StoreRejected, Transient
from lerobot_pipelines.pipeline.checks import CHECK_NAMES, NO_WARNINGS
from lerobot_pipelines.pipeline.workspace import Workspace
from lerobot_pipelines.recordings.synth import SynthCamera, SynthSpec, write_recording
from lerobot_pipelines_tests.conftest import demo_config

CAMERAS = (
    SynthCamera("cam_high", 25.0),
    SynthCamera("cam_left", 25.0),
    SynthCamera("cam_right", 30.0),
)
FIRST, SECOND, SHORT = "block~episode_1", "block~episode_2", "block~short"


class Room:
    """A dataset with its bucket and an instance of its own."""

    def __init__(self, bucket: Path, instance: dg.DagsterInstance, **overrides: object) -> None:
        self.bucket = bucket
        self.instance = instance
        self.config = demo_config(bucket, **overrides)
        self.definitions = build_defs(
            {"demo": self.config},
            resources={"pipeline": PipelineResource(cache_dir=str(bucket / "cache"))},
        )
        instance.add_dynamic_partitions("demo_episodes", [FIRST, SECOND, SHORT])

    def run(
        self, job: str = "demo_episode", partition: str | None = None, **tags: str
    ) -> dg.ExecuteInProcessResult:
        return self.definitions.resolve_job_def(job).execute_in_process(
            instance=self.instance, partition_key=partition, tags=tags, raise_on_error=False
        )

    def metadata(self, step: str, partition: str | None = None) -> dict[str, dg.MetadataValue]:
        records = self.instance.fetch_materializations(
            dg.AssetRecordsFilter(
                asset_key=naming.asset_key("demo", step),
                asset_partitions=[partition] if partition else None,
            ),
            limit=1,
        ).records
        materialization = records[0].asset_materialization
        assert materialization is not None
        return dict(materialization.metadata)

    def materialized(self, step: str) -> set[str]:
        return set(self.instance.get_materialized_partitions(naming.asset_key("demo", step)))


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("recordings") / "raw"
    for seed, (partition, seconds) in enumerate(((FIRST, 2.0), (SECOND, 2.0), (SHORT, 0.3))):
        spec = SynthSpec(seconds=seconds, cameras=CAMERAS, seed=seed)
        write_recording(root, partition.replace("~", "/"), spec)
    return root


@pytest.fixture
def room(raw: Path, tmp_path: Path) -> Iterator[Room]:
    shutil.copytree(raw, tmp_path / "raw")
    with dg.DagsterInstance.ephemeral() as instance:
        yield Room(tmp_path, instance)


def failure_of(result: dg.ExecuteInProcessResult) -> dg.Failure:
    events = [e for e in result.all_events if e.event_type_value == "STEP_FAILURE"]
    failure = events[0].step_failure_data.user_failure_data
    assert failure is not None
    return dg.Failure(failure.description, failure.metadata)


def test_one_episode_and_then_the_dataset_with_everything_shown(room: Room) -> None:
    assert room.run(partition=FIRST).success
    raw_shown = room.metadata(naming.RAW, FIRST)
    assert {"streams", "rates", "faults", "files", "bytes", "fingerprint"} <= set(raw_shown)
    assert "data:image/png;base64," in str(raw_shown["rates"].value)
    rows_shown = room.metadata(naming.ALIGNED, FIRST)
    assert {"rows_kept", "rows_dropped", "age_ms", "utilisation", "joints"} <= set(rows_shown)
    assert "dagster/column_schema" in rows_shown
    videos_shown = room.metadata(naming.VIDEOS, FIRST)
    assert str(videos_shown["contact_sheets"].value).count("data:image/jpeg;base64,") == 3
    assert videos_shown["frames"].value == 3 * int(str(rows_shown["rows_kept"].value))
    assert float(str(videos_shown["encoder_fps"].value)) > 0
    assert room.metadata(naming.METADATA, FIRST)["verdict"].value == "passed"
    pictures = sum(len(str(v.value)) for v in (raw_shown | rows_shown | videos_shown).values())
    assert pictures < 150_000  # kept in Dagster's database for every episode

    assert room.run("demo_update").success
    shown = room.metadata(naming.DATASET)
    assert shown["episodes"].value == 1
    again = room.run("demo_update")
    assert again.success
    assert set(room.metadata(naming.DATASET)) == set(shown)
    assert room.metadata(naming.DATASET)["changed"].value is False
    for fmt in Format:
        assert (room.bucket / "converted" / "demo" / fmt / "meta" / "info.json").exists()


def test_every_promise_is_a_check_of_the_episode(room: Room) -> None:
    result = room.run(partition=FIRST)
    evaluations = result.get_asset_check_evaluations()
    assert {e.check_name for e in evaluations} == set(CHECK_NAMES)
    assert {e.partition for e in evaluations} == {FIRST}
    assert all(e.passed and e.blocking for e in evaluations)


def test_the_intake_report_is_on_the_partition_and_its_warnings_warn(room: Room) -> None:
    folder = room.bucket / "raw" / "images" / "block" / "episode_1" / "cam_left"
    shutil.copy(next(folder.glob("*.jpg")), folder / "thumbnail.jpg")
    result = room.run(partition=FIRST)
    assert result.success
    shown = room.metadata(naming.RAW, FIRST)
    assert shown["warnings"].value == 1
    intake: Any = shown["intake"].value
    assert [r.data["severity"] for r in intake.records if r.data["code"] == "fault"] == ["warning"]
    (doubt,) = [e for e in result.get_asset_check_evaluations() if e.check_name == NO_WARNINGS]
    assert (doubt.passed, doubt.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "cam_left" in str(doubt.description)


def test_a_broken_promise_fails_the_run_and_keeps_the_episode_out(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lerobot_pipelines.pipeline import metadata

    real = metadata.check_episode

    def broken(*arguments: object) -> object:
        first, *others = real(*arguments)  # type: ignore[arg-type]
        return (first.model_copy(update={"passed": False}), *others)

    monkeypatch.setattr(metadata, "check_episode", broken)
    result = room.run(partition=FIRST)
    assert not result.success
    assert room.metadata(naming.METADATA, FIRST)["verdict"].value == "kept out"
    monkeypatch.undo()
    assert room.run(partition=SECOND).success
    assert room.run("demo_update").success
    assert room.metadata(naming.DATASET)["episodes"].value == 1


def test_a_refusal_says_reason_and_remedy_and_is_not_retried(room: Room) -> None:
    result = room.run(partition=SHORT)
    assert not result.success
    assert not [e for e in result.all_events if e.event_type_value == "STEP_UP_FOR_RETRY"]
    failure = failure_of(result)
    assert failure.metadata["reason"].value in ("too_short", "too_few_frames")
    assert "filtering." in str(failure.metadata["remedy"].value)
    assert room.materialized(naming.METADATA) == set()


@pytest.mark.parametrize("fault", [Transient("the store is busy"), OSError("timed out")])
def test_a_passing_fault_is_retried_until_it_is_gone(
    room: Room, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    from lerobot_pipelines.pipeline import raw as scanning

    real, faults = scanning.members_of, [fault]

    def busy_once(*arguments: object) -> object:
        if faults:
            raise faults.pop()
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(scanning, "members_of", busy_once)
    result = room.run(partition=FIRST)
    assert result.success
    retries = [e for e in result.all_events if e.event_type_value == "STEP_UP_FOR_RETRY"]
    assert [e.step_key for e in retries] == [f"demo__{naming.RAW}"]


@pytest.mark.parametrize(
    "fault",
    [
        PermissionError(errno.EACCES, "Permission denied", "/bucket/raw"),
        OSError(errno.EROFS, "Read-only file system"),
        StoreRejected(
            "s3://bucket: SignatureDoesNotMatch; correct it", code="SignatureDoesNotMatch"
        ),
        NotMadeYet("episode block/episode_1 has no manifest yet"),
    ],
    ids=lambda fault: type(fault).__name__,
)
def test_a_lasting_fault_is_not_retried(
    room: Room, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    from lerobot_pipelines.pipeline import raw as scanning

    calls: list[str] = []

    def failing(_: object, key: str) -> object:
        calls.append(key)
        raise fault

    monkeypatch.setattr(scanning, "members_of", failing)
    result = room.run(partition=FIRST)
    assert not result.success
    assert calls == ["block/episode_1"]
    assert str(fault) in str(failure_of(result).description)


def test_a_backfill_of_a_later_step_does_not_retry_what_was_refused(room: Room) -> None:
    """Its manifest, rows and videos will not come: each step says once why not."""
    room.run(partition=SHORT)
    for step in (naming.ALIGNED, naming.VIDEOS, naming.METADATA):
        job = dg.define_asset_job(step, dg.AssetSelection.assets(naming.asset_key("demo", step)))
        defs = dg.Definitions.merge(room.definitions, dg.Definitions(jobs=[job]))
        result = defs.resolve_job_def(step).execute_in_process(
            instance=room.instance, partition_key=SHORT, raise_on_error=False
        )
        assert not result.success
        assert not [e for e in result.all_events if e.event_type_value == "STEP_UP_FOR_RETRY"]
        if step != naming.ALIGNED:
            assert "because aligned_frames refused it" in str(failure_of(result).description)


def test_of_several_episodes_only_the_faults_that_pass_are_tried_again(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lerobot_pipelines.defs import stepping
    from lerobot_pipelines.pipeline import raw as scanning

    monkeypatch.setattr(stepping, "RETRY_PAUSES_S", (0.0, 0.0, 0.0))
    real, calls = scanning.members_of, list[str]()

    def busy(workspace: Workspace, key: str) -> object:
        calls.append(key)
        if key.endswith("episode_1"):
            raise Refused(Reason.GAP, "a hole of 3 s")
        if calls.count(key) < 3 and key.endswith("episode_2"):
            raise Transient("the store is busy")
        return real(workspace, key)

    monkeypatch.setattr(scanning, "members_of", busy)
    result = room.run(**{naming.RANGE_START_TAG: FIRST, naming.RANGE_END_TAG: SHORT})
    assert Counter(calls) == {"block/episode_1": 1, "block/episode_2": 3, "block/short": 1}
    assert room.materialized(naming.RAW) == {SECOND, SHORT}
    assert "1 of 3 episodes failed" in str(failure_of(result).description)


def test_a_run_over_several_episodes_gives_each_its_own_metadata(room: Room) -> None:
    result = room.run(**{naming.RANGE_START_TAG: FIRST, naming.RANGE_END_TAG: SECOND})
    assert result.success
    assert room.materialized(naming.METADATA) == {FIRST, SECOND}
    shown = [room.metadata(naming.RAW, partition) for partition in (FIRST, SECOND)]
    assert shown[0]["fingerprint"].value != shown[1]["fingerprint"].value


def test_of_a_run_over_several_the_good_episodes_stay_materialized(room: Room) -> None:
    result = room.run(**{naming.RANGE_START_TAG: FIRST, naming.RANGE_END_TAG: SHORT})
    assert not result.success
    assert "1 of 3 episodes failed" in str(failure_of(result).description)
    assert room.materialized(naming.RAW) == {FIRST, SECOND, SHORT}
    assert room.materialized(naming.ALIGNED) == {FIRST, SECOND}
    assert room.materialized(naming.METADATA) == set()


def test_a_run_can_override_single_keys_for_all_its_steps(room: Room) -> None:
    config = {"resources": {"pipeline": {"config": {"overrides": {"alignment.strategy": "hold"}}}}}
    result = room.definitions.resolve_job_def("demo_episode").execute_in_process(
        instance=room.instance, partition_key=FIRST, run_config=config
    )
    assert result.success
    provenance = room.metadata(naming.METADATA, FIRST)["provenance"].value
    assert isinstance(provenance, dict) and provenance["strategy"] == "hold"


@pytest.mark.parametrize(
    "overrides",
    [
        {"storage.url": "s3://elsewhere"},
        {"storage.raw_prefix": "elsewhere"},
        {"dataset.name": "another"},
        {"dataset.pattern": "{episode_id}"},
    ],
)
def test_an_override_cannot_lead_a_run_elsewhere(room: Room, overrides: dict[str, str]) -> None:
    config = {"resources": {"pipeline": {"config": {"overrides": overrides}}}}
    result = room.definitions.resolve_job_def("demo_episode").execute_in_process(
        instance=room.instance, partition_key=FIRST, run_config=config, raise_on_error=False
    )
    assert not result.success
    assert failure_of(result).metadata["reason"].value == "bad_config"
    assert "cannot change where dataset demo lies" in str(failure_of(result).description)
    assert room.materialized(naming.RAW) == set()


def test_an_override_of_an_unknown_key_is_refused_before_anything_runs(room: Room) -> None:
    config = {"resources": {"pipeline": {"config": {"overrides": {"alignment.stategy": "x"}}}}}
    result = room.definitions.resolve_job_def("demo_episode").execute_in_process(
        instance=room.instance, partition_key=FIRST, run_config=config, raise_on_error=False
    )
    assert not result.success
    assert failure_of(result).metadata["reason"].value == "bad_config"
    assert room.materialized(naming.RAW) == set()
