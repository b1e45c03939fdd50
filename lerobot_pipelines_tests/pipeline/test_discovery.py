from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.model import Member
from lerobot_pipelines.pipeline.discovery import (
    ABANDONED_AFTER_S,
    SECOND_NS,
    fingerprint,
    list_bad_names,
    list_episode_keys,
    list_members,
    readiness,
    source_of,
    task_of,
)
from lerobot_pipelines.recordings.layout import container_of
from lerobot_pipelines.storage import Storage, open_storage

FOLDER = ("left.parquet", "cam/1764167571000000.jpg")


class Bucket:
    """A bucket in a folder; ``touch`` makes objects of one byte below ``raw``."""

    def __init__(self, root: Path) -> None:
        self.url = root.as_uri()
        self.storage: Storage = open_storage(self.config().storage)

    def config(self, **settings: object) -> DatasetConfig:
        storage = settings.pop("storage", {})
        assert isinstance(storage, dict)
        return DatasetConfig.model_validate(
            {
                "dataset": {"name": "test"},
                "storage": {"url": self.url, **storage},
                "streams": [{"name": "left", "topic": "/left"}],
                "cameras": [{"name": "cam", "feature": "observation.images.cam"}],
                **settings,
            }
        )

    def touch(self, *paths: str, prefix: str = "raw/") -> None:
        for path in paths:
            self.storage.write(f"{prefix}{path}", b"x")

    def split(self, key: str, source: str = "") -> None:
        self.touch(f"{source}joints/{key}/{FOLDER[0]}", f"{source}images/{key}/{FOLDER[1]}")

    def whole(self, key: str) -> None:
        self.touch(f"{key}/joints/{FOLDER[0]}", f"{key}/images/{FOLDER[1]}")

    def keys(self, **settings: object) -> list[str]:
        return list(list_episode_keys(self.storage, self.config(**settings)))

    def members(self, key: str, **settings: object) -> list[str]:
        return [m.path for m in list_members(self.storage, self.config(**settings), key)]


@pytest.fixture
def bucket(tmp_path: Path) -> Bucket:
    return Bucket(tmp_path / "bucket")


def test_episodes_of_every_shape_are_found(bucket: Bucket) -> None:
    bucket.split("block/episode_1")
    bucket.split("episode_2")
    bucket.whole("block/episode_3")
    bucket.touch("bags/a.bag", "bags/b.mcap", "bags/b.json", "ros2/ep/metadata.yaml")
    bucket.touch("ros2/ep/ep_0.db3", "ros2/ep/ep_1.db3", "ros2/new/new_0.mcap", "notes.txt")
    assert bucket.keys() == [
        *("bags/a.bag", "bags/b.mcap", "block/episode_1", "block/episode_3", "episode_2"),
        *("ros2/ep", "ros2/new"),
    ]


def test_members_are_the_data_of_one_episode(bucket: Bucket) -> None:
    for key in ("block/episode_1", "block/episode_10"):
        bucket.split(key)
    bucket.whole("block/episode_3")
    bucket.touch("joints/block/episode_1/metadata.json", "block/episode_3/metadata.json")
    bucket.touch("images/block/episode_1/cam/x.jpg.part", "images/block/episode_1/.DS_Store")
    bucket.touch("images/block/episode_1/_READY", "joints/block/episode_1/notes.txt")
    assert bucket.members("block/episode_1") == [
        "images/block/episode_1/cam/1764167571000000.jpg",
        "joints/block/episode_1/left.parquet",
        "joints/block/episode_1/metadata.json",
    ]
    assert bucket.members("block/episode_3") == [
        "block/episode_3/images/cam/1764167571000000.jpg",
        "block/episode_3/joints/left.parquet",
        "block/episode_3/metadata.json",
    ]
    assert bucket.members("block/episode_2") == []


def test_members_of_bags(bucket: Bucket) -> None:
    bucket.touch("a.bag", "a.json", "b.bag", "ep/metadata.yaml", "ep/ep_0.mcap", "ep/x.bag.active")
    assert bucket.members("a.bag") == ["a.bag", "a.json"]
    assert bucket.members("b.bag") == ["b.bag"]
    assert bucket.members("ep") == ["ep/ep_0.mcap", "ep/metadata.yaml"]
    config = bucket.config()
    for key, container in (("a.bag", "ros1"), ("ep", "ros2")):
        assert container_of(list_members(bucket.storage, config, key)) == container


