"""Publishing: whole or not at all, never twice, whatever breaks on the way."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lerobot_pipelines.config.schema import DatasetConfig, StorageConfig
from lerobot_pipelines.errors import ConfigError, ContentChanged, Refused, Transient
from lerobot_pipelines.pipeline.discovery import (
    fingerprint,
    list_episode_keys,
    list_members,
    readiness,
)
from lerobot_pipelines.recorder import publish, publish_episode
from lerobot_pipelines.storage import Storage, open_storage
from lerobot_pipelines_tests.fleet import WatchedStorage, fleet_config, record

KEY = "block/episode_1"


class Robot:
    """A robot's disk and the bucket it publishes to."""

    def __init__(self, storage: StorageConfig, disk: Path) -> None:
        self.config = fleet_config(storage, storage={"scanner": {"quiet_period_s": 3600.0}})
        self.disk = disk
        self.storage: Storage = open_storage(storage)
        self.calls: list[tuple[str, str]] = []

    def publish(self, recording: Path, episode_id: str = KEY, **settings: Any) -> publish.Published:
        return publish_episode(episode_id, recording, config=self.config, **settings)

    def waits_because(self, key: str = KEY) -> str | None:
        members = list_members(self.storage, self.config, key)
        return readiness(self.storage, self.config, key, members, time.time_ns())

    def objects(self) -> list[str]:
        return [info.key.removeprefix("raw/") for info in self.storage.list("raw")]

    def watch(self, monkeypatch: pytest.MonkeyPatch, before: Callable[[str, str], None]) -> None:
        def opened(config: StorageConfig) -> Any:
            return WatchedStorage(open_storage(config), before)

        monkeypatch.setattr(publish, "open_storage", opened)


@pytest.fixture(params=["local", "s3"])
def robot(request: pytest.FixtureRequest, tmp_path: Path) -> Robot:
    if request.param == "local":
        return Robot(StorageConfig(url=(tmp_path / "bucket").as_uri()), tmp_path / "disk")
    server = request.getfixturevalue("s3_server")
    return Robot(server.config(server.new_bucket()), tmp_path / "disk")


@pytest.mark.parametrize("layout", ["split", "episode"])
def test_a_recording_in_either_layout_is_ready_at_once(robot: Robot, layout: str) -> None:
    recording = record(robot.disk, layout=layout)
    published = robot.publish(recording)
    assert published.key == KEY
    assert published.uploaded == published.files > 30
    assert list(list_episode_keys(robot.storage, robot.config)) == [KEY]
    assert robot.waits_because() is None
    members = list_members(robot.storage, robot.config, KEY)
    assert published.fingerprint == fingerprint(members)
    assert {path.split("/")[2] for path in robot.objects()} >= {"joints", "images", "_READY"}


