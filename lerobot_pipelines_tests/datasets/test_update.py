from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lerobot_pipelines.config.schema import Format
from lerobot_pipelines.datasets import dataset_prefix, update_dataset
from lerobot_pipelines.datasets.records import EpisodeRecord
from lerobot_pipelines.datasets.statistics import vector_statistics
from lerobot_pipelines.datasets.verify import verify_dataset
from lerobot_pipelines.errors import Reason, Refused, Transient
from lerobot_pipelines_tests.datasets.episodes import (
    CAMERA,
    STATE,
    Bucket,
    brightness,
    toy_config,
    toy_frames,
)
from lerobot_pipelines_tests.datasets.reading import content, episodes_of, json_lines, tree

OLD = "0" * 64  # hash of a configuration that is no more


def expected(*episodes: tuple[int, int]) -> list[dict[str, object]]:
    """What a reader should find for (seed, length) of each episode."""
    return [
        {
            "task": "pick",
            "states": toy_frames((length,), seed, 0, 10).features[STATE].tolist(),
            "pictures": {CAMERA: [brightness(seed, frame) for frame in range(length)]},
        }
        for seed, length in episodes
    ]


def near(found: object, wanted: list[dict[str, object]]) -> bool:
    """Equal, but for what the encoder loses of a picture's brightness."""
    assert isinstance(found, list)
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert one["states"] == other["states"]
        for camera, levels in other["pictures"].items():  # type: ignore[attr-defined]
            assert one["pictures"][camera] == pytest.approx(levels, abs=3)
    return True


def test_a_first_update_holds_all_episodes_in_the_order_of_their_keys(
    bucket: Bucket, fmt: Format
) -> None:
    bucket.put("b", 5, seed=1)
    bucket.put("a", 6, seed=2)
    update = bucket.update(fmt)
    assert (update.kind, update.added, update.changed) == ("create", ("a", "b"), True)
    assert (update.episodes, update.frames) == (2, 11)
    assert near(content(bucket.root(fmt)), expected((2, 6), (1, 5)))
    assert verify_dataset(bucket.root(fmt)).ok


def test_every_segment_of_a_recording_is_an_episode(bucket: Bucket, fmt: Format) -> None:
    bucket.put("a", 5, 3, 4)
    assert bucket.update(fmt).episodes == 3
    found = content(bucket.root(fmt))
    assert found is not None
    states = toy_frames((5, 3, 4), 0, 0, 10).features[STATE].tolist()
    assert [one["states"] for one in found] == [states[:5], states[5:8], states[8:]]
    assert verify_dataset(bucket.root(fmt)).ok


def test_nothing_to_do_writes_nothing_and_reads_no_record(bucket: Bucket, fmt: Format) -> None:
    bucket.put("a")
    bucket.put("broken", passed=False)
    bucket.update(fmt)
    before = {info.key: info.etag for info in bucket.storage.list()}
    bucket.reads.clear()
    update = bucket.update(fmt)
    assert (update.kind, update.changed, update.episodes) == ("none", False, 1)
    assert update.skipped == {"broken": "[check_failed] rows told"}
    assert {info.key: info.etag for info in bucket.storage.list()} == before
    assert bucket.reads == []


def test_an_append_reads_one_record_and_leaves_old_files_untouched(
    bucket: Bucket, fmt: Format
) -> None:
    bucket.put("a", 6, seed=1)
    bucket.put("b", 5, seed=2)
    bucket.update(fmt)
    before = {
        info.key: info.etag for info in bucket.storage.list(dataset_prefix(bucket.config, fmt))
    }
    bucket.put("c", 7, seed=3)
    bucket.reads.clear()
    update = bucket.update(fmt)
    assert (update.kind, update.added) == ("append", ("c",))
    assert bucket.reads == [bucket.record_key("c")]
    after = {
        info.key: info.etag for info in bucket.storage.list(dataset_prefix(bucket.config, fmt))
    }
    touched = {key.partition(f"{fmt}/")[2] for key in before if after.get(key) != before[key]}
    small = {"README.md", "meta/provenance.jsonl", "meta/info.json", "meta/stats.json"}
    if fmt is Format.V21:
        small -= {"meta/stats.json"}
        small |= {"meta/episodes.jsonl", "meta/episodes_stats.jsonl"}
    assert touched == small
    assert near(content(bucket.root(fmt)), expected((1, 6), (2, 5), (3, 7)))
    assert verify_dataset(bucket.root(fmt)).ok