def test_a_bag_beside_joints_and_images_is_no_part_of_the_episode(bucket: Bucket) -> None:
    bucket.whole("episode_1")
    bucket.touch("episode_1/copy.bag")
    assert bucket.keys() == ["episode_1"]
    assert bucket.members("episode_1") == [
        "episode_1/images/cam/1764167571000000.jpg",
        "episode_1/joints/left.parquet",
    ]


def test_bags_are_no_episodes_of_a_dataset_without_topics(bucket: Bucket) -> None:
    bucket.split("episode_1")
    bucket.touch("a.bag")
    without = {"streams": [{"name": "left"}]}
    assert bucket.keys(**without) == ["episode_1"]
    assert list(list_bad_names(bucket.storage, bucket.config(**without))) == []


def test_each_source_has_its_own_tree(bucket: Bucket) -> None:
    sources = {"storage": {"sources": ["robot_1", "robot_2"]}}
    bucket.split("block/episode_1", "robot_1/")
    bucket.whole("robot_2/block/episode_1")
    bucket.whole("robot_3/block/episode_1")
    assert bucket.keys(**sources) == ["robot_1/block/episode_1", "robot_2/block/episode_1"]
    assert bucket.members("robot_1/block/episode_1", **sources) == [
        "robot_1/images/block/episode_1/cam/1764167571000000.jpg",
        "robot_1/joints/block/episode_1/left.parquet",
    ]
    config = bucket.config(**sources)
    assert source_of(config, "robot_1/block/episode_1") == "robot_1"
    assert source_of(config, "robot_10/block/episode_1") is None
    assert source_of(bucket.config(), "robot_1/block/episode_1") is None


def test_other_folder_names_can_be_configured(bucket: Bucket) -> None:
    layout = {"layout": {"joints": "data/arms", "images": "data/pictures"}}
    bucket.touch("data/arms/block/e1/left.parquet", "data/pictures/block/e1/cam/1.jpg")
    bucket.touch("block/e2/data/arms/left.parquet", "block/e2/data/pictures/cam/1.jpg")
    assert bucket.keys(**layout) == ["block/e1", "block/e2"]
    assert len(bucket.members("block/e1", **layout)) == 2
    assert len(bucket.members("block/e2", **layout)) == 2


def test_a_raw_prefix_of_nothing_leaves_the_results_alone(bucket: Bucket) -> None:
    bucket.touch("joints/block/e1/left.parquet", "images/block/e1/cam/1.jpg", prefix="")
    bucket.touch("converted/test/x.bag", "work/test/episodes/joints/x.parquet", prefix="")
    storage = {"storage": {"raw_prefix": ""}}
    assert bucket.keys(**storage) == ["block/e1"]
    assert len(bucket.members("block/e1", **storage)) == 2


def test_images_without_joints_are_an_episode_too(bucket: Bucket) -> None:
    bucket.split("block/e1")
    bucket.touch("images/block/e2/cam/1.jpg", "images/block/e2/cam_left/1.jpg")
    bucket.touch("images/e3/cam/1.jpg", "images/deep/er/e4/cam/1.png")
    assert bucket.keys() == ["block/e1", "block/e2", "deep/er/e4", "e3"]


def test_hidden_and_unfinished_folders_hold_no_episodes(bucket: Bucket) -> None:
    bucket.split(".trash/e1")
    bucket.whole("upload.part/e1")
    bucket.touch("x.bag.active", "y.bag.tmp", ".z.bag")
    assert bucket.keys() == []


@pytest.mark.parametrize("name", ["new\nline", "x" * 201, "\udcff", "抓" * 40])
def test_bad_names_are_reported_and_stop_no_other_episode(
    bucket: Bucket, tmp_path: Path, name: str
) -> None:
    bucket.split("block/e1")
    bad = tmp_path / "bucket" / "raw" / "joints" / "block" / name
    bad.mkdir()
    (bad / "left.parquet").write_bytes(b"x")
    assert bucket.keys() == ["block/e1"]
    ((key, reason),) = list_bad_names(bucket.storage, bucket.config())
    assert key.startswith("block/")
    assert "rename" in reason and reason.isprintable()


