"""The sensor ticks while a publisher is at work: one run, after the end, for all of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from lerobot_pipelines.defs import naming
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