def test_appending_to_v21_gives_the_same_bytes_as_writing_all_at_once(
    bucket: Bucket, tmp_path: Path
) -> None:
    at_once = Bucket(toy_config(tmp_path / "other"), tmp_path / "scratch")
    for number in range(4):
        for one in (bucket, at_once):
            one.put(f"e{number}", 4 + number, seed=number, task=f"task {number % 2}")
        bucket.update(Format.V21)
    at_once.update(Format.V21)
    assert tree(bucket.root(Format.V21)) == tree(at_once.root(Format.V21))


def test_appending_to_v30_gives_the_statistics_of_writing_all_at_once(
    bucket: Bucket, tmp_path: Path
) -> None:
    at_once = Bucket(toy_config(tmp_path / "other"), tmp_path / "scratch")
    for number in range(4):
        for one in (bucket, at_once):
            one.put(f"e{number}", 4 + number, seed=number)
        bucket.update(Format.V30)
    at_once.update(Format.V30)
    for path in ("meta/stats.json", "meta/info.json", "meta/tasks.parquet", "README.md"):
        assert (bucket.root(Format.V30) / path).read_bytes() == (
            at_once.root(Format.V30) / path
        ).read_bytes()


def test_a_replaced_episode_keeps_its_index(bucket: Bucket, fmt: Format) -> None:
    for number, key in enumerate("abc"):
        bucket.put(key, 5, seed=number)
    bucket.update(fmt)
    bucket.put("b", 7, seed=9)
    update = bucket.update(fmt)
    assert (update.kind, update.replaced, update.added) == ("rewrite", ("b",), ())
    assert near(content(bucket.root(fmt)), expected((0, 5), (9, 7), (2, 5)))
    assert verify_dataset(bucket.root(fmt)).ok


def test_replacing_by_equal_length_leaves_the_other_episodes_files(
    bucket: Bucket, fmt: Format
) -> None:
    for number, key in enumerate("abc"):
        bucket.put(key, 5, seed=number)
        bucket.update(fmt)
    before = tree(bucket.root(fmt))
    etags = {
        info.key: info.etag for info in bucket.storage.list(dataset_prefix(bucket.config, fmt))
    }
    bucket.put("b", 5, seed=9)
    bucket.update(fmt)
    same = [
        info.key
        for info in bucket.storage.list(dataset_prefix(bucket.config, fmt))
        if etags.get(info.key) == info.etag
    ]
    names = {key.partition(f"{fmt}/")[2] for key in same}
    large = {name for name in before if name.startswith(("data/", "videos/"))}
    # Of v2.1 all videos move, because info.json names one place for all of them; of v3.0 the rows
    # behind the changed ones get new numbers, because lerobot reads them in their order.
    moved = ("1.parquet", ".mp4") if fmt is Format.V21 else ("1.parquet", "1.mp4", "2.parquet")
    assert {name for name in large if not name.endswith(moved)} <= names
    assert verify_dataset(bucket.root(fmt)).ok


def test_a_removed_episode_closes_the_gap(bucket: Bucket, fmt: Format) -> None:
    for number, key in enumerate("abc"):
        bucket.put(key, 5 + number, seed=number)
        bucket.update(fmt)
    bucket.remove("b")
    update = bucket.update(fmt)
    assert (update.kind, update.removed, update.episodes) == ("rewrite", ("b",), 2)
    assert near(content(bucket.root(fmt)), expected((0, 5), (2, 7)))
    assert verify_dataset(bucket.root(fmt)).ok


