"""The spool of a dataset: what was submitted comes back exactly, nothing else does."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lerobot_pipelines.recorder.disk import SpoolInUse
from lerobot_pipelines.recorder.picture_writer import (
    PictureFailed,
    PictureWriter,
    as_rgb,
    png,
)
from lerobot_pipelines.recorder.spool import Spool
from lerobot_pipelines.recorder.undo import DatasetUndo

BUFFER = {
    "size": 3,
    "task": ["pick", "pick", "Öffne"],
    "timestamp": [0.0, 1 / 30, 2 / 30],
    "frame_index": [0, 1, 2],
    "observation.state": [np.array([k, 0.1], np.float32) for k in range(3)],
    "gripper": [np.float64(k) for k in range(3)],
    "episode_index": 4,
    "observation.images.front": ["a.png", "b.png", "c.png"],
    "task_index": [],
}


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    spool = Spool(tmp_path / "spool")
    spool.open()
    return spool


def test_a_buffer_comes_back_exactly_without_its_pictures(spool: Spool) -> None:
    episode = spool.put(4, 9, BUFFER, ["observation.images.front"])
    assert list(spool.submitted()) == [episode]
    assert (episode.number, episode.index) == (4, 9)
    back = spool.buffer_of(episode)
    assert list(back) == [key for key in BUFFER if key != "observation.images.front"]
    for key in ("size", "task", "timestamp", "frame_index", "episode_index", "task_index"):
        assert back[key] == BUFFER[key]
    for key in ("observation.state", "gripper"):
        assert [one.dtype for one in back[key]] == [one.dtype for one in BUFFER[key]]
        np.testing.assert_array_equal(back[key], BUFFER[key])


def test_takes_that_were_never_submitted_are_gone_at_the_next_start(tmp_path: Path) -> None:
    first = Spool(tmp_path)
    first.open()
    first.put(1, 1, BUFFER, [])
    (first.pictures(2) / "front").mkdir(parents=True)
    first.close()
    second = Spool(tmp_path)
    second.open()
    assert [episode.number for episode in second.submitted()] == [1]
    assert not second.pictures(2).exists()


def test_a_spool_is_for_one_process_and_goes_away_when_it_is_empty(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    spool.open()
    with pytest.raises(SpoolInUse):
        Spool(tmp_path / "spool").open()
    spool.put(0, 0, BUFFER, [])
    spool.discard(0)
    spool.close()
    assert not (tmp_path / "spool").exists()


def test_a_failed_episode_is_kept_with_its_error_and_can_be_tried_again(spool: Spool) -> None:
    for index in (0, 7):
        spool.set_aside(spool.put(0, index, BUFFER, []), f"error {index}")
    assert list(spool.submitted()) == []
    assert list(spool.failed().values()) == ["error 0", "error 7"]
    assert spool.retry_failed() == 2
    assert [episode.index for episode in spool.submitted()] == [0, 7]


def test_objects_are_refused_rather_than_pickled(spool: Spool) -> None:
    with pytest.raises(TypeError, match='"x" holds objects'):
        spool.put(0, 0, {"x": [np.array([None])]}, [])


@pytest.mark.parametrize("level", [0, 6])
def test_pictures_are_whole_png(level: int) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (37, 53, 3), np.uint8)
    np.testing.assert_array_equal(Image.open(io.BytesIO(png(picture, level))), picture)


def test_pictures_of_every_kind_that_lerobot_takes_become_rgb() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (5, 7, 3), np.uint8)
    np.testing.assert_array_equal(as_rgb(picture), picture)
    np.testing.assert_array_equal(as_rgb(picture.transpose(2, 0, 1)), picture)
    np.testing.assert_array_equal(as_rgb(Image.fromarray(picture)), picture)
    np.testing.assert_array_equal(as_rgb(np.full((5, 7, 3), 0.5, np.float32)), 127)
    with pytest.raises(ValueError, match="not RGB"):
        as_rgb(np.zeros((5, 7), np.uint8))
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        as_rgb(np.full((5, 7, 3), 2.0))


def test_a_picture_that_cannot_be_written_spoils_its_own_take_only(tmp_path: Path) -> None:
    writer = PictureWriter(max_bytes=200)
    good = np.zeros((5, 7, 3), np.uint8)
    for number in (1, 2, 3):
        for frame in range(20):
            bad = number == 2 and frame == 7
            path = tmp_path / f"{number:06d}" / "pictures" / "front" / f"frame_{frame:06d}.png"
            writer.save_image(np.zeros((5, 7), np.uint8) if bad else good, path)
    writer.wait_for(1)
    with pytest.raises(PictureFailed, match="frame_000007"):
        writer.wait_for(2)
    writer.discard(3)
    writer.stop()
    assert len(list((tmp_path / "000001" / "pictures" / "front").iterdir())) == 20


@pytest.mark.parametrize("when", ["at once", "after a crash"])
def test_a_half_save_is_undone_byte_for_byte(tmp_path: Path, when: str) -> None:
    root = tmp_path / "dataset"
    _write(root / "meta/info.json", "old")
    _write(root / "data/chunk-000/file-000.parquet", "old")
    before = _content(root)
    undo = DatasetUndo(root, tmp_path / "undo")
    undo.begin()
    _write(root / "meta/info.json", "ne")
    _write(root / "meta/stats.json", "new")
    _write(root / "data/chunk-000/file-001.parquet", "new")
    _write(root / "videos/front/chunk-000/file-000.mp4", "new")
    _write(root / "images/front/episode-000001/frame-000000.png", "new")
    _write(root / "tmpabc/half.mp4", "new")
    if when == "after a crash":
        undo = DatasetUndo(root, tmp_path / "undo")
    assert undo.is_pending
    undo.undo()
    assert _content(root) == before
    assert not undo.is_pending and undo.committed is None


def test_a_committed_save_is_never_undone(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    _write(root / "meta/info.json", "old")
    undo = DatasetUndo(root, tmp_path / "undo")
    undo.begin()
    _write(root / "data/chunk-000/file-000.parquet", "new")
    undo.commit(7)
    after = DatasetUndo(root, tmp_path / "undo")
    assert not after.is_pending
    assert after.committed == 7
    after.forget()
    assert (root / "data/chunk-000/file-000.parquet").read_text() == "new"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _content(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): path.read_text() if path.is_file() else ""
        for path in root.rglob("*")
        if path.is_file() or path.name != "images"
    }
