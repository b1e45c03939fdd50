"""What is special about a folder as the bucket; ``test_every_store`` has what all stores share."""

from __future__ import annotations

import errno
import os
import shutil
import time
from pathlib import Path

import pytest

from lerobot_pipelines.config.schema import StorageConfig
from lerobot_pipelines.errors import ConfigError, Reason, Refused, Transient
from lerobot_pipelines.storage import (
    ObjectNotFound,
    local,
    local_files,
    local_versions,
    open_storage,
)
from lerobot_pipelines.storage.local import MAX_LINKS_IN_PATH, LocalStorage, path_of
from lerobot_pipelines.storage.local_versions import TEMPORARY_PREFIX, lasting_etag


@pytest.fixture
def store(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path / "bucket")


def _temporary_files(store: LocalStorage) -> list[Path]:
    return [path for path in store.root.rglob("*") if path.name.startswith(TEMPORARY_PREFIX)]


def test_a_scheme_without_a_store_is_refused_with_the_ones_there_are() -> None:
    with pytest.raises(Refused, match="file://") as refusal:
        open_storage(StorageConfig(url="ftp://host/data"))
    assert refusal.value.reason is Reason.UNSUPPORTED


@pytest.mark.parametrize("url", ["file:///tmp/a%20b", "file://localhost/tmp/a b", "/tmp/a b"])
def test_urls_and_plain_paths_name_folders(url: str) -> None:
    assert path_of(url) == Path("/tmp/a b")


@pytest.mark.parametrize("url", ["", "file://"])
def test_an_empty_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        path_of(url)


def test_a_failed_upload_leaves_the_old_object_and_no_rest(
    store: LocalStorage, tmp_path: Path
) -> None:
    store.write("folder/x", b"old")
    with pytest.raises(FileNotFoundError):
        store.upload(tmp_path / "not there", "folder/x")
    assert store.read("folder/x") == b"old"
    assert _temporary_files(store) == []


def test_create_after_create_leaves_the_first_and_no_rest(store: LocalStorage) -> None:
    assert store.create("claim", b"first")
    assert not store.create("claim", b"second")
    assert store.read("claim") == b"first"
    assert _temporary_files(store) == []


def test_half_written_files_of_a_killed_writer_are_not_listed(store: LocalStorage) -> None:
    store.write("folder/x", b"whole")
    (store.root / "folder" / f"{TEMPORARY_PREFIX}0123").write_bytes(b"ha")
    assert [info.key for info in store.list()] == ["folder/x"]
    assert [info.key for info in store.list_level("folder")[1]] == ["folder/x"]
    with pytest.raises(Refused, match="reserved"):
        store.read(f"folder/{TEMPORARY_PREFIX}0123")


