from __future__ import annotations

from pathlib import Path

import pytest

from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.model import Member
from lerobot_pipelines.recordings import container_of, source_from_path


def _touch(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")


SPLIT = ("joints/block/e1/left.parquet", "images/block/e1/cam/1.jpg", "images/block/e1/cam/2.part")
WHOLE = ("block/e2/joints/left.parquet", "block/e2/images/cam/1.jpg", "block/e2/metadata.json")


@pytest.mark.parametrize("path", ["joints/block/e1", "images/block/e1"])
def test_either_half_of_a_split_episode_is_the_episode(tmp_path: Path, path: str) -> None:
    _touch(tmp_path, *SPLIT, "joints/block/e10/left.parquet")
    source = source_from_path(tmp_path / path)
    assert (source.key, source.root) == ("block/e1", tmp_path)
    assert {member.path for member in source.members} == set(SPLIT)


@pytest.mark.parametrize("path", ["block/e2", "block/e2/joints", "block/e2/images"])
def test_an_episode_folder_and_its_sections_are_the_episode(tmp_path: Path, path: str) -> None:
    _touch(tmp_path, *WHOLE)
    source = source_from_path(tmp_path / path)
    assert (source.key, source.root) == ("e2", tmp_path / "block")
    assert {f"block/{member.path}" for member in source.members} == set(WHOLE)


def test_relative_paths_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _touch(tmp_path, *WHOLE)
    monkeypatch.chdir(tmp_path / "block" / "e2")
    assert source_from_path(Path()).key == "e2"


@pytest.mark.parametrize(
    ("files", "path", "key", "container"),
    [
        (("a.bag", "a.json"), "a.bag", "a.bag", "ros1"),
        (("a.bag.active",), "a.bag.active", "a.bag.active", "ros1"),
        (("one/a.bag",), "one", "a.bag", "ros1"),
        (("a.mcap",), "a.mcap", "a.mcap", "mcap"),
        (("a_0.db3",), "a_0.db3", "a_0.db3", "ros2"),
        (("ep/metadata.yaml", "ep/ep_0.mcap"), "ep", "ep", "ros2"),
        (("ep/ep_0.db3", "ep/ep_1.db3"), "ep", "ep", "ros2"),
    ],
)
def test_bags_and_recorder_folders(
    tmp_path: Path, files: tuple[str, ...], path: str, key: str, container: str
) -> None:
    _touch(tmp_path, *files)
    source = source_from_path(tmp_path / path)
    assert source.key == key
    assert container_of(source.members) == container
    assert all((source.root / member.path).is_file() for member in source.members)
    assert len(source.members) == len(files)


@pytest.mark.parametrize(
    ("files", "path", "message"),
    [
        (SPLIT, ".", "several episodes"),
        (SPLIT, "joints", "neither a bag nor"),
        (("a/1.bag", "a/2.bag"), "a", r"2 bags; name one of them, such as 1\.bag"),
        (("notes.txt",), "notes.txt", "neither a bag"),
        (("x/notes.txt",), "x", "neither a bag"),
        ((), "gone", "does not exist"),
    ],
)
def test_other_paths_are_refused(
    tmp_path: Path, files: tuple[str, ...], path: str, message: str
) -> None:
    _touch(tmp_path, *files)
    with pytest.raises(Refused, match=message) as refusal:
        source_from_path(tmp_path / path)
    assert refusal.value.reason is Reason.UNSUPPORTED


def test_files_that_are_no_recording_are_unsupported() -> None:
    with pytest.raises(Refused, match=r"\.parquet") as refusal:
        container_of([Member("a/notes.txt", 1, "")])
    assert refusal.value.reason is Reason.UNSUPPORTED


def test_a_yaml_file_does_not_make_a_folder_a_bag() -> None:
    members = [Member(path, 1, "") for path in (*WHOLE, "block/e2/metadata.yaml")]
    assert container_of(members) == "folder"