def test_removing_all_episodes_leaves_no_dataset(bucket: Bucket, fmt: Format) -> None:
    bucket.put("a")
    bucket.update(fmt)
    bucket.remove("a")
    update = bucket.update(fmt)
    assert (update.removed, update.episodes) == (("a",), 0)
    assert list(bucket.storage.list(dataset_prefix(bucket.config, fmt))) == []
    assert bucket.update(fmt).kind == "none"
    bucket.put("b", seed=3)
    assert bucket.update(fmt).kind == "create"
    assert near(content(bucket.root(fmt)), expected((3, 5)))


def test_an_episode_whose_check_fails_leaves_and_returns(bucket: Bucket, fmt: Format) -> None:
    bucket.put("a", seed=1)
    bucket.put("b", seed=2)
    bucket.update(fmt)
    bucket.put("b", seed=2, passed=False)
    update = bucket.update(fmt)
    assert update.removed == ("b",)
    assert "check_failed" in update.skipped["b"]
    bucket.put("b", seed=2)
    update = bucket.update(fmt)
    assert (update.added, update.skipped) == (("b",), {})
    assert near(content(bucket.root(fmt)), expected((1, 5), (2, 5)))


def test_a_record_that_cannot_be_read_is_skipped_with_its_reason(
    bucket: Bucket, fmt: Format
) -> None:
    bucket.put("a")
    bucket.put("b")
    read = bucket.read

    def refusing(object_key: str) -> EpisodeRecord:
        if object_key == bucket.record_key("b"):
            raise Refused(Reason.CORRUPT_ARTIFACT, "b.json is damaged")
        return read(object_key)

    bucket.read = refusing  # type: ignore[method-assign]
    update = bucket.update(fmt)
    assert update.added == ("a",)
    assert update.skipped == {bucket.record_key("b"): "[corrupt_artifact] b.json is damaged"}


@pytest.mark.parametrize(
    ("change", "told"),
    [({"size": (32, 48)}, "[48, 32, 3]"), ({"fps": 5}, "5 fps"), ({"cameras": 2}, "missing")],
)
def test_an_episode_of_another_shape_is_left_out_with_a_reason(
    bucket: Bucket, fmt: Format, change: dict[str, object], told: str
) -> None:
    bucket.put("a")
    bucket.put("b", **change)  # type: ignore[arg-type]
    update = bucket.update(fmt)
    assert update.added == ("a",)
    assert update.skipped["b"].startswith("[incompatible]")
    assert told in update.skipped["b"]


def test_a_first_episode_unlike_the_others_does_not_keep_them_out(
    bucket: Bucket, fmt: Format
) -> None:
    bucket.put("a", size=(32, 48))
    bucket.put("b", seed=1)
    bucket.put("c", seed=2)
    update = bucket.update(fmt)
    assert update.added == ("b", "c")
    assert "[48, 32, 3]" in update.skipped["a"]
    assert "video.size" in update.skipped["a"]


def test_an_episode_beyond_1024_seconds_is_refused_before_anything_is_written(
    bucket: Bucket, fmt: Format
) -> None:
    record = bucket.put("a")
    (segment,) = record.segments
    video = segment.videos[CAMERA].model_copy(update={"frames": 10_241})
    long = segment.model_copy(update={"length": 10_241, "videos": {CAMERA: video}})
    record = record.model_copy(update={"segments": (long,)})
    bucket.storage.write(bucket.record_key("a"), record.model_dump_json().encode())
    bucket.put("b")
    update = bucket.update(fmt)
    assert update.added == ("b",)
    assert update.skipped["a"].startswith("[too_long] one episode of 1024 s")
    assert "split" in update.skipped["a"]