def test_every_write_has_another_etag_however_coarse_the_clock_and_equal_the_size(
    store: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = time.time_ns()
    write = local_files.write_synced

    def write_at_one_moment(path: Path, data: bytes) -> None:
        write(path, data)
        os.utime(path, ns=(stopped, stopped))

    monkeypatch.setattr(local, "write_synced", write_at_one_moment)
    etags = [store.write("x", data).etag for data in (b"one", b"two", b"one", b"one")]
    assert len(set(etags)) == 4


def test_a_link_in_place_of_a_file_of_the_same_size_and_time_keeps_its_other_name(
    store: LocalStorage,
) -> None:
    first, source = store.write("x", b"one"), store.write("y", b"two")
    times = (store.root / "x").stat().st_mtime_ns
    os.utime(store.root / "y", ns=(times, times))
    source = store.head("y")
    assert source is not None
    copied = store.copy("y", "x")
    assert copied.etag != first.etag
    assert store.read("x") == b"two"
    assert store.head("y").etag == source.etag  # type: ignore[union-attr]


def test_a_copied_or_restored_bucket_has_the_same_etags(
    store: LocalStorage, tmp_path: Path
) -> None:
    for key in ("x", "a/y", "a/b/z"):
        store.write(key, key.encode())
    shutil.copytree(store.root, tmp_path / "moved")
    moved = LocalStorage(tmp_path / "moved")
    assert [(one.key, one.etag) for one in moved.list()] == [
        (one.key, one.etag) for one in store.list()
    ]


def test_etags_that_an_earlier_version_wrote_down_are_still_known() -> None:
    assert lasting_etag("12-18a3f-2b1") == "12-18a3f"
    for etag in ("12-18a3f", "d41d8cd98f00b204e9800998ecf8427e", "0123456789abcdef-12", ""):
        assert lasting_etag(etag) == etag


def test_who_holds_the_lock_for_long_is_named(
    store: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_versions, "LOCK_WAIT_S", 0.05)
    seen = store.write("x", b"one").etag
    with (
        local_versions.taking_turns(store.root),
        pytest.raises(Transient, match="another process holds"),
    ):
        store.replace("x", b"two", seen)
    assert store.read("x") == b"one"
    assert [one.key for one in store.list()] == ["x"]


def test_owner_mode_and_hard_links_do_not_make_new_content(store: LocalStorage) -> None:
    first = store.write("x", b"one")
    (store.root / "x").chmod(0o600)
    os.link(store.root / "x", store.root / "snapshot")
    assert store.head("x").etag == first.etag  # type: ignore[union-attr]


def test_a_copy_within_the_bucket_takes_no_room(store: LocalStorage) -> None:
    store.write("x", b"one")
    store.copy("x", "y")
    assert (store.root / "x").samefile(store.root / "y")


def test_a_file_system_without_hard_links_copies(
    store: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    store.write("x", b"one")
    monkeypatch.setattr(os, "link", refuse)
    store.copy("x", "y")
    assert store.read("y") == b"one"
    assert not (store.root / "x").samefile(store.root / "y")


def test_a_copy_that_keeps_old_times_is_as_young_as_its_arrival(store: LocalStorage) -> None:
    before = store.write("x", b"one").modified_ns
    os.utime(store.root / "x", (0, 0))
    info = store.head("x")
    assert info is not None and info.modified_ns >= before


def test_links_out_of_the_bucket_are_neither_listed_nor_read(
    store: LocalStorage, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    store.write("inside/x", b"x")
    (store.root / "file").symlink_to(outside / "secret")
    (store.root / "folder").symlink_to(outside)
    (store.root / "again").symlink_to(store.root / "inside")
    assert [info.key for info in store.list()] == ["again/x", "inside/x"]
    assert store.list_level() == (["again", "inside"], [])
    for use in (store.read, store.head, store.delete, store.local_path):
        for key in ("file", "folder/secret"):
            with pytest.raises(Refused, match="link"):
                use(key)
    with pytest.raises(Refused, match="link"):
        store.write("folder/new", b"x")
    assert [path.name for path in outside.iterdir()] == ["secret"]


def test_links_that_form_a_loop_end(store: LocalStorage) -> None:
    store.write("a/x", b"x")
    (store.root / "a" / "loop").symlink_to(store.root / "a")
    assert [info.key for info in store.list()] == ["a/x"]


def test_names_that_are_not_utf8_are_listed_but_stop_nothing(store: LocalStorage) -> None:
    store.write("a/x", b"x")
    Path(os.fsdecode(os.fsencode(store.root) + b"/a/\xff.jpg")).write_bytes(b"y")
    keys = [info.key for info in store.list()]
    assert keys == ["a/x", "a/\ufffd.jpg"]
    with pytest.raises(Refused, match="UTF-8"):
        store.read(keys[1])


def test_pipes_and_devices_are_no_objects(store: LocalStorage) -> None:
    store.write("a/x", b"x")
    os.mkfifo(store.root / "a" / "pipe")
    assert [info.key for info in store.list()] == ["a/x"]
    assert store.head("a/pipe") is None


def test_a_folder_is_no_object_and_a_file_no_folder(store: LocalStorage) -> None:
    store.write("a/x", b"x")
    assert store.head("a") is None
    assert list(store.list("a/x")) == []
    with pytest.raises(ObjectNotFound):
        store.read("a")
    for key in ("a", "a/x/y"):
        with pytest.raises(Refused, match="stands where"):
            store.write(key, b"y")
    assert _temporary_files(store) == []


def test_deleting_the_last_object_removes_its_folders(store: LocalStorage) -> None:
    store.write("a/b/x", b"x")
    store.write("a/y", b"y")
    store.delete("a/b/x")
    assert store.list_level("a")[0] == []
    assert not (store.root / "a" / "b").exists()
    assert store.read("a/y") == b"y"


def test_local_paths_are_the_files_themselves(store: LocalStorage) -> None:
    store.write("a/x", b"x")
    assert store.local_path("a/x") == store.root / "a" / "x"
    assert store.local_path("") == store.root


def lattice(root: Path, levels: int, width: int) -> None:
    """Each level's folder links to the next one under several names: ``width ** levels`` paths."""
    for level in range(levels, 0, -1):
        folder = root / f"level_{level}"
        folder.mkdir(parents=True)
        (folder / "file").write_bytes(b"x")
        for number in range(width):
            if level < levels:
                (folder / f"link_{number}").symlink_to(root / f"level_{level + 1}")


def test_a_lattice_of_links_is_listed_in_bounded_time(store: LocalStorage) -> None:
    lattice(store.root / "raw", levels=30, width=2)
    keys = [info.key for info in store.list("raw")]
    assert max(key.count("link_") for key in keys) == MAX_LINKS_IN_PATH
    assert len(keys) < 30 * sum(2**links for links in range(MAX_LINKS_IN_PATH + 1)) + 1
    deepest = "raw/level_1/link_0/link_1/link_0"
    assert store.list_level(deepest)[0] == []
    assert store.list_level(deepest)[1][0].key == f"{deepest}/file"


def test_a_task_an_episode_and_a_camera_may_each_be_a_link(store: LocalStorage) -> None:
    camera = store.root / "pool" / "camera"
    camera.mkdir(parents=True)
    (camera / "1.jpg").write_bytes(b"x")
    for folder, name, target in (
        ("pool/episode", "camera", camera),
        ("pool/task", "episode", store.root / "pool" / "episode"),
        ("raw", "task", store.root / "pool" / "task"),
    ):
        (store.root / folder).mkdir(parents=True)
        (store.root / folder / name).symlink_to(target)
    assert [info.key for info in store.list("raw")] == ["raw/task/episode/camera/1.jpg"]
