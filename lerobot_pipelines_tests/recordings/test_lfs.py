"""A clone without git-lfs is named as such, whatever the file should have been."""

from __future__ import annotations

from pathlib import Path

import pytest

from lerobot_pipelines.errors import Refused
from lerobot_pipelines.recordings import open_recording, source_from_path
from lerobot_pipelines_tests.recordings.folders import Folder, config

POINTER = (
    b"version https://git-lfs.github.com/spec/v1\noid sha256:"
    + b"ab12" * 16
    + b"\nsize 146946961\n"
)


@pytest.mark.parametrize(
    "name", ["a.bag", "a.mcap", "a.db3", "a.bag.active", "a.mcap.zstd", "a.db3.zstd"]
)
def test_a_bag_that_is_a_pointer_says_so(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(POINTER)
    with pytest.raises(Refused, match=r"git-lfs pointer to the recording of 146\.9 MB.*lfs pull"):
        open_recording(source_from_path(tmp_path / name))


def test_a_table_that_is_a_pointer_says_so(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.camera("cam")
    folder.arm("left").write_bytes(POINTER)
    with pytest.raises(Refused, match=r"left\.parquet is a git-lfs pointer"):
        folder.open(config())


def test_a_video_that_is_a_pointer_says_so(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.arm("left")
    folder.picture("cam", "video.mp4", POINTER)
    stamps = folder.arm("stamps")
    stamps.rename(tmp_path / "images/block/episode_1/cam/stamps.parquet")
    with pytest.raises(Refused, match=r"video\.mp4 is a git-lfs pointer"):
        folder.open(config())


def test_pictures_and_metadata_that_are_pointers_say_so(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.arm("left")
    for path in folder.camera("cam", 30):
        path.write_bytes(POINTER)
    (tmp_path / "joints/block/episode_1/metadata.json").write_bytes(POINTER)
    with pytest.raises(Refused, match=r"30 lfs_pointer.*`git lfs pull`"):
        folder.open(config())
    told = [entry.message for entry in folder.open().intake]
    assert any("no picture of" in one and "git lfs pull" in one for one in told)
    assert any("metadata.json" in one and "git lfs pull" in one for one in told)
