from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import lerobot_pipelines.loading.checking as checking
from lerobot_pipelines.config.schema import Format
from lerobot_pipelines.errors import Refused
from lerobot_pipelines.loading import (
    KeyConfig,
    LoadingConfig,
    ValidationConfig,
    make_chunk_dataset,
)
from lerobot_pipelines_tests.datasets.episodes import CAMERA, STATE
from lerobot_pipelines_tests.loading.conftest import toy_dataset


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """In format v2.1, where each episode has files of its own."""
    return toy_dataset(tmp_path, Format.V21)


def video(root: Path, episode: int) -> Path:
    return root / f"videos/chunk-000/{CAMERA}/episode_{episode:06d}.mp4"


def rules(**settings: object) -> LoadingConfig:
    return LoadingConfig(validation=ValidationConfig(**settings))  # type: ignore[arg-type]


def test_a_sound_dataset_is_checked_once(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(make_chunk_dataset(old)) == 34

    def again(*_: object) -> None:
        raise AssertionError("checked again")

    monkeypatch.setattr(checking, "check", again)
    assert len(make_chunk_dataset(old)) == 34
    verdict = json.loads((old.parent / f".{old.name}.verdict.json").read_text())
    assert (verdict["faults"], verdict["level"]) == ([], "frames")


def test_a_long_check_says_how_far_it_is(
    old: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(checking, "TELL_S", -1.0)
    make_chunk_dataset(old)
    assert "3 of 3 video files done" in caplog.text


@pytest.mark.parametrize("damage", ["cut", "missing", "rubbish"])
def test_an_episode_with_a_broken_video_is_left_out(old: Path, damage: str) -> None:
    path = video(old, 1)
    if damage == "missing":
        path.unlink()
    else:
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2] if damage == "cut" else b"rubbish" * 100)
    dataset = make_chunk_dataset(old)
    assert {int(dataset[i]["episode_index"]) for i in range(len(dataset))} == {0, 2}
    (fault,) = dataset.verdict.faults
    assert (fault.episode, fault.reason) == (1, "unreadable")
    assert path.name in fault.message


def test_an_error_instead_names_the_file(old: Path) -> None:
    video(old, 1).unlink()
    with pytest.raises(Refused, match=r"episode_000001\.mp4 is missing"):
        make_chunk_dataset(old, rules(exclude="error"))
    unchecked = make_chunk_dataset(old, rules(level="off"))
    with pytest.raises(Refused, match=r"episode_000001\.mp4 is missing"):
        unchecked[12]


def test_a_truncated_data_file_takes_out_its_episode(old: Path) -> None:
    path = old / "data/chunk-000/episode_000002.parquet"
    path.write_bytes(path.read_bytes()[:-50])
    dataset = make_chunk_dataset(old)
    assert len(dataset) == 23
    assert path.name in dataset.verdict.faults[0].message


@pytest.mark.parametrize("part", ["meta/episodes", "data", "videos"])
@pytest.mark.parametrize("damage", ["cut", "missing"])
def test_a_broken_file_that_all_episodes_share_is_named(root: Path, part: str, damage: str) -> None:
    path = next(path for path in (root / part).rglob("*") if path.is_file())
    path.write_bytes(path.read_bytes()[:-60]) if damage == "cut" else path.unlink()
    folder = part == "meta/episodes" and damage == "missing"  # no name to know it by
    with pytest.raises(Refused, match=re.escape(part if folder else str(path))):
        make_chunk_dataset(root)


def test_a_camera_that_no_key_reads_may_be_broken(old: Path) -> None:
    video(old, 1).unlink()
    config = LoadingConfig(keys={STATE: KeyConfig()})
    assert len(make_chunk_dataset(old, config)) == 34


def test_only_items_that_would_show_a_nan_are_left_out_by_frame(old: Path) -> None:
    path = old / "data/chunk-000/episode_000001.parquet"
    table = pq.read_table(path)
    values = np.asarray(table["action"].to_pylist(), dtype=np.float32)
    values[6, 0] = np.nan
    column = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), 2)
    at = table.schema.get_field_index("action")
    pq.write_table(table.set_column(at, "action", column), path)
    keys = {"action": KeyConfig(horizon=3)}
    by_frame = LoadingConfig(keys=keys, validation=ValidationConfig(exclude="frame"))
    dataset = make_chunk_dataset(old, by_frame)
    assert sorted(set(range(34)) - set(dataset.rows.tolist())) == [9 + 4, 9 + 5, 9 + 6]
    assert len(make_chunk_dataset(old, LoadingConfig(keys=keys))) == 20


def test_black_and_damaged_pictures_are_found_by_decoding(old: Path) -> None:
    from lerobot_pipelines_tests.datasets.episodes import toy_video

    data, _ = toy_video(14, 5, (64, 48), 10)
    video(old, 1).write_bytes(data)
    black = black_video(11)
    video(old, 2).write_bytes(black)
    dataset = make_chunk_dataset(old)
    assert len(dataset) == 23
    report = dataset.verdict.report()
    assert report["by_reason"] == {"black": 1, "frozen": 1}
    assert report["list"][0]["episode"] == 2
    assert "episode_000002.mp4" in report["list"][0]["message"]
    kept = make_chunk_dataset(old, rules(keep_black=True))
    assert len(kept) == 34
    strict = make_chunk_dataset(old, rules(keep_black=True, keep_frozen=False))
    assert len(strict) == 23
    assert len(make_chunk_dataset(old, rules(level="files"))) == 34


def test_a_picture_that_cannot_be_decoded_is_found(old: Path) -> None:
    data = bytearray(video(old, 1).read_bytes())
    begin = data.index(b"mdat") + 4
    middle = begin + (len(data) - begin) // 3
    data[middle : middle + 400] = bytes(400)
    video(old, 1).write_bytes(data)
    dataset = make_chunk_dataset(old)
    assert {int(dataset[i]["episode_index"]) for i in range(len(dataset))} == {0, 2}
    assert {fault.episode for fault in dataset.verdict.faults if fault.excludes} == {1}
    assert "corrupt_frame" in dataset.verdict.report()["by_reason"]


def test_a_changed_dataset_is_checked_again(old: Path) -> None:
    assert len(make_chunk_dataset(old)) == 34
    shutil.copyfile(video(old, 0), video(old, 1))
    dataset = make_chunk_dataset(old)
    assert [fault.reason for fault in dataset.verdict.faults] == ["missing_frames"]


def black_video(frames: int) -> bytes:
    import io

    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=10, options={"g": "5", "bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return buffer.getvalue()
