"""A dataset loses episodes because they are refused or somebody says so, and for nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from lerobot_pipelines.defs import naming, rescan
from lerobot_pipelines.defs.assemble import build_defs
from lerobot_pipelines.defs.resources import PipelineResource
from lerobot_pipelines.errors import ConfigError
from lerobot_pipelines.pipeline.convert import convert_episode
from lerobot_pipelines.pipeline.dataset import is_up_to_date, update_datasets
from lerobot_pipelines.pipeline.keys import encode_key
from lerobot_pipelines.pipeline.retries import request_retry
from lerobot_pipelines.pipeline.sightings import look_at_all
from lerobot_pipelines.pipeline.withdrawing import take_out
from lerobot_pipelines_tests.pipeline.room import FORMATS, KEYS, Room, rooms

FIRST, SECOND, THIRD, FOURTH = KEYS


@pytest.fixture(params=["local", "s3"])
def room(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Room]:
    monkeypatch.setenv("LEROBOT_PIPELINES_CACHE", str(tmp_path / "cache"))
    yield from rooms(request, tmp_path)


@pytest.fixture
def full(room: Room) -> Room:
    room.publish(*KEYS)
    assert room.convert().ok
    return room


def run(room: Room, job: str, partition: str | None = None, config: object = None) -> bool:
    """A run of a job as the daemon would start it."""
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(
            naming.partitions_name("fleet"), [encode_key(key) for key in KEYS]
        )
        cache = PipelineResource(cache_dir=str(room.folder / "cache"))
        defs = build_defs({"fleet": room.config}, resources={"pipeline": cache})
        result = defs.resolve_job_def(job).execute_in_process(
            partition_key=partition,
            instance=instance,
            raise_on_error=False,
            run_config=config,
        )
        return bool(result.success)


def held(room: Room) -> tuple[str, ...]:
    """The episodes of the dataset, which are the same in both formats."""
    one, other = room.members().values()
    assert one == other
    return tuple(one)


def test_a_recording_in_cold_storage_stays_in_the_dataset(full: Room) -> None:
    before = {fmt: full.contents(fmt) for fmt in FORMATS}
    full.delete_recording(SECOND)
    partition = encode_key(SECOND)
    # The backfill that the rescan recommends fails for it, and takes nothing away.
    assert not run(full, naming.episode_job("fleet"), partition)
    assert full.storage.head(full.record_key(SECOND)) is not None
    assert list(full.storage.list("work/fleet/failures")) == []
    assert run(full, naming.update_job("fleet"))
    assert {fmt: full.contents(fmt) for fmt in FORMATS} == before
    report: list[str] = []
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(naming.partitions_name("fleet"), [partition])
        assert rescan.evaluate(full.workspace, instance, report, seed="s") == []
    assert "stay in the dataset" in " ".join(report)


def test_a_recording_and_a_record_that_are_both_gone_stay_in_the_dataset(full: Room) -> None:
    before = {fmt: full.contents(fmt) for fmt in FORMATS}
    full.delete_recording(SECOND)
    full.storage.delete(full.record_key(SECOND))
    for _ in range(2):
        updates = update_datasets(full.workspace)
        assert {one.kind for one in updates} == {"none"}
        assert {one.lost for one in updates} == {(SECOND,)}
    assert {fmt: full.contents(fmt) for fmt in FORMATS} == before
    assert is_up_to_date(full.workspace)


@pytest.mark.parametrize("what", ["raw", "work/fleet/records"])
def test_an_empty_listing_removes_nothing(full: Room, what: str) -> None:
    before = {fmt: full.contents(fmt) for fmt in FORMATS}
    assert full.delete(what)
    updates = update_datasets(full.workspace)
    assert {one.removed for one in updates} == {()}
    assert {fmt: full.contents(fmt) for fmt in FORMATS} == before


def test_one_chosen_episode_leaves_the_others_in(full: Room) -> None:
    full.storage.delete(full.record_key(THIRD))
    summary = full.convert(FIRST)
    assert {one.episodes for one in summary.datasets} == {len(KEYS)}
    full.check_sound(len(KEYS))


def test_a_refused_episode_leaves_with_its_reason(full: Room) -> None:
    full.delete(f"raw/{SECOND}/images/cam")
    summary = full.convert()
    for update in summary.datasets:
        assert update.removed == (SECOND,)
        assert "missing_camera" in update.why_removed[SECOND]
    full.check_sound(len(KEYS) - 1)


def test_a_configuration_that_refuses_most_takes_no_one_out_without_a_word(full: Room) -> None:
    before = {fmt: full.contents(fmt) for fmt in FORMATS}
    strict = full.with_settings(**{"filtering.min_duration_sec": 60.0})
    summary = strict.convert()
    assert not summary.ok
    for update in summary.datasets:
        assert update.removed == ()
        assert set(update.withheld) == set(KEYS)
        assert "too_short" in update.withheld[FIRST]
    assert {fmt: full.contents(fmt) for fmt in FORMATS} == before
    # Corrected, all is as it was; with the word, they go.
    assert full.convert().ok
    assert {fmt: full.contents(fmt) for fmt in FORMATS} == before
    summary = strict.convert(allow_removal=True)
    assert {one.removed for one in summary.datasets} == {KEYS}
    assert {one.episodes for one in summary.datasets} == {0}


def test_the_word_may_be_in_the_configuration_of_a_run(full: Room) -> None:
    strict = full.with_settings(**{"filtering.min_duration_sec": 60.0})
    for key in KEYS:
        assert not run(strict, naming.episode_job("fleet"), encode_key(key))
    assert run(strict, naming.update_job("fleet"))
    assert held(full) == KEYS
    allowed = {"ops": {"fleet__lerobot_dataset": {"config": {"allow_removal": True}}}}
    assert run(strict, naming.update_job("fleet"), config=allowed)
    assert held(full) == ()


def test_an_episode_leaves_on_purpose_stays_out_and_comes_back_when_asked_for(full: Room) -> None:
    take_out(full.workspace, SECOND)
    assert {one.removed for one in update_datasets(full.workspace)} == {(SECOND,)}
    full.check_sound(len(KEYS) - 1)
    # Neither a conversion nor a backfill nor another configuration brings it back.
    assert full.convert().ok
    assert not run(full, naming.episode_job("fleet"), encode_key(SECOND))
    (sighting,) = look_at_all(full.with_settings(**{"video.crf": 30}).workspace, [SECOND], 0)
    assert sighting.state is not None and sighting.state.state == "refused"
    assert held(full) == (FIRST, THIRD, FOURTH)
    assert request_retry(full.workspace, SECOND)
    assert full.convert().ok
    assert held(full) == (FIRST, THIRD, FOURTH, SECOND)
    full.check_sound(len(KEYS))


def test_all_episodes_may_leave_on_purpose(full: Room) -> None:
    full.delete_recording(FIRST)
    for key in KEYS:
        take_out(full.workspace, key)
    assert {one.removed for one in update_datasets(full.workspace)} == {KEYS}


def test_an_episode_of_another_strategy_is_refused_before_anything_is_done(full: Room) -> None:
    before = {info.key: info.etag for info in full.storage.list("")}
    for settings in ({"alignment.strategy": "window"}, {"alignment.strategy": "chunking"}):
        with pytest.raises(ConfigError, match="made with strategy nearest"):
            full.with_settings(**settings).convert(FIRST)
    assert {info.key: info.etag for info in full.storage.list("")} == before
    # All of them together are another dataset, and that is allowed.
    assert full.with_settings(**{"alignment.strategy": "chunking"}).convert().ok
    full.check_sound(len(KEYS))
    with pytest.raises(ConfigError, match="made with chunk_size 5"):
        full.with_settings(**{"alignment.strategy": "chunking", "alignment.chunk_size": 3}).convert(
            FIRST
        )


def test_a_backfill_changes_the_form_of_the_dataset_when_it_is_complete(full: Room) -> None:
    before = {fmt: full.contents(fmt) for fmt in FORMATS}
    chunking = full.with_settings(**{"alignment.strategy": "chunking"})
    for key in KEYS[:-1]:
        convert_episode(chunking.workspace, key)
        updates = update_datasets(chunking.workspace)
        assert {one.removed for one in updates} == {()}
        assert {fmt: full.contents(fmt) for fmt in FORMATS} == before
    convert_episode(chunking.workspace, FOURTH)
    updates = update_datasets(chunking.workspace)
    assert {one.episodes for one in updates} == {len(KEYS)}
    full.check_sound(len(KEYS))
