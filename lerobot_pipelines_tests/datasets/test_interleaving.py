"""Writers stopped before any single store operation, overtaken, and woken up again.

Whatever the order, no reader meets a mixture, and in the end dataset, ledger and records agree. Two
stores are gone through exhaustively: a folder, and the rules of an object store in memory; a real
S3 server is taken at random places (all of them with ``LEROBOT_PIPELINES_TEST_LONG``).
"""

from __future__ import annotations

import itertools
import os
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lerobot_pipelines.alignment import read_frames
from lerobot_pipelines.config.schema import Format
from lerobot_pipelines.datasets import DatasetUpdate, dataset_prefix
from lerobot_pipelines.datasets.change import large_files
from lerobot_pipelines.datasets.contents import contents_of
from lerobot_pipelines.datasets.ledger import open_ledger
from lerobot_pipelines.datasets.members import record_digest
from lerobot_pipelines.datasets.placeholder import is_placeholder
from lerobot_pipelines.datasets.records import EpisodeRecord
from lerobot_pipelines.datasets.verify import verify_dataset
from lerobot_pipelines.errors import Transient
from lerobot_pipelines.storage import open_storage
from lerobot_pipelines.storage.base import Storage
from lerobot_pipelines_tests.datasets.episodes import STATE, Bucket, toy_config
from lerobot_pipelines_tests.datasets.interleaving import MemoryStorage, Writer, end_all
from lerobot_pipelines_tests.datasets.reading import brightness_of, content
from lerobot_pipelines_tests.s3_server import S3Server

IS_LONG = bool(os.environ.get("LEROBOT_PIPELINES_TEST_LONG"))
ROUNDS = 6  # updates until a dataset that writers fought over has come to rest

Change = Callable[[Bucket], object]


@dataclass(frozen=True)
class Scenario:
    """What each writer finds: the records are changed before it begins."""

    name: str
    before: tuple[Change, ...]  # each committed by itself
    changes: tuple[Change, ...]  # before the first, the second, ... writer


def put(key: str, *rows: int, seed: int, task: str = "pick") -> Change:
    return lambda bucket: bucket.put(key, *rows, seed=seed, task=task)


def remove(key: str) -> Change:
    return lambda bucket: bucket.remove(key)


def both(*changes: Change) -> Change:
    return lambda bucket: [change(bucket) for change in changes]


TWO = (put("b", 3, seed=1), put("d", 2, seed=2))
SCENARIOS = [
    Scenario(
        "create",
        (),
        (put("b", 3, seed=1), put("a", 2, seed=2), both(remove("b"), put("c", 3, seed=3))),
    ),
    Scenario(
        "append, and another episode before it",
        TWO,
        (put("f", 3, seed=3, task="place"), put("e", 3, seed=4, task="fold"), remove("f")),
    ),
    Scenario(
        "replace by this and that",
        TWO,
        (put("b", 4, seed=5), put("b", 3, seed=6), both(put("b", 4, seed=5), put("e", 2, seed=7))),
    ),
    Scenario(
        "remove, and take back",
        TWO,
        (
            remove("b"),
            both(put("b", 3, seed=1), put("e", 2, seed=8)),
            both(remove("d"), put("b", 3, seed=9)),
        ),
    ),
    Scenario("empty, and fill again", TWO, (both(remove("b"), remove("d")), TWO[0], TWO[1])),
]


@dataclass
class Place:
    """A bucket with a dataset, of which there can be any number of copies."""

    start: Bucket
    folder: Path
    copy: Callable[[Bucket, Path], Bucket]
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def fresh(self) -> Bucket:
        return self.copy(self.start, self.folder / str(next(self.numbers)))


def local_copy(start: Bucket, folder: Path) -> Bucket:
    shutil.copytree(start.root_folder, folder / "bucket", copy_function=os.link)
    return Bucket(toy_config(folder / "bucket"), folder / "scratch")


def memory_copy(start: Bucket, folder: Path) -> Bucket:
    bucket = Bucket(toy_config(folder / "bucket"), folder / "scratch")
    assert isinstance(start.storage, MemoryStorage)
    bucket.storage = start.storage.copied()  # type: ignore[assignment]
    return bucket


