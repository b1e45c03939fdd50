"""Whatever is deleted or damaged by hand is noticed, said, and mended by the cheapest way."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lerobot_pipelines.config.schema import StorageConfig
from lerobot_pipelines.defs import naming, rescan
from lerobot_pipelines.defs.dataset_sensor import DatasetCursor, decide
from lerobot_pipelines.errors import Refused
from lerobot_pipelines.pipeline.convert import bring_up_to_date
from lerobot_pipelines.pipeline.keys import encode_key
from lerobot_pipelines.pipeline.mending import mend_episode
from lerobot_pipelines.pipeline.repair import find_damages, repair
from lerobot_pipelines_tests.pipeline.room import FORMATS, KEYS, Room, make_room, rooms

FIRST, SECOND, THIRD, FOURTH = KEYS
EPISODE = f"work/fleet/episodes/{encode_key(SECOND)}"


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


def everything(room: Room) -> dict[str, dict[str, bytes]]:
    return {fmt: room.contents(fmt) for fmt in FORMATS}


def rows_and_pictures(room: Room) -> dict[str, list[bytes]]:
    """What a dataset shows, whatever its files are called: one that was deleted as a whole, which
    chance does at times, gets new names."""
    return {
        fmt: sorted(
            data
            for path, data in files.items()
            if path.startswith(("/data/", "/videos/")) and path.endswith((".parquet", ".mp4"))
        )
        for fmt, files in everything(room).items()
    }


def damage(room: Room, key: str) -> None:
    """Other bytes in the place of an object; the length stays."""
    data = bytearray(room.storage.read(key))
    data[len(data) // 2] ^= 0xFF
    room.storage.write(key, bytes(data))


def keys_below(room: Room, *parts: str) -> list[str]:
    found = [info.key for info in room.storage.list("") if all(part in info.key for part in parts)]
    assert found, parts
    return found


@pytest.mark.parametrize(
    ("parts", "how"),
    [
        (("converted/fleet/v2.1/data", ".parquet"), "delete"),
        (("converted/fleet/v3.0/data", ".parquet"), "damage"),
        (("converted/fleet/v2.1/videos", ".mp4"), "delete"),
        (("converted/fleet/v3.0/videos", ".mp4"), "damage"),
        (("converted/fleet/v2.1/meta/info.json",), "delete"),
        (("converted/fleet/v3.0/meta/stats.json",), "delete"),
        (("converted/fleet/v2.1/meta/episodes_stats.jsonl",), "damage"),
        (("converted/fleet/v3.0/meta/episodes",), "damage"),
    ],
)
def test_a_file_of_a_dataset_is_noticed_by_everybody_and_written_again(
    full: Room, parts: tuple[str, ...], how: str
) -> None:
    before = everything(full)
    for key in keys_below(full, *parts):
        damage(full, key) if how == "damage" else full.storage.delete(key)
    assert {one.kind for one in find_damages(full.workspace)} >= {"file"}
    with dg.DagsterInstance.ephemeral() as instance:
        request = decide(full.workspace, instance, DatasetCursor(), time.time())
    assert isinstance(request, dg.RunRequest)
    summary = full.convert()
    assert summary.ok and {one.status for one in summary.episodes} <= {"unchanged", "converted"}
    assert everything(full) == before
    assert find_damages(full.workspace) == ()
    full.check_sound(len(KEYS))
    with dg.DagsterInstance.ephemeral() as instance:
        answer = decide(full.workspace, instance, DatasetCursor(), time.time())
    assert answer == "the dataset holds every finished episode"


@pytest.mark.parametrize("fmt", FORMATS)
def test_a_dataset_that_was_deleted_comes_back_and_the_other_stays(full: Room, fmt: str) -> None:
    """Its files may have other numbers: a place that was promised once is not used again."""
    before, members = everything(full), full.members()
    assert full.delete(f"converted/fleet/{fmt}")
    with dg.DagsterInstance.ephemeral() as instance:
        request = decide(full.workspace, instance, DatasetCursor(), time.time())
    assert isinstance(request, dg.RunRequest)
    assert full.convert().ok
    (other,) = {*FORMATS} - {fmt}
    assert full.contents(other) == before[other]
    assert full.members() == members
    assert find_damages(full.workspace) == ()
    full.check_sound(len(KEYS))


def test_only_what_is_damaged_is_written(full: Room) -> None:
    (lost,) = [key for key in keys_below(full, "v2.1/data") if "000002" in key]
    etags = {info.key: info.modified_ns for info in full.storage.list("converted/fleet/v3.0")}
    full.storage.delete(lost)
    (update, other) = bring_up_to_date(full.workspace)
    assert list(update.mended.values()) == ["it is missing"]
    assert (other.kind, dict(other.mended)) == ("none", {})
    assert etags == {
        info.key: info.modified_ns for info in full.storage.list("converted/fleet/v3.0")
    }


@pytest.mark.parametrize(
    ("part", "how", "steps"),
    [
        ("records", "delete", ("episode_metadata",)),
        ("records", "damage", ("episode_metadata",)),
        ("manifest.json", "delete", ("raw_episodes", "episode_metadata")),
        (".parquet", "delete", ("aligned_frames", "episode_metadata")),
        (".parquet", "damage", ("aligned_frames", "episode_metadata")),
        ("aligned.json", "delete", ("aligned_frames", "episode_metadata")),
        ("videos.json", "delete", ("encoded_videos", "episode_metadata")),
        (".mp4", "delete", ("episode_metadata",)),  # a dataset has it still
    ],
)
def test_an_artifact_is_made_again_and_nothing_else(
    full: Room, part: str, how: str, steps: tuple[str, ...]
) -> None:
    before = everything(full)
    keys = (
        [full.record_key(SECOND)]
        if part == "records"
        else [key for key in keys_below(full, EPISODE) if key.endswith(part)]
    )
    assert keys
    for key in keys:
        damage(full, key) if how == "damage" else full.storage.delete(key)
    (found,) = find_damages(full.workspace)
    assert (found.kind, found.where) == ("episode", SECOND)
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(
            naming.partitions_name("fleet"), [encode_key(key) for key in KEYS]
        )
        requests = rescan.evaluate(full.workspace, instance, [], seed="s")
        assert [one.partition_key for one in requests] == [encode_key(SECOND)]
    assert mend_episode(full.workspace, SECOND).steps == steps
    assert find_damages(full.workspace) == ()
    bring_up_to_date(full.workspace)
    assert everything(full) == before


def test_one_bad_episode_keeps_no_other_out(full: Room) -> None:
    full.delete_recording(SECOND)
    full.delete(EPISODE)
    full.storage.delete(full.record_key(SECOND))
    full.publish("block/episode_9", seed=9)
    summary = full.convert()
    assert {one.episodes for one in summary.datasets} == {len(KEYS) + 1}
    full.check_sound(len(KEYS) + 1)
    (left,) = repair(full.workspace).repairs
    assert (left.where, left.is_mended) == (SECOND, False)
    assert "recording" in left.outcome


def test_work_may_be_deleted_while_the_recordings_are_there(full: Room) -> None:
    before = everything(full)
    assert full.delete("work")
    summary = full.convert()
    assert summary.ok
    assert everything(full) == before
    assert {one.kind for one in summary.datasets} == {"none"}


def test_the_ledger_and_its_like_may_be_lost_or_broken(full: Room) -> None:
    before = everything(full)
    for key in keys_below(full, "work/fleet/dataset_state.json"):
        damage(full, key)
    for key in keys_below(full, ".ledger", "files.json"):
        full.storage.write(key, b"{")
    assert full.convert().ok
    assert everything(full) == before


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Room, dict[str, bytes]]]:
    """Three episodes on this machine, and all objects of their bucket."""
    folder = tmp_path_factory.mktemp("small")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEROBOT_PIPELINES_CACHE", str(folder / "cache"))
        room = make_room(StorageConfig(url=(folder / "bucket").as_uri()), folder)
        room.publish(*KEYS[:3])
        assert room.convert().ok
        objects = {info.key: room.storage.read(info.key) for info in room.storage.list("")}
        yield room, objects


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(seed=st.integers(0, 2**32), share=st.sampled_from([0.05, 0.3, 0.9]))
def test_random_losses_and_damages_are_mended(
    small: tuple[Room, dict[str, bytes]], seed: int, share: float
) -> None:
    """Below work/ and converted/, but for the ledger, whose loss is told apart."""
    room, objects = small
    before = rows_and_pictures(room)
    chance = random.Random(seed)
    kept = ("raw/", ".ledger/")
    touched = [key for key in objects if not any(part in key for part in kept)]
    for key in touched:
        if chance.random() < share:
            if room.storage.head(key) is None:
                continue
            damage(room, key) if chance.random() < 0.5 else room.storage.delete(key)
    repair(room.workspace)
    summary = room.convert()
    assert summary.ok
    assert rows_and_pictures(room) == before
    assert find_damages(room.workspace) == ()
    room.check_sound(3)


def test_a_step_without_the_recording_says_so(full: Room) -> None:
    full.delete_recording(SECOND)
    for key in keys_below(full, EPISODE, ".parquet"):
        full.storage.delete(key)
    with pytest.raises(Refused, match="cannot be made again without the recording"):
        mend_episode(full.workspace, SECOND)
    assert full.storage.head(full.record_key(SECOND)) is not None
    assert {one.episodes for one in bring_up_to_date(full.workspace)} == {len(KEYS)}