def test_older_episodes_stay_while_they_fit_and_are_called_stale(
    bucket: Bucket, fmt: Format
) -> None:
    bucket.put("a", seed=1)
    bucket.put("b", seed=2, config_hash=OLD)
    update = bucket.update(fmt)
    assert (update.added, update.stale) == (("a", "b"), ("b",))
    assert verify_dataset(bucket.root(fmt)).ok


def test_older_episodes_of_other_features_leave_once_the_first_new_one_is_there(
    bucket: Bucket, fmt: Format
) -> None:
    bucket.put("a", seed=1, cameras=2)
    bucket.put("b", seed=2, cameras=2)
    bucket.update(fmt)
    for key in "ab":  # the configuration changed: what is there is now of an old one
        bucket.put(key, seed=1, cameras=2, config_hash=OLD)
    assert bucket.update(fmt).kind == "none"
    bucket.put("b", seed=2)
    update = bucket.update(fmt)
    assert update.removed == ("a",)
    assert update.skipped["a"].startswith("[incompatible]")
    assert near(content(bucket.root(fmt)), expected((2, 5)))
    bucket.put("a", seed=1)
    assert bucket.update(fmt).added == ("a",)
    assert verify_dataset(bucket.root(fmt)).ok


def test_without_an_episode_of_the_current_configuration_nothing_happens(
    bucket: Bucket, fmt: Format
) -> None:
    bucket.put("a", config_hash=OLD)
    update = bucket.update(fmt)
    assert (update.kind, update.episodes) == ("none", 0)
    assert list(bucket.storage.list(dataset_prefix(bucket.config, fmt))) == []


def test_a_task_never_changes_its_index(bucket: Bucket, fmt: Format) -> None:
    bucket.put("a", task="fold")
    bucket.put("b", task="pour it \N{SNOWMAN}")
    bucket.update(fmt)
    bucket.remove("a")
    bucket.put("c", task="wipe")
    bucket.update(fmt)
    found = content(bucket.root(fmt))
    assert found is not None
    assert [one["task"] for one in found] == ["pour it \N{SNOWMAN}", "wipe"]
    if fmt is Format.V21:
        tasks = json_lines(bucket.root(fmt) / "meta/tasks.jsonl")
        assert [one["task"] for one in tasks] == ["fold", "pour it \N{SNOWMAN}", "wipe"]


def test_rows_that_are_not_the_records_are_transient_and_leave_the_dataset(
    bucket: Bucket, fmt: Format
) -> None:
    bucket.put("a", seed=1)
    bucket.update(fmt)
    before = content(bucket.root(fmt))
    record = bucket.put("b", seed=2)
    bucket.storage.write(record.frames_key, b"being written again")
    with pytest.raises(Transient, match="aligned-"):
        bucket.update(fmt)
    bucket.put("b", seed=2)
    assert bucket.update(fmt).added == ("b",)
    assert before is not None
    assert near(content(bucket.root(fmt)), expected((1, 5), (2, 5)))


def test_a_video_that_is_not_the_records_is_transient(bucket: Bucket, fmt: Format) -> None:
    record = bucket.put("a")
    bucket.storage.delete(record.segments[0].videos[CAMERA].key)
    with pytest.raises(Transient, match="not there"):
        bucket.update(fmt)
    assert content(bucket.root(fmt)) is None


def test_an_episodes_video_is_copied_by_the_store_and_not_through_this_machine(
    bucket: Bucket, fmt: Format
) -> None:
    record = bucket.put("a")
    bucket.update(fmt)
    artifact = bucket.root_folder / record.segments[0].videos[CAMERA].key
    (video,) = bucket.root(fmt).rglob("*.mp4")
    assert video.samefile(artifact)


def test_a_store_that_cannot_copy_is_sent_the_video(bucket: Bucket, fmt: Format) -> None:
    class Plain:
        """A store that speaks S3, but for copies."""

        url = bucket.storage.url

        def __getattr__(self, name: str) -> Any:
            return getattr(bucket.storage, name)

        def copy(self, source: str, key: str) -> None:
            raise Transient("501 Not Implemented")

    bucket.put("a")
    assert bucket.update(fmt, Plain()).added == ("a",)  # type: ignore[arg-type]
    assert verify_dataset(bucket.root(fmt)).ok