def s3_copier(server: S3Server) -> Callable[[Bucket, Path], Bucket]:
    def copy(start: Bucket, folder: Path) -> Bucket:
        bucket = Bucket(toy_config(folder / "bucket"), folder / "scratch")
        bucket.storage = open_storage(server.config(server.new_bucket()))
        for info in start.storage.list():
            bucket.storage.write(info.key, start.storage.read(info.key))
        return bucket

    return copy


def prepared(storage: Storage | None, scenario: Scenario, fmt: Format, folder: Path) -> Bucket:
    bucket = Bucket(toy_config(folder / "bucket"), folder / "scratch")
    bucket.root_folder.mkdir(parents=True)
    if storage is not None:
        bucket.storage = storage
    for change in scenario.before:
        change(bucket)
        bucket.update(fmt)
    return bucket


@pytest.fixture(autouse=True)
def _no_power_cuts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nobody pulls the plug here, and waiting for the disk takes most of the time."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    yield
    end_all()


@pytest.fixture(params=["folder", "object store"])
def place_of(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Scenario, Format], Place]:
    def make(scenario: Scenario, fmt: Format) -> Place:
        if request.param == "folder":
            start = prepared(None, scenario, fmt, tmp_path / "start")
            return Place(start, tmp_path, local_copy)
        memory: Storage = MemoryStorage()  # type: ignore[assignment]
        return Place(prepared(memory, scenario, fmt, tmp_path / "start"), tmp_path, memory_copy)

    return make


def writer(bucket: Bucket, fmt: Format) -> Writer:
    return Writer(bucket.storage, lambda storage: bucket.update(fmt, storage))


def seen_by_readers(bucket: Bucket, fmt: Format) -> Path | None:
    """The dataset in a folder; None if there is none at this moment."""
    root = dataset_prefix(bucket.config, fmt)
    info = bucket.storage.head(f"{root}/meta/info.json")
    if info is None or is_placeholder(bucket.storage.read(info.key)):
        return None
    local = bucket.storage.local_path(root)
    if local is not None:
        return local
    folder = bucket.scratch.parent / "seen"
    shutil.rmtree(folder, ignore_errors=True)
    for one in bucket.storage.list(root):
        path = folder / one.key[len(root) + 1 :]
        path.parent.mkdir(parents=True, exist_ok=True)
        bucket.storage.download(one.key, path)
    return folder


def assert_no_mixture(bucket: Bucket, fmt: Format, trace: object) -> None:
    root = seen_by_readers(bucket, fmt)
    if root is None:
        return
    if fmt is Format.V21:
        assert verify_dataset(root, decode=False).findings == (), trace
    # Rows of an append to v3.0 lie behind all that info.json counts until it is in place.
    assert content(root) is not None, trace


def assert_at_rest(bucket: Bucket, fmt: Format, trace: object) -> None:
    """After one more update, dataset, ledger, files and records agree, and all is said."""
    for _ in range(ROUNDS):
        update = bucket.update(fmt)
        if not update.changed:
            break
    else:
        raise AssertionError((trace, "it never came to rest"))
    history = open_ledger(bucket.storage, bucket.config, fmt).history()
    assert history.done is not None and not history.pending, trace
    snapshot = history.done.snapshot
    records = {key: bucket.read(key) for key in bucket.versions()}
    assert {one.record_key: one.digest for one in snapshot.members} == {
        key: record_digest(record) for key, record in records.items()
    }, trace
    root = seen_by_readers(bucket, fmt)
    assert (root is None) == (not records), trace
    if root is None:
        return
    assert verify_dataset(root, decode=False).findings == (), trace
    found = content(root)
    assert found is not None
    assert [(one["states"], one["pictures"]) for one in found] == [
        made_of(bucket, records[one.record_key], segment.segment)
        for one in snapshot.members
        for segment in one.segments
    ], trace
    # Nothing is left of those who lost, but for what takes a place and what came too late.
    named = {file.path for file in large_files(contents_of(snapshot))}
    there = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.parquet")
        if path.parent.name != "meta"
    }
    assert there - named <= {*snapshot.fences}, trace


def made_of(bucket: Bucket, record: EpisodeRecord, number: int) -> tuple[object, object]:
    """States and brightness of an episode, from its artifacts."""
    folder = bucket.scratch.parent / "artifacts"
    folder.mkdir(exist_ok=True)
    bucket.storage.download(record.frames_key, folder / "rows.parquet")
    segment = record.segments[number]
    rows = slice(segment.first_row, segment.first_row + segment.length)
    pictures = {}
    for camera, video in segment.videos.items():
        bucket.storage.download(video.key, folder / "video.mp4")
        pictures[camera] = brightness_of(folder / "video.mp4")
    return read_frames(folder / "rows.parquet").features[STATE][rows].tolist(), pictures


