"""The bucket sensor as a state machine: one test per transition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest

from lerobot_pipelines.defs import naming, rescan
from lerobot_pipelines.defs.bucket_sensor import evaluate
from lerobot_pipelines.defs.cursor import MOST_SEEN, BucketCursor
from lerobot_pipelines.storage.local import LocalStorage
from lerobot_pipelines_tests.defs.bucket import Bucket
from lerobot_pipelines_tests.defs.daemon import Daemon, partitions_of

EPISODE = "block/episode_1"
PARTITION = "block~episode_1"


def test_a_new_episode_gets_its_partition_and_one_run(daemon: Daemon) -> None:
    daemon.bucket.put(EPISODE)
    assert partitions_of(daemon.tick()) == [PARTITION]
    assert daemon.instance.get_dynamic_partitions("demo_episodes") == [PARTITION]
    assert daemon.tick() == []


def test_an_empty_bucket_is_a_skipped_tick(daemon: Daemon) -> None:
    assert daemon.tick() == []
    assert "nothing new" in daemon.skip_message


def test_an_episode_under_upload_waits_and_is_taken_when_complete(daemon: Daemon) -> None:
    daemon.bucket.begin_upload(EPISODE)
    assert daemon.tick() == []
    assert "only images so far" in daemon.skip_message
    assert daemon.instance.get_dynamic_partitions("demo_episodes") == []
    daemon.bucket.put(EPISODE)
    assert partitions_of(daemon.tick()) == [PARTITION]


def test_a_converted_episode_is_never_requested_again(daemon: Daemon) -> None:
    daemon.bucket.put(EPISODE)
    daemon.finish(daemon.tick())
    daemon.cursors.clear()
    assert daemon.tick() == []


def test_changed_content_is_requested_exactly_once(daemon: Daemon) -> None:
    daemon.bucket.put(EPISODE)
    daemon.finish(daemon.tick())
    daemon.bucket.put(EPISODE, b"other joints")
    changed = daemon.tick()
    assert partitions_of(changed) == [PARTITION]
    assert daemon.tick() == []
    daemon.finish(changed)
    daemon.cursors.clear()
    assert daemon.tick() == []


def test_content_put_back_as_it_was_is_converted_again(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An object store gives equal content an equal ETag; a folder's ETag holds the time.
    monkeypatch.setattr("lerobot_pipelines.storage.local.etag_of", lambda status: "etag")
    daemon.bucket.put(EPISODE, b"a")
    daemon.finish(daemon.tick())
    daemon.bucket.put(EPISODE, b"bb")
    daemon.finish(daemon.tick())
    daemon.bucket.put(EPISODE, b"a")
    assert partitions_of(daemon.tick()) == [PARTITION]


def test_a_daemon_killed_before_storing_its_cursor_doubles_nothing(daemon: Daemon) -> None:
    daemon.bucket.put(EPISODE)
    assert len(daemon.tick(store_cursor=False)) == 1
    assert daemon.tick() == []


def test_a_daemon_killed_after_adding_partitions_loses_nothing(daemon: Daemon) -> None:
    daemon.bucket.put(EPISODE)
    daemon.instance.add_dynamic_partitions("demo_episodes", [PARTITION])
    assert partitions_of(daemon.tick()) == [PARTITION]


def test_a_failed_run_is_left_to_the_rescan(daemon: Daemon) -> None:
    daemon.bucket.put(EPISODE)
    daemon.finish(daemon.tick(), convert=False)
    daemon.cursors.clear()
    assert daemon.tick() == []


def test_a_refused_episode_is_not_requested_again_until_it_changes(daemon: Daemon) -> None:
    daemon.bucket.put(EPISODE)
    daemon.finish(daemon.tick(), convert=False)
    daemon.bucket.refuse(EPISODE)
    daemon.cursors.clear()
    assert daemon.tick() == []
    daemon.bucket.put(EPISODE, b"complete now")
    assert partitions_of(daemon.tick()) == [PARTITION]


def test_what_the_command_line_converted_gets_a_partition_and_no_run(daemon: Daemon) -> None:
    daemon.bucket.put(EPISODE)
    daemon.bucket.convert(EPISODE)
    assert daemon.tick() == []
    assert daemon.instance.get_dynamic_partitions("demo_episodes") == [PARTITION]


def test_a_burst_is_spread_over_ticks_and_none_is_lost(
    make_bucket: Callable[..., Bucket], instance: dg.DagsterInstance
) -> None:
    daemon = Daemon(make_bucket(max_requests_per_tick=3), instance)
    for number in range(8):
        daemon.bucket.put(f"block/episode_{number}")
    ticks = [partitions_of(daemon.tick()) for _ in range(4)]
    assert [len(tick) for tick in ticks] == [3, 3, 2, 0]
    assert len({partition for tick in ticks for partition in tick}) == 8


def test_several_new_episodes_can_share_range_runs(
    make_bucket: Callable[..., Bucket], instance: dg.DagsterInstance
) -> None:
    daemon = Daemon(make_bucket(episodes_per_run=2), instance)
    for number in range(3):
        daemon.bucket.put(f"block/episode_{number}")
    ranges = [
        (run.tags[naming.RANGE_START_TAG], run.tags[naming.RANGE_END_TAG]) for run in daemon.tick()
    ]
    assert ranges == [
        ("block~episode_0", "block~episode_1"),
        ("block~episode_2", "block~episode_2"),
    ]
    assert daemon.tick() == []


def test_an_unreadable_episode_is_reported_and_does_not_stop_the_others(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lerobot_pipelines.pipeline import listing

    daemon.bucket.put("block/episode_1")
    daemon.bucket.put("block/episode_2")
    look = listing.look

    def failing(storage: Any, config: Any, key: str, **options: Any) -> object:
        if key.endswith("1"):
            raise OSError("input/output error")
        return look(storage, config, key, **options)

    monkeypatch.setattr(listing, "look", failing)
    assert partitions_of(daemon.tick()) == ["block~episode_2"]
    monkeypatch.setattr(listing, "look", look)
    assert partitions_of(daemon.tick()) == ["block~episode_1"]


def test_a_listing_error_fails_the_tick_and_the_next_one_goes_on(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.bucket.put(EPISODE)

    def failing(*_: object, **__: object) -> object:
        raise OSError("the store does not answer")

    with monkeypatch.context() as broken:
        broken.setattr("lerobot_pipelines.defs.bucket_sensor.list_names", failing)
        with pytest.raises(OSError, match="does not answer"):
            daemon.tick()
    assert partitions_of(daemon.tick()) == [PARTITION]


def test_known_episodes_take_turns_and_a_change_is_found(
    bucket: Bucket, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lerobot_pipelines.defs.bucket_sensor.KNOWN_LOOKED_AT", 2)
    daemon = Daemon(bucket, instance)
    for number in range(6):
        daemon.bucket.put(f"block/episode_{number}")
    daemon.finish(daemon.tick())
    daemon.bucket.put("block/episode_5", b"changed")
    found = [partitions_of(daemon.tick()) for _ in range(3)]
    assert [partition for tick in found for partition in tick] == ["block~episode_5"]


def test_the_cursor_stays_small_and_any_text_is_accepted() -> None:
    cursor = BucketCursor()
    for number in range(3 * MOST_SEEN):
        cursor.remember(f"episode_{number}", f"{number:064x}"[::-1])
    assert len(cursor.dump()) < 25_000
    again = BucketCursor.parse(cursor.dump())
    assert again.content_of(f"episode_{3 * MOST_SEEN - 1}") is not None
    assert again.content_of("episode_0") is None
    for text in (None, "", "nonsense", "[]", '{"version": 99}', '{"version": 1}'):
        assert BucketCursor.parse(text) == BucketCursor()


def test_a_tick_without_news_reads_no_verdicts(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        daemon.bucket.put(f"block/episode_{number}")
    daemon.finish(daemon.tick())

    def forbidden(*_: object) -> object:
        raise AssertionError("a verdict was read")

    monkeypatch.setattr("lerobot_pipelines.pipeline.sightings.state_of", forbidden)
    cursor = BucketCursor.parse(daemon.cursors["demo_bucket"])
    tick = evaluate(daemon.bucket.workspace, daemon.instance, cursor)
    assert tick.looked_at == 5
    assert tick.errors == [] and tick.requests == []


def test_a_folder_that_may_not_be_listed_is_reported_and_stops_nobody_else(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another user's folder; root, who may run this, could list it all the same."""
    for task in ("mine", "theirs"):
        daemon.bucket.put(f"{task}/episode_1")
    list_level = LocalStorage.list_level

    def guarded(self: LocalStorage, prefix: str = "") -> Any:
        if prefix.endswith("/theirs"):
            raise PermissionError(13, "Permission denied", prefix)
        return list_level(self, prefix)

    monkeypatch.setattr(LocalStorage, "list_level", guarded)
    assert partitions_of(daemon.tick()) == ["mine~episode_1"]
    daemon.instance.add_dynamic_partitions("demo_episodes", ["theirs~episode_0"])
    report: list[str] = []
    rescan.evaluate(daemon.bucket.workspace, daemon.instance, report, seed="0")
    assert any("raw/joints/theirs" in line and "not readable" in line for line in report)
    assert not any("no longer in the bucket" in line for line in report)
    monkeypatch.undo()
    assert partitions_of(daemon.tick()) == ["theirs~episode_1"]