def test_a_video_damaged_since_it_was_made_is_noticed(bucket: Bucket, fmt: Format) -> None:
    record = bucket.put("a")
    artifact = bucket.root_folder / record.segments[0].videos[CAMERA].key
    data = bytearray(artifact.read_bytes())
    data[len(data) // 2] ^= 1
    artifact.write_bytes(data)
    with pytest.raises(Transient, match="not what the record"):
        bucket.update(fmt)
    assert content(bucket.root(fmt)) is None


def test_changed_settings_rewrite_only_what_states_them(bucket: Bucket, fmt: Format) -> None:
    bucket.put("a", seed=1)
    bucket.update(fmt)
    etags = {
        info.key: info.etag for info in bucket.storage.list(dataset_prefix(bucket.config, fmt))
    }
    dataset = bucket.config.dataset.model_copy(update={"tags": ("two arms",)})
    bucket.config = bucket.config.model_copy(update={"dataset": dataset})
    assert bucket.update(fmt).changed
    after = {
        info.key: info.etag for info in bucket.storage.list(dataset_prefix(bucket.config, fmt))
    }
    assert [key for key in etags if etags[key] != after[key]] == [f"converted/toy/{fmt}/README.md"]
    assert '- "two arms"' in (bucket.root(fmt) / "README.md").read_text()


def test_a_record_made_again_without_a_difference_changes_no_byte_and_is_read_once(
    bucket: Bucket, fmt: Format
) -> None:
    bucket.put("a")
    bucket.update(fmt)
    etags = {
        info.key: info.etag for info in bucket.storage.list(dataset_prefix(bucket.config, fmt))
    }
    bucket.put("a")
    assert bucket.update(fmt).kind == "none"
    assert {
        info.key: info.etag for info in bucket.storage.list(dataset_prefix(bucket.config, fmt))
    } == etags
    bucket.reads.clear()
    bucket.update(fmt)
    assert bucket.reads == []


def test_v30_files_roll_over_by_size_and_join_without_reencoding(tmp_path: Path) -> None:
    bucket = Bucket(toy_config(tmp_path / "bucket"), tmp_path / "scratch")
    for number in range(5):
        bucket.put(f"e{number}", 5, seed=number)
    bucket.update(Format.V30)
    root = bucket.root(Format.V30)
    assert [path.name for path in sorted(root.glob("videos/*/*/*"))] == ["file-000.mp4"]
    rows = episodes_of(root)
    starts = [row[f"videos/{CAMERA}/from_timestamp"] for row in rows]
    assert starts == [number * 5 / 10 for number in range(5)]
    assert near(content(root), expected(*((number, 5) for number in range(5))))


def test_sixteen_appends_to_v30_are_joined_into_one_file(bucket: Bucket) -> None:
    root = bucket.root(Format.V30)
    for number in range(17):
        bucket.put(f"e{number:02d}", 2, seed=number)
        kind = bucket.update(Format.V30).kind
        assert kind == {0: "create", 15: "rewrite"}.get(number, "append")
        counts = {len(list(root.glob(f"{top}/*/*"))) for top in ("data", "meta/episodes")}
        assert counts == {1 + number if number < 15 else number - 14}
    assert len(list(root.glob("videos/*/*/*.mp4"))) == 2
    assert near(content(root), expected(*((number, 2) for number in range(17))))
    assert verify_dataset(root).ok


def test_info_json_tells_the_truth(bucket: Bucket, fmt: Format) -> None:
    bucket.put("a", 5, chunk=3)
    bucket.update(fmt)
    info = json.loads((bucket.root(fmt) / "meta/info.json").read_bytes())
    assert info["codebase_version"] == fmt.value
    assert info["robot_type"] == "toybot"
    assert info["splits"] == {"train": "0:1"}
    assert list(info["features"]) == [
        STATE,
        "action",
        "gripper",
        "action_is_pad",
        CAMERA,
        "timestamp",
        "frame_index",
        "episode_index",
        "index",
        "task_index",
    ]
    assert info["features"]["action"] == {
        "dtype": "float32",
        "shape": [3, 2],
        "names": ["x", "y"],
    }
    assert info["features"][CAMERA] == {
        "dtype": "video",
        "shape": [48, 64, 3],
        "names": ["height", "width", "channels"],
        "info": {
            "video.height": 48,
            "video.width": 64,
            "video.codec": "h264",
            "video.pix_fmt": "yuv420p",
            "video.is_depth_map": False,
            "video.fps": 10,
            "video.channels": 3,
            "has_audio": False,
        },
    }


def test_a_pattern_places_the_dataset(tmp_path: Path, fmt: Format) -> None:
    config = toy_config(tmp_path, pattern="robots/{robot}/{dataset}_x")
    bucket = Bucket(config, tmp_path / "scratch")
    bucket.put("a")
    assert bucket.update(fmt).root == f"converted/robots/toybot/toy_x/{fmt}"


def test_episodes_of_equal_pictures_do_not_change_places(bucket: Bucket) -> None:
    for number in range(4):
        bucket.put(f"e{number}", 5, seed=1)
        kind = bucket.update(Format.V30).kind
        assert kind == ("append" if number else "create")
    names = sorted(path.name for path in bucket.root(Format.V30).glob("videos/*/*/*"))
    assert names == [f"file-{number:03d}.mp4" for number in range(4)]


def test_an_episode_with_a_frame_too_few_is_left_out(bucket: Bucket, fmt: Format) -> None:
    bucket.put("a")
    record = bucket.put("b", 5)
    (segment,) = record.segments
    video = segment.videos[CAMERA].model_copy(update={"frames": 4})
    segment = segment.model_copy(update={"videos": {CAMERA: video}})
    record = record.model_copy(update={"segments": (segment,)})
    bucket.storage.write(bucket.record_key("b"), record.model_dump_json().encode())
    update = bucket.update(fmt)
    assert update.added == ("a",)
    assert "4 frames for 5 rows" in update.skipped["b"]


def test_a_store_that_is_not_this_machines_is_read_by_download(bucket: Bucket, fmt: Format) -> None:
    class Remote:
        """The bucket without a shortcut to its files."""

        url = "s3://toy"

        def __getattr__(self, name: str) -> Any:
            return getattr(bucket.storage, name)

        def local_path(self, key: str) -> None:
            return None

    for number in range(3):
        bucket.put(f"e{number}", 5, 4, seed=number % 2)
    with tempfile.TemporaryDirectory(dir=bucket.root_folder.parent) as name:
        scratch = Path(name)
        update_dataset(Remote(), bucket.config, fmt, bucket, scratch=scratch)  # type: ignore[arg-type]
        assert list(scratch.iterdir()) == []
    assert verify_dataset(bucket.root(fmt)).ok
    assert bucket.update(fmt).kind == "none"


def test_an_episode_with_values_that_are_not_finite_is_left_out(
    bucket: Bucket, fmt: Format
) -> None:
    bucket.put("a")
    record = bucket.put("b", 5)
    (segment,) = record.segments
    spoilt = vector_statistics(np.array([[1.0, np.nan, 2.0]]))
    segment = segment.model_copy(update={"statistics": segment.statistics | {STATE: spoilt}})
    record = record.model_copy(update={"segments": (segment,)})
    bucket.storage.write(bucket.record_key("b"), record.model_dump_json().encode())
    update = bucket.update(fmt)
    assert update.added == ("a",)
    assert f"{STATE} holds values that are not finite" in update.skipped["b"]