@pytest.mark.parametrize("name", ["two words", "comma, dot...", "抓取瓶子", "[a]", "ünï", "a=b~c"])
def test_odd_names_are_episodes_like_others(bucket: Bucket, name: str) -> None:
    bucket.split(f"{name}/{name}")
    assert bucket.keys() == [f"{name}/{name}"]
    assert len(bucket.members(f"{name}/{name}")) == 2


def test_files_whose_names_cannot_be_read_are_left_out(bucket: Bucket, tmp_path: Path) -> None:
    bucket.split("block/e1")
    cam = tmp_path / "bucket" / "raw" / "images" / "block" / "e1" / "cam"
    (cam / "\udcff.jpg").write_bytes(b"x")
    (cam / "a\nb.jpg").write_bytes(b"x")
    assert len(bucket.members("block/e1")) == 2


MEMBERS = st.lists(
    st.builds(Member, st.text(max_size=8), st.integers(0, 99), st.text(max_size=4)),
    unique_by=lambda member: member.path,
)


@given(MEMBERS, st.randoms())
def test_the_fingerprint_does_not_depend_on_the_order(
    members: list[Member], random: object
) -> None:
    shuffled = list(members)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert fingerprint(shuffled) == fingerprint(members)
    assert len(fingerprint(members)) == 64


def test_the_fingerprint_tells_every_change() -> None:
    members = [Member("a", 1, "x"), Member("b", 2, "y")]
    others = [
        *([Member("a", 1, "x")], [*members, Member("c", 0, "")], [Member("a", 1, "z"), members[1]]),
        *([Member("A", 1, "x"), members[1]], [Member("a", 3, "x"), members[1]], []),
    ]
    assert len({fingerprint(other) for other in (members, *others)}) == len(others) + 1


def _why_not(bucket: Bucket, key: str, age_s: float, **scanner: object) -> str | None:
    config = bucket.config(storage={"scanner": scanner})
    members = list_members(bucket.storage, config, key)
    now_ns = time.time_ns() + int(age_s * SECOND_NS)
    return readiness(bucket.storage, config, key, members, now_ns)


def test_an_episode_is_ready_after_the_quiet_period(bucket: Bucket) -> None:
    bucket.split("e1")
    assert "quiet period of 10 s" in str(_why_not(bucket, "e1", 1.0))
    assert _why_not(bucket, "e1", 11.0) is None
    assert _why_not(bucket, "e1", 0.0, quiet_period_s=0) is None
    # The store's clock is a second ahead, or wrong altogether.
    assert _why_not(bucket, "e1", -1.0) is not None
    assert _why_not(bucket, "e1", -1000.0) is None


def test_half_an_episode_is_waited_for_but_not_for_ever(bucket: Bucket) -> None:
    bucket.touch("images/e1/cam/1764167571000000.jpg", "joints/e2/left.parquet")
    assert _why_not(bucket, "e1", 60.0) == "only images so far"
    assert _why_not(bucket, "e2", 60.0) == "only joints so far"
    assert _why_not(bucket, "e2", ABANDONED_AFTER_S + 60) is None


def test_a_folder_needs_enough_files_and_a_bag_does_not(bucket: Bucket) -> None:
    bucket.split("e1")
    bucket.touch("a.bag")
    assert _why_not(bucket, "e1", 60.0, min_episode_files=3) == "2 of at least 3 files so far"
    assert _why_not(bucket, "e1", 60.0, min_episode_files=2) is None
    assert _why_not(bucket, "a.bag", 60.0, min_episode_files=3) is None


@pytest.mark.parametrize("marker", ["e1/_READY", "joints/e1/_READY", "images/e1/_READY"])
def test_a_marker_decides_alone_where_one_is_configured(bucket: Bucket, marker: str) -> None:
    bucket.split("e1")
    assert _why_not(bucket, "e1", 1000.0, marker="_READY") == "no _READY yet"
    bucket.touch(marker)
    assert _why_not(bucket, "e1", 0.0, marker="_READY", min_episode_files=9) is None


@pytest.mark.parametrize(
    ("key", "task"),
    [
        *(("pick_up-bottle/episode_1", "pick up bottle"), ("a/b/place__it/x.bag", "place it")),
        *(("fold.bag", "fold"), ("抓取/1", "抓取"), ("__/x", "__/x")),
    ],
)
def test_the_task_is_the_folder_in_words(key: str, task: str) -> None:
    assert task_of(key) == task
