"""Episodes looked at together are what each is alone, whatever lies between them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from lerobot_pipelines.config.schema import DatasetConfig, StorageConfig
from lerobot_pipelines.errors import Refused, Transient
from lerobot_pipelines.pipeline.listing import look, look_at_many
from lerobot_pipelines.pipeline.object_stream import LONGEST_SKIP, ObjectStream
from lerobot_pipelines.storage import Storage, open_storage
from lerobot_pipelines.storage.base import ObjectInfo

SPLIT = ("robot_1/block/ep_1", "robot_1/block/ep_10", "robot_1/block/ep_1-b", "robot_2/ep_1")
WHOLE = ("robot_1/a", "robot_1/z", "robot_1/block/ep_2")
BAGS = ("robot_2/run.bag", "robot_2/run.two.bag", "robot_2/run_1.mcap", "robot_2/x.db3.zstd")
GONE = ("robot_1/block/ep_0", "robot_2/gone.bag", "robot_3/ep")


@pytest.fixture(params=["local", "s3"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> DatasetConfig:
    if request.param == "local":
        bucket = StorageConfig(url=(tmp_path / "bucket").as_uri())
    else:
        server = request.getfixturevalue("s3_server")
        bucket = server.config(server.new_bucket())
    sources = {"sources": ("robot_1", "robot_2", "robot_3")}
    return DatasetConfig.model_validate(
        {"dataset": {"name": "fleet"}, "storage": bucket.model_dump() | sources}
    )


@pytest.fixture
def bucket(config: DatasetConfig) -> Storage:
    storage = open_storage(config.storage)
    for key in SPLIT:
        source, _, rest = key.partition("/")
        for path in (f"joints/{rest}/left.parquet", f"images/{rest}/cam/1.jpg"):
            storage.write(f"raw/{source}/{path}", key.encode())
        storage.write(f"raw/{source}/joints/{rest}/_READY", b"")
    for key in WHOLE:
        for path in ("joints/left.parquet", "images/cam/1.jpg", "metadata.json", "notes.txt"):
            storage.write(f"raw/{key}/{path}", key.encode())
    for key in BAGS:
        storage.write(f"raw/{key}", key.encode())
    for path in ("run.json", "run.bag.overrides.json", "run.bag._READY", "run.two.bag.json"):
        storage.write(f"raw/robot_2/{path}", b"{}")
    return storage


@pytest.mark.parametrize("seed", range(3))
def test_together_they_are_what_each_is_alone(
    bucket: Storage, config: DatasetConfig, seed: int
) -> None:
    keys = [*SPLIT, *WHOLE, *BAGS, *GONE]
    random.Random(seed).shuffle(keys)
    together = dict(look_at_many(bucket, config, keys))
    for key in keys:
        alone, listing = look(bucket, config, key, with_signs=True), together[key]
        assert not isinstance(listing, Exception)
        assert (listing.members, listing.signs) == (alone.members, alone.signs)
    assert together["robot_1/block/ep_1"].signs == {"_READY"}  # type: ignore[union-attr]
    assert together["robot_2/run.bag"].signs == {"_READY"}  # type: ignore[union-attr]
    paths = [member.path for member in together["robot_2/run.bag"].members]  # type: ignore[union-attr]
    assert paths == ["robot_2/run.bag", "robot_2/run.bag.overrides.json", "robot_2/run.json"]


class CountedListing:
    """A store of 5,000 objects that counts the listings begun; ``breaks_at``: once, at that key."""

    def __init__(self, breaks_at: str = "") -> None:
        self.begun: list[str] = []
        self._breaks_at = breaks_at

    def list_after(self, prefix: str, after: str) -> Iterator[ObjectInfo]:
        self.begun.append(after)
        for number in range(2500):
            for name in ("a", "b"):
                key = f"{prefix}/{number:04d}/{name}"
                if key == self._breaks_at:
                    self._breaks_at = ""
                    raise Transient("the connection broke")
                if key > after:
                    yield ObjectInfo(key, 1, "etag", 0)


def names(stream: ObjectStream, number: int) -> list[str]:
    return [info.key for info in stream.starting(f"raw/{number:04d}/")]


def test_neighbours_share_a_listing_and_names_far_apart_do_not_wade_through_what_lies_between() -> (
    None
):
    store = CountedListing()
    stream = ObjectStream(store, "raw")
    for number in range(0, 100, 3):
        assert names(stream, number) == [f"raw/{number:04d}/a", f"raw/{number:04d}/b"]
    assert len(store.begun) == 1
    assert names(stream, 100 + LONGEST_SKIP) == ["raw/1100/a", "raw/1100/b"]
    assert store.begun[1:] == ["raw/1100"]
    assert names(stream, 7) == ["raw/0007/a", "raw/0007/b"]  # back again
    assert names(stream, 9999) == []


def test_a_listing_that_broke_is_begun_anew_for_the_next() -> None:
    stream = ObjectStream(CountedListing(breaks_at="raw/0001/b"), "raw")
    assert len(names(stream, 0)) == 2
    with pytest.raises(Transient):
        names(stream, 1)
    assert names(stream, 2) == ["raw/0002/a", "raw/0002/b"]
    assert names(stream, 1) == ["raw/0001/a", "raw/0001/b"]


def test_an_episode_of_more_files_than_the_limit_is_refused_while_it_is_listed(
    tmp_path: Path,
) -> None:
    for number in range(5):
        path = tmp_path / f"raw/task/one/images/cam/{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    settings = {"dataset": {"name": "few"}, "storage": {"url": tmp_path.as_uri()}}
    storage = open_storage(StorageConfig(url=tmp_path.as_uri()))
    for most, is_listed in ((5, True), (4, False)):
        config = DatasetConfig.model_validate({**settings, "limits": {"members": most}})
        if is_listed:
            assert len(look(storage, config, "task/one").members) == 5
        else:
            with pytest.raises(Refused, match=r"limits\.members"):
                look(storage, config, "task/one")