def test_the_marker_is_written_last_and_an_upload_shows(
    robot: Robot, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[str] = []

    def note(name: str, key: str) -> None:
        if name in ("write", "upload", "delete"):
            writes.append(f"{name} {key.rpartition('/')[2]}")

    robot.watch(monkeypatch, note)
    robot.publish(record(robot.disk), task="pick up the cup")
    assert writes[0] == "write _PUBLISHING"
    assert writes[-3:] == ["write overrides.json", "write _READY", "delete _PUBLISHING"]
    assert all(write.startswith("upload ") for write in writes[1:-3])


def test_a_broken_upload_waits_for_ever_and_is_continued(
    robot: Robot, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = record(robot.disk)
    uploads = 0

    def fail_half_way(name: str, key: str) -> None:
        nonlocal uploads
        uploads += name == "upload"
        if name == "upload" and uploads > 20:
            raise Transient("the network is gone")

    with monkeypatch.context() as broken:
        robot.watch(broken, fail_half_way)
        with pytest.raises(Transient, match="network"):
            robot.publish(recording)
    assert robot.waits_because() is not None
    members = list_members(robot.storage, robot.config, KEY)
    next_week_ns = time.time_ns() + 7 * 86_400 * 10**9
    assert readiness(robot.storage, robot.config, KEY, members, next_week_ns) is not None
    again = robot.publish(recording)
    assert again.skipped == 20 and again.uploaded == again.files - 20
    assert robot.waits_because() is None


def test_publishing_again_sends_nothing(robot: Robot) -> None:
    recording = record(robot.disk)
    first = robot.publish(recording, task="pick")
    again = robot.publish(recording, task="pick")
    assert (again.uploaded, again.removed, again.fingerprint) == (0, 0, first.fingerprint)


def test_changed_content_loses_its_marker_before_anything_changes(
    robot: Robot, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = robot.publish(record(robot.disk))
    shutil.rmtree(robot.disk)
    shorter = record(robot.disk, seconds=1.0, seed=2)
    seen: list[str | None] = []

    def look(name: str, key: str) -> None:
        if (name == "upload" and not seen) or (name == "delete" and "images" in key):
            seen.append(robot.waits_because())

    robot.watch(monkeypatch, look)
    second = robot.publish(shorter)
    assert len(seen) > 1 and None not in seen
    assert second.fingerprint != first.fingerprint
    assert second.removed > 0
    assert robot.waits_because() is None


def test_an_episode_that_lay_in_the_split_layout_is_replaced_not_doubled(robot: Robot) -> None:
    recording = record(robot.disk)
    for path in (robot.disk).rglob("*"):
        if path.is_file():
            robot.storage.upload(path, f"raw/{path.relative_to(robot.disk).as_posix()}")
    published = robot.publish(recording)
    assert published.removed > 0
    assert all(path.startswith(f"{KEY}/") for path in robot.objects() if "truth" not in path)


def test_the_robots_name_comes_from_the_environment(
    robot: Robot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROBOT_ID", "robot_7")
    assert robot.publish(record(robot.disk)).key == f"robot_7/{KEY}"
    assert robot.publish(record(robot.disk, "x"), source="robot_8").key == f"robot_8/{KEY}"


def test_a_source_that_nobody_watches_is_refused(robot: Robot) -> None:
    watched = {"storage": robot.config.storage.model_copy(update={"sources": ("robot_1",)})}
    robot.config = robot.config.model_copy(update=watched)
    recording = record(robot.disk)
    with pytest.raises(ConfigError, match="robot_1"):
        robot.publish(recording)
    with pytest.raises(ConfigError, match="robot_2"):
        robot.publish(recording, source="robot_2")
    assert robot.objects() == []
    assert robot.publish(recording, source="robot_1").key == f"robot_1/{KEY}"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"strategy": "nearst"}, "alignment"),
        ({"overrides": {"url": "s3://mine"}}, "url cannot be set"),
        ({"overrides": {"window_ms": -3}}, "window_ms"),
        ({"task": "line\nbreak"}, "one line"),
        ({"strategy": "chunking"}, "other dimensions"),
    ],
)
def test_settings_that_are_wrong_upload_nothing(
    robot: Robot, settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(Refused, match=words) as refusal:
        robot.publish(record(robot.disk), **settings)
    assert refusal.value.reason == "bad_config"
    assert robot.objects() == []


def test_a_bag_goes_with_its_description_and_keeps_its_suffix(robot: Robot) -> None:
    robot.disk.mkdir()
    (robot.disk / "take_7.bag").write_bytes(b"#ROSBAG V2.0\n" * 100)
    (robot.disk / "take_7.json").write_text('{"task": "pick"}')
    published = robot.publish(robot.disk / "take_7.bag", "bottle/first", strategy="window")
    assert published.key == "bottle/first.bag"
    names = ["first.bag", "first.bag._READY", "first.bag.overrides.json", "first.json"]
    assert robot.objects() == [f"bottle/{name}" for name in names]
    paths = [member.path for member in list_members(robot.storage, robot.config, published.key)]
    assert sorted(paths) == [f"bottle/{name}" for name in names if name != "first.bag._READY"]
    assert robot.waits_because(published.key) is None


def test_a_bag_that_is_still_recorded_is_refused(robot: Robot) -> None:
    robot.disk.mkdir()
    (robot.disk / "take_7.bag.active").write_bytes(b"#ROSBAG V2.0\n")
    with pytest.raises(Refused, match="not finished"):
        robot.publish(robot.disk / "take_7.bag.active", "take_7")


def test_a_recording_that_changes_while_it_is_published_is_not_marked(
    robot: Robot, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = record(robot.disk)
    arm = robot.disk / "joints" / KEY / "left.parquet"

    def go_on_recording(name: str, key: str) -> None:
        if name == "upload" and key.endswith("left.parquet"):
            status = arm.stat()
            os.utime(arm, ns=(status.st_atime_ns, status.st_mtime_ns + 1))

    robot.watch(monkeypatch, go_on_recording)
    with pytest.raises(ContentChanged, match="changed while it was published"):
        robot.publish(recording)
    assert robot.waits_because() is not None


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a//b", "a\x1b[2Jb", "x" * 300])
def test_a_hostile_name_uploads_nothing(robot: Robot, name: str) -> None:
    with pytest.raises(Refused) as refusal:
        robot.publish(record(robot.disk), name)
    assert refusal.value.reason == "bad_name"
    assert robot.objects() == []


def test_the_publisher_imports_neither_dagster_nor_anything_heavy() -> None:
    code = (
        "import sys; from lerobot_pipelines.recorder import publish_episode; "
        "print([m for m in ('dagster', 'pandas', 'pyarrow', 'av', 'rosbags') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stderr


def test_a_configuration_file_may_be_named(robot: Robot, tmp_path: Path) -> None:
    from lerobot_pipelines.config import dump_config

    path = tmp_path / "robot.yaml"
    path.write_text(dump_config(robot.config))
    config: DatasetConfig | Path = path
    assert publish_episode(KEY, record(robot.disk), config=config).key == KEY
