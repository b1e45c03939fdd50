"""From the recorder into the bucket and the dataset, over a network that comes and goes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lerobot_pipelines.errors import Reason, Refused, Transient
from lerobot_pipelines.pipeline.convert import convert_dataset
from lerobot_pipelines.pipeline.discovery import list_members, readiness
from lerobot_pipelines.recorder import delivery, publish
from lerobot_pipelines.recorder.delivery import DeliveryQueue, to_bucket
from lerobot_pipelines.recorder.local_recorder import LocalRecorder
from lerobot_pipelines.storage import open_storage
from lerobot_pipelines_tests.fleet import WatchedStorage, fleet_config
from lerobot_pipelines_tests.recorder import takes
from lerobot_pipelines_tests.s3_server import S3Server

LONG = 60.0


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "_FIRST_PAUSE_S", 0.02)


def test_five_recordings_reach_the_dataset_over_a_network_that_fails_in_the_middle(
    s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEROBOT_PIPELINES_CACHE", str(tmp_path / "cache"))
    bucket = s3_server.config(s3_server.new_bucket(), "robot")
    config = fleet_config(bucket, storage={"scanner": {"quiet_period_s": 3600.0}})
    network = Network()
    monkeypatch.setattr(
        publish, "open_storage", lambda one: WatchedStorage(open_storage(one), network.use)
    )
    root = tmp_path / "robot"
    with LocalRecorder(root, deliver=to_bucket(config), remove_delivered=True) as recorder:
        for number in range(5):
            if number == 2:
                network.breaks_after = 10
            recorder.start_episode("stack")
            _record_fleet(recorder, number)
            recorder.end_episode()
        assert _until(lambda: recorder.status().saved == 5)
        assert _until(lambda: "network is down" in str(recorder.status().delivery))
        status = recorder.status().delivery
        assert status is not None and status.waiting >= 3
    # The robot is switched off and on again before the network is back.
    network.breaks_after = None
    with LocalRecorder(root, deliver=to_bucket(config), remove_delivered=True) as recorder:
        assert recorder.wait(LONG)
    storage = open_storage(config.storage)
    for number in range(1, 6):
        key = f"stack/episode_{number:04d}"
        members = list_members(storage, config, key)
        assert readiness(storage, config, key, members, 0) is None
        assert not (root / key).exists()
    summary = convert_dataset(config)
    assert summary.ok and len(summary.episodes) == 5
    assert {update.episodes for update in summary.datasets} == {5}


def _until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + LONG
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


class Network:
    def __init__(self) -> None:
        self.breaks_after: int | None = None

    def use(self, name: str, key: str) -> None:
        if self.breaks_after is not None:
            self.breaks_after -= 1
            if self.breaks_after < 0:
                raise Transient("the network is down")


def _record_fleet(recorder: LocalRecorder, number: int) -> None:
    begun = takes.START_NS + number * 10**12
    for k in range(30):
        picture = takes.draw_picture(number * 100 + k, 64, 48)
        recorder.add("cam", begun + k * 40_000_000, picture)
    for k in range(300):
        for arm in ("left", "right"):
            recorder.add(arm, begun + k * 4_000_000, [number, k / 1000])


def test_each_episode_is_delivered_until_it_succeeds_in_the_order_recorded(tmp_path: Path) -> None:
    seen: list[str] = []
    done: list[str] = []

    def deliver(key: str, path: Path) -> None:
        seen.append(key)
        if len(seen) < 4:
            raise ConnectionError("unplugged")

    queue = DeliveryQueue(tmp_path, deliver, done.append)
    for key in ("a/1", "b/2"):
        queue.put(key, tmp_path)
    assert queue.wait(LONG)
    assert seen == ["a/1"] * 4 + ["b/2"]
    assert done == ["a/1", "b/2"]
    assert queue.status().delivered == 2
    assert list(tmp_path.iterdir()) == []
    queue.stop()


def test_what_is_refused_waits_for_a_person_and_stops_nothing(tmp_path: Path) -> None:
    poison = {"a"}

    def deliver(key: str, path: Path) -> None:
        if key in poison:
            raise Refused(Reason.BAD_NAME, "no such name")

    queue = DeliveryQueue(tmp_path, deliver)
    queue.put("a", tmp_path)
    queue.put("b", tmp_path)
    assert queue.wait(LONG)
    assert queue.status().refused == {"a": "[bad_name] no such name"}
    queue.stop()
    queue = DeliveryQueue(tmp_path, deliver)
    assert queue.wait(0)
    poison.clear()
    assert queue.retry_refused() == 1
    assert queue.wait(LONG)
    assert queue.status().refused == {}
    queue.stop()


def test_notes_outlive_the_process_that_wrote_them(tmp_path: Path) -> None:
    unplugged = threading.Event()

    def fail(key: str, path: Path) -> None:
        unplugged.set()
        raise ConnectionError("unplugged")

    queue = DeliveryQueue(tmp_path, fail)
    queue.put("a", tmp_path / "folder")
    assert unplugged.wait(LONG)
    queue.stop()
    delivered: list[tuple[str, Path]] = []
    queue = DeliveryQueue(tmp_path, lambda key, path: delivered.append((key, path)))
    assert queue.wait(LONG)
    assert delivered == [("a", tmp_path / "folder")]
    queue.stop()


def test_a_delivery_that_outlives_its_queue_harms_the_next_one_not(tmp_path: Path) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def slow(key: str, path: Path) -> None:
        begun.set()
        assert may_end.wait(LONG)

    old = DeliveryQueue(tmp_path, slow)
    old.put("a", tmp_path)
    assert begun.wait(LONG)
    old.stop()
    new = DeliveryQueue(tmp_path, slow)
    may_end.set()
    assert new.wait(LONG)
    new.put("b", tmp_path)
    assert new.wait(LONG)
    assert list(tmp_path.iterdir()) == []
    new.stop()
