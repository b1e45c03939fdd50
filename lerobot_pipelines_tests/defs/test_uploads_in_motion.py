"""The sensor ticks while a publisher is at work: one run, after the end, for all of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from lerobot_pipelines.defs import bucket_sensor, naming
from lerobot_pipelines.pipeline.discovery import list_names
from lerobot_pipelines.pipeline.keys import encode_key
from lerobot_pipelines.pipeline.tree import Position, Probes
from lerobot_pipelines.recorder import publish, publish_episode
from lerobot_pipelines.storage import open_storage
from lerobot_pipelines_tests.defs.bucket import Bucket
from lerobot_pipelines_tests.defs.daemon import Daemon
from lerobot_pipelines_tests.fleet import WatchedStorage, record

KEY = "block/episode_1"


@pytest.mark.parametrize("marker", [None, "_READY"])
def test_a_slow_upload_is_run_once_after_its_end(
    make_bucket: Callable[..., Bucket],
    instance: dg.DagsterInstance,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    marker: str | None,
) -> None:
    # Even without any quiet period: the publisher's own sign holds the sensor back.
    bucket = make_bucket(quiet_period_s=0.0, marker=marker)
    daemon = Daemon(bucket, instance)

    def slowly(name: str, key: str) -> None:
        if name == "upload":
            time.sleep(0.4)  # 16 at once

    monkeypatch.setattr(
        publish,
        "open_storage",
        lambda config: WatchedStorage(open_storage(config), slowly),
    )
    done: list[Any] = []
    recording = record(tmp_path / "disk")
    uploader = threading.Thread(
        target=lambda: done.append(publish_episode(KEY, recording, config=bucket.config))
    )
    uploader.start()
    early = []
    while not done:
        runs = daemon.tick()
        if not done:
            early += runs
        time.sleep(0.05)
    uploader.join()
    runs = [*runs, *daemon.tick(), *daemon.tick()]
    assert early == []
    assert [run.tags[naming.EPISODE_TAG] for run in runs] == [encode_key(KEY)]
    assert done[0].fingerprint.startswith(runs[0].tags[naming.FINGERPRINT_TAG])


def test_a_walk_that_is_cut_short_goes_on_where_it_was(bucket: Bucket) -> None:
    expected = set()
    for task in ("a", "a-b", "b"):
        for number in range(3):
            bucket.put(f"{task}/episode_{number}")
            expected.add(f"{task}/episode_{number}")
    storage = bucket.workspace.storage
    found: set[str] = set()
    after: dict[str, Position] = {}
    walks = 0
    while walks == 0 or after:
        probes = Probes(until_s=0.0, after=after)  # out of time: one folder a walk
        found |= set(list_names(storage, bucket.config, known=found, probes=probes).keys)
        if after and probes.next_after:
            assert probes.next_after[""] > after[""]
        after, walks = probes.next_after, walks + 1
        assert walks < 60
    assert found == expected and walks > 9


def test_known_episodes_cost_no_look_into_their_folders(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [f"block/episode_{number:02d}" for number in range(20)]
    for key in keys:
        bucket.put(key)
    looked: list[str] = []

    def note(name: str, key: str) -> None:
        looked.append(key)

    storage: Any = WatchedStorage(bucket.workspace.storage, note)
    assert list(list_names(storage, bucket.config, known=frozenset(keys)).keys) == keys
    assert len(looked) < 8
    bucket.put("block/new")
    assert "block/new" in list_names(storage, bucket.config, known=frozenset(keys)).keys
    bucket.remove(keys[0])
    assert keys[0] not in list_names(storage, bucket.config, known=frozenset(keys)).keys


class Clock:
    """This machine's clock as the sensor sees it: off by ``ahead_s``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, ahead_s: float) -> None:
        self.ahead_s = ahead_s
        self.monotonic = time.monotonic
        monkeypatch.setattr(bucket_sensor, "time", self)

    def time(self) -> float:
        return time.time() + self.ahead_s

    def time_ns(self) -> int:
        return int(self.time() * 1e9)


@pytest.mark.parametrize("jump_s", [-7200.0, 3000.0, 7200.0, 1e8])
def test_whatever_the_clock_says_an_upload_without_a_marker_is_taken_when_it_stands_still(
    make_bucket: Callable[..., Bucket],
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    jump_s: float,
) -> None:
    daemon = Daemon(make_bucket(quiet_period_s=10.0), instance)
    clock = Clock(monkeypatch, jump_s)
    daemon.bucket.put(KEY)
    assert daemon.tick() == []
    for number in range(3):  # the store's times say that all of this is long over, or to come
        clock.ahead_s += 20
        picture = daemon.bucket.root / f"raw/images/{KEY}/cam_high/200000{number}.jpg"
        picture.write_bytes(b"\xff\xd8")
        assert daemon.tick() == []
    clock.ahead_s -= 5000  # put back in the middle of it
    assert daemon.tick() == []
    clock.ahead_s += 12
    runs = daemon.tick()
    assert [run.tags[naming.EPISODE_TAG] for run in runs] == [encode_key(KEY)]
    assert daemon.bucket.fingerprint(KEY).startswith(runs[0].tags[naming.FINGERPRINT_TAG])
    assert daemon.tick() == []


def test_many_uploads_without_a_marker_all_have_their_turn(
    make_bucket: Callable[..., Bucket],
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lerobot_pipelines.defs.cursor.MOST_UNSETTLED", 3)
    monkeypatch.setattr(bucket_sensor, "NEW_LOOKED_AT", 4)
    daemon = Daemon(make_bucket(quiet_period_s=10.0), instance)
    clock = Clock(monkeypatch, 3000.0)
    keys = {f"block/episode_{number}" for number in range(10)}
    for key in keys:
        daemon.bucket.put(key)
    runs = []
    for _ in range(12):
        runs += daemon.tick()
        clock.ahead_s += 11
    assert sorted(run.tags[naming.EPISODE_TAG] for run in runs) == sorted(map(encode_key, keys))