def calls_of(bucket: Bucket, fmt: Format) -> int:
    alone = writer(bucket, fmt)
    alone.finish()
    assert isinstance(alone.outcome, DatasetUpdate), alone.outcome
    return len(alone.calls)


def assert_ended_well(one: Writer, trace: object) -> None:
    assert isinstance(one.outcome, DatasetUpdate | Transient), (trace, one.outcome)


@pytest.mark.exhaustive
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.name)
def test_a_writer_overtaken_at_any_operation_changes_nothing(
    place_of: Callable[[Scenario, Format], Place], fmt: Format, scenario: Scenario
) -> None:
    place = place_of(scenario, fmt)
    first, second = scenario.changes[:2]
    alone = place.fresh()
    first(alone)
    for stop in range(calls_of(alone, fmt) + 1):
        bucket = place.fresh()
        first(bucket)
        loser = writer(bucket, fmt)
        loser.step(stop)
        assert_no_mixture(bucket, fmt, stop)
        second(bucket)
        winner = writer(bucket, fmt)
        winner.finish()
        trace = (stop, loser.calls[-2:], winner.outcome)
        assert_ended_well(winner, trace)
        assert_no_mixture(bucket, fmt, trace)
        loser.finish()
        assert_ended_well(loser, trace)
        assert_no_mixture(bucket, fmt, trace)
        assert_at_rest(bucket, fmt, trace)


@pytest.mark.exhaustive
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.name)
def test_a_writer_that_dies_at_any_operation_is_gone_on_with(
    tmp_path: Path, fmt: Format, scenario: Scenario
) -> None:
    """By the rules of an object store; ``test_crashes`` does the same in a folder."""
    memory: Storage = MemoryStorage()  # type: ignore[assignment]
    place = Place(prepared(memory, scenario, fmt, tmp_path / "start"), tmp_path, memory_copy)
    alone = place.fresh()
    scenario.changes[0](alone)
    for stop in range(calls_of(alone, fmt)):
        bucket = place.fresh()
        scenario.changes[0](bucket)
        dead = writer(bucket, fmt)
        dead.step(stop)
        assert_no_mixture(bucket, fmt, stop)
        assert_at_rest(bucket, fmt, (stop, dead.calls[-2:]))
        dead.die()


def three_writers(place: Place, fmt: Format, scenario: Scenario, seed: int) -> None:
    """Three writers, stopped again and again, each after a number of calls drawn by chance."""
    chance = random.Random(seed)
    bucket = place.fresh()
    writers: list[Writer] = []
    trace: list[object] = [seed]
    for change in scenario.changes:
        change(bucket)
        writers.append(writer(bucket, fmt))
        for _ in range(chance.randrange(3)):
            one = chance.choice(writers)
            calls = chance.randrange(1, 50)
            one.step(calls)
            trace.append((writers.index(one), calls, one.calls[-1:]))
            assert_no_mixture(bucket, fmt, trace)
    while running := [one for one in writers if not one.is_done]:
        one = chance.choice(running)
        calls = chance.choice((1, 2, 3, 8, 30))
        one.step(calls)
        trace.append((writers.index(one), calls, one.calls[-1:]))
        assert_no_mixture(bucket, fmt, trace)
    for one in writers:
        assert_ended_well(one, trace)
    assert_at_rest(bucket, fmt, trace)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.name)
def test_three_writers_in_any_order_leave_a_sound_dataset(
    place_of: Callable[[Scenario, Format], Place], fmt: Format, scenario: Scenario
) -> None:
    place = place_of(scenario, fmt)
    for seed in range(300 if IS_LONG else 12):
        three_writers(place, fmt, scenario, seed)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.name)
def test_on_a_real_server_as_well(
    s3_server: S3Server, tmp_path: Path, fmt: Format, scenario: Scenario
) -> None:
    memory: Storage = MemoryStorage()  # type: ignore[assignment]
    start = prepared(memory, scenario, fmt, tmp_path / "start")
    place = Place(start, tmp_path, s3_copier(s3_server))
    for seed in range(30 if IS_LONG else 1):
        three_writers(place, fmt, scenario, seed)
