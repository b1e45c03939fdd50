"""What the pipeline relies on, held by every kind of store through one suite."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lerobot_pipelines.config.schema import StorageConfig
from lerobot_pipelines.errors import Refused
from lerobot_pipelines.storage import ObjectNotFound, Storage, open_storage
from lerobot_pipelines.storage.base import TellsVersions
from lerobot_pipelines.storage.local import LocalStorage

KEYS = ["a.txt", "a/b.txt", "a/c/d.txt", "a/é ü.txt", "ab/x.txt", "z#?%20+&~[1].txt"]


@pytest.fixture(params=["local", "s3", "s3 folder"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "local":
        return open_storage(StorageConfig(url=(tmp_path / "bucket").as_uri()))
    server = request.getfixturevalue("s3_server")
    folder = "in/a folder" if request.param == "s3 folder" else ""
    return open_storage(server.config(server.new_bucket(), folder))


@pytest.fixture
def filled(store: Storage) -> Storage:
    for key in KEYS:
        store.write(key, key.encode())
    return store


def test_what_is_written_is_read_back(filled: Storage) -> None:
    for key in KEYS:
        assert filled.read(key) == key.encode()
        info = filled.head(key)
        assert info is not None
        assert (info.key, info.size) == (key, len(key.encode()))


def test_a_listing_holds_everything_below_a_folder_in_byte_order(filled: Storage) -> None:
    assert [info.key for info in filled.list()] == sorted(KEYS, key=str.encode)
    assert [info.key for info in filled.list("a")] == ["a/b.txt", "a/c/d.txt", "a/é ü.txt"]
    assert list(filled.list("nothing")) == []


def test_a_level_tells_folders_from_objects(filled: Storage) -> None:
    folders, objects = filled.list_level("a")
    assert folders == ["c"]
    assert [info.key for info in objects] == ["a/b.txt", "a/é ü.txt"]
    assert filled.list_level()[0] == ["a", "ab"]


def test_the_listing_and_the_head_agree_on_the_etag(filled: Storage) -> None:
    for info in filled.list():
        head = filled.head(info.key)
        assert head is not None
        assert (head.key, head.size, head.etag) == (info.key, info.size, info.etag)


def test_only_the_version_that_was_seen_is_replaced(store: Storage, tmp_path: Path) -> None:
    file = tmp_path / "rows"
    file.write_bytes(b"second")
    first = store.replace("a/x", b"first", None)
    assert first is not None and first == store.head("a/x")
    assert store.replace("a/x", b"other", None) is None
    assert store.replace("a/x", b"other", "12-ab") is None
    second = store.replace("a/x", file, first.etag)
    assert second is not None and second.size == 6
    assert store.replace("a/x", b"late", first.etag) is None
    assert store.read("a/x") == b"second"
    assert file.read_bytes() == b"second"
    assert store.replace("a/y", b"late", first.etag) is None
    assert store.head("a/y") is None


@pytest.mark.parametrize("is_there", [False, True])
def test_of_racing_replacements_one_wins(store: Storage, is_there: bool) -> None:
    seen = store.write("x", b"before").etag if is_there else None
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda number: store.replace("x", b"%d" % number, seen), range(8)))
    winners = [number for number, result in enumerate(results) if result is not None]
    assert len(winners) == 1
    assert store.read("x") == b"%d" % winners[0]


def test_where_every_write_is_told_only_the_seen_version_is_removed(store: Storage) -> None:
    if not isinstance(store, TellsVersions):
        assert not isinstance(store, LocalStorage)
        return
    first = store.write("x", b"one").etag
    second = store.write("x", b"one").etag
    assert second != first
    assert not store.remove("x", first)
    assert store.remove("x", second)
    assert store.head("x") is None
    assert not store.remove("x", second)


def test_other_content_has_another_etag(store: Storage) -> None:
    first = store.write("x", b"one")
    second = store.write("x", b"two")
    assert first.etag != second.etag
    assert store.read("x") == b"two"


def test_more_objects_than_a_page_holds_are_all_listed(store: Storage) -> None:
    keys = [f"many/{number:05d}" for number in range(1100)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: store.write(key, b""), keys))
    assert [info.key for info in store.list("many")] == keys
    assert len(store.list_level("many")[1]) == len(keys)


def test_of_many_who_create_one_wins(store: Storage) -> None:
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda n: store.create("claim", f"writer {n}".encode()), range(16)))
    assert sum(won) == 1
    assert store.read("claim") == f"writer {won.index(True)}".encode()


@pytest.mark.parametrize("size", [0, 1, 100_000, 20_000_000])
def test_files_of_any_size_come_back_whole(store: Storage, tmp_path: Path, size: int) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(bytes(range(251)) * (size // 251) + b"\1" * (size % 251))
    assert store.upload(source, "big/file").size == size
    assert store.download("big/file", target).size == size
    assert target.read_bytes() == source.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [
        "source",
        "target",
    ]


@pytest.mark.parametrize("size", [0, 1, 20_000_000])
def test_a_copy_within_the_bucket_is_an_object_of_its_own(
    store: Storage, tmp_path: Path, size: int
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(os.urandom(size))
    store.upload(source, "one/fi le ö+%", is_final=True)
    store.write("two/file", b"replaced")
    assert store.copy("one/fi le ö+%", "two/file").size == size
    store.write("one/fi le ö+%", b"other")
    store.delete("one/fi le ö+%")
    assert store.download("two/file", target).size == size
    assert target.read_bytes() == source.read_bytes()
    assert [info.key for info in store.list()] == ["two/file"]


def test_what_is_uploaded_for_good_stays_when_the_file_is_removed(
    store: Storage, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"pictures")
    info = store.upload(source, "file", is_final=True)
    source.unlink()
    assert store.read("file") == b"pictures"
    head = store.head("file")
    assert head is not None
    assert head.etag == info.etag


def test_what_is_deleted_is_gone_and_may_be_deleted_again(filled: Storage) -> None:
    filled.delete("a/b.txt")
    filled.delete("a/b.txt")
    assert filled.head("a/b.txt") is None
    assert "a/b.txt" not in [info.key for info in filled.list()]


@pytest.mark.parametrize(
    "use",
    [
        lambda store, path: store.read("gone"),
        lambda store, path: store.download("gone", path / "target"),
        lambda store, path: store.copy("gone", "copy"),
    ],
    ids=["read", "download", "copy"],
)
def test_what_is_not_there_is_said_not_to_be(
    store: Storage, tmp_path: Path, use: Callable[[Storage, Path], object]
) -> None:
    store.write("other", b"")
    with pytest.raises(ObjectNotFound, match="gone"):
        use(store, tmp_path)
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize("key", ["../up", "a/../../up", "/absolute", "a//b", "new\nline", ""])
def test_a_name_that_leaves_its_place_is_refused(store: Storage, key: str) -> None:
    with pytest.raises(Refused, match="name"):
        store.write(key, b"x")
