"""``EpisodeRecorder``: what is recorded, what is refused, and what happens when things break."""

from __future__ import annotations

import errno
import json
import os
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lerobot_pipelines.config import load_config, shipped_configs
from lerobot_pipelines.pipeline.convert import convert_dataset
from lerobot_pipelines.recorder import raw_layout, video_file
from lerobot_pipelines.recorder.disk import SpoolInUse
from lerobot_pipelines.recorder.encoders import PictureFormat
from lerobot_pipelines.recorder.episode_recorder import EpisodeRecorder
from lerobot_pipelines.recorder.journal import Take, TakeJournal
from lerobot_pipelines.recorder.local_recorder import LocalRecorder
from lerobot_pipelines.recorder.raw_layout import Layout
from lerobot_pipelines.recorder.recovery import recover_recordings
from lerobot_pipelines.recorder.results import TakeFailed
from lerobot_pipelines.recordings import layout
from lerobot_pipelines_tests.recorder import takes

LONG = 60.0
# The environment asks for more: the promise was proven with 200.
EPISODES = int(os.environ.get("LEROBOT_PIPELINES_EPISODES", "24"))
PICTURE = np.zeros((48, 64, 3), np.uint8)


def test_a_saved_take_holds_every_sample(tmp_path: Path) -> None:
    with EpisodeRecorder(tmp_path) as recorder:
        key = takes.record(recorder, 3, 10)
        assert recorder.end_episode() == key == "pick_up_the_block/episode_0001"
        assert recorder.wait(LONG)
        (result,) = recorder.results()
    assert result.path == tmp_path / key and result.error is None
    assert takes.check(tmp_path / key) == 3
    assert (
        json.loads((tmp_path / key / "metadata.json").read_bytes())["task"] == "pick up the block"
    )


def test_numbers_have_no_hole_after_discarded_takes_and_go_on_after_a_restart(
    tmp_path: Path,
) -> None:
    with EpisodeRecorder(tmp_path) as recorder:
        takes.record(recorder, 0, 2)
        recorder.end_episode()
        takes.record(recorder, 1, 2)
        assert recorder.end_episode("discard") is None
        takes.record(recorder, 2, 2)
        assert recorder.end_episode() == "pick_up_the_block/episode_0002"
    with EpisodeRecorder(tmp_path) as recorder:
        assert recorder.start_episode("pick up the block") == "pick_up_the_block/episode_0003"
        recorder.end_episode("discard")
        assert recorder.start_episode("Öffne die Tür!") == "öffne_die_tür/episode_0001"


@pytest.mark.parametrize(("where", "pictures"), [("episode", "jpeg"), ("split", "h264")])
def test_what_is_recorded_converts(tmp_path: Path, where: Layout, pictures: PictureFormat) -> None:
    config = load_config(shipped_configs()["demo"], {"storage.url": tmp_path.as_uri()})
    arms = ("left_slave", "right_slave", "left_master", "right_master")
    start = takes.START_NS
    with EpisodeRecorder(tmp_path / "raw", layout=where, pictures=pictures) as recorder:
        key = recorder.start_episode("stack cups")
        for k in range(300):
            for offset, arm in enumerate(arms):
                recorder.add(arm, start + k * 4_000_000, [offset + k / 1000] * 7)
        for camera, period in (("cam_high", 40), ("cam_left", 40), ("cam_right", 33)):
            for k in range(1200 // period):
                picture = np.full((48, 64, 3), k, np.uint8)
                recorder.add(camera, start + k * period * 1_000_000, picture)
        recorder.end_episode()
    summary = convert_dataset(config)
    assert [(one.key, one.status) for one in summary.episodes] == [(key, "converted")]
    assert [update.episodes for update in summary.datasets] == [1, 1]


def test_pictures_may_come_encoded_or_grey_and_numbers_as_scalars(tmp_path: Path) -> None:
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(PICTURE).save(file, "PNG")
    with EpisodeRecorder(tmp_path) as recorder:
        key = recorder.start_episode("look")
        stamp = recorder.add_frame(
            {"png": file.getvalue(), "grey": np.full((48, 64), 77, np.uint8), "force": 3.5}
        )
        assert not recorder.add("force", stamp, 3.5)
        assert recorder.add("force", stamp + 1, True)
        recorder.end_episode()
    assert (tmp_path / key / "images" / "png" / f"{stamp}.png").read_bytes() == file.getvalue()
    grey = takes.decoded(tmp_path / key / "images" / "grey" / f"{stamp}.jpg")
    assert np.abs(grey.astype(int) - 77).max() <= 2
    assert (tmp_path / key / "joints" / "force.parquet").exists()


@pytest.mark.parametrize(
    ("topic", "stamp", "value", "fault"),
    [
        ("a/b", takes.START_NS, 1.0, "name of a file"),
        ("", takes.START_NS, 1.0, "name of a file"),
        ("a", 12.5, 1.0, "in ns since 1970"),
        ("a", 1_764_167_571, 1.0, "in ns since 1970"),
        ("a", takes.START_NS, b"no picture", "neither a JPEG nor a PNG"),
        ("a", takes.START_NS, np.zeros((4, 4, 4), np.uint8), "neither a picture"),
        ("a", takes.START_NS, np.zeros((4, 4), np.float32), "neither a picture"),
        ("a", takes.START_NS, "text", "neither a picture"),
    ],
)
def test_a_sample_that_cannot_be_recorded_is_refused_at_once(
    tmp_path: Path, topic: str, stamp: Any, value: Any, fault: str
) -> None:
    with EpisodeRecorder(tmp_path) as recorder:
        recorder.start_episode("t")
        with pytest.raises(ValueError, match=fault):
            recorder.add(topic, stamp, value)


def test_stamps_of_a_topic_only_grow(tmp_path: Path) -> None:
    with EpisodeRecorder(tmp_path) as recorder:
        recorder.start_episode("t")
        recorder.add("a", takes.START_NS, 1.0)
        assert recorder.add("b", takes.START_NS - 5, 1.0)
        with pytest.raises(ValueError, match="before the last one"):
            recorder.add("a", takes.START_NS - 1, 1.0)


def test_calls_out_of_order_are_told(tmp_path: Path) -> None:
    with EpisodeRecorder(tmp_path) as recorder:
        with pytest.raises(RuntimeError, match="start_episode"):
            recorder.add("a", takes.START_NS, 1.0)
        with pytest.raises(RuntimeError, match="no take"):
            recorder.end_episode()
        recorder.start_episode("t", key="mine")
        with pytest.raises(RuntimeError, match="end mine first"):
            recorder.start_episode("t")
        with pytest.raises(ValueError, match="no samples"):
            recorder.end_episode()
        recorder.start_episode("t", key="mine")
        recorder.add("a", takes.START_NS, 1.0)
        assert recorder.end_episode() == "mine"
        recorder.wait(LONG)
        with pytest.raises(FileExistsError, match="mine"):
            recorder.start_episode("t", key="mine")


def test_two_recorders_cannot_use_one_folder(tmp_path: Path) -> None:
    with (
        EpisodeRecorder(tmp_path),
        pytest.raises(SpoolInUse, match="another process"),
    ):
        EpisodeRecorder(tmp_path)


def test_a_small_memory_budget_slows_down_and_loses_nothing(tmp_path: Path) -> None:
    with EpisodeRecorder(tmp_path, max_pending_bytes=20_000) as recorder:
        key = takes.record(recorder, 1, 20)
        recorder.end_episode()
    assert takes.check(tmp_path / key) == 1


def test_a_full_disk_spoils_one_take_and_what_there_is_of_it_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = TakeJournal.add
    count = 0

    def fill_up(self: TakeJournal, sample: Any) -> None:
        nonlocal count
        count += 1
        if 20 <= count < 40:
            raise OSError(errno.ENOSPC, "No space left on device")
        add(self, sample)

    with LocalRecorder(tmp_path) as recorder:
        with monkeypatch.context() as patched:
            patched.setattr(TakeJournal, "add", fill_up)
            takes.record(recorder, 1, 10)
            with pytest.raises(TakeFailed, match="No space left"):
                recorder.end_episode()
        assert len(recorder.interrupted) == 1
        key = takes.record(recorder, 2, 3)
        recorder.end_episode()
    assert takes.check(tmp_path / key) == 2
    assert key == "pick_up_the_block/episode_0001"


def test_a_take_that_cannot_be_written_out_is_written_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = LocalRecorder(tmp_path)
    with monkeypatch.context() as patched:

        def fail(path: Path) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        patched.setattr(raw_layout, "sync_tree", fail)
        key = takes.record(recorder, 1, 3)
        recorder.end_episode()
        recorder.wait(LONG)
        (result,) = recorder.results()
        assert result.path is None and "No space left" in (result.error or "")
        assert not (tmp_path / key).exists()
    recorder.close()
    with LocalRecorder(tmp_path) as recorder:
        assert recorder.wait(LONG)
        assert [result.key for result in recorder.results()] == [key]
    assert takes.check(tmp_path / key) == 1


def test_random_failures_lose_nothing_and_leave_no_hole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(11)
    write = raw_layout.sync_tree

    def fail(path: Path) -> None:
        kind = chance.randrange(8)
        if kind == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        if kind == 1:
            raise ValueError("poison")
        if kind == 2:
            raise SystemExit("killed worker")
        if kind == 3:
            time.sleep(0.02)  # a slow disk
        write(path)

    keys = []
    with LocalRecorder(tmp_path) as recorder, monkeypatch.context() as patched:
        patched.setattr(raw_layout, "sync_tree", fail)
        for number in range(EPISODES):
            takes.record(recorder, number, 2)
            keys.append(recorder.end_episode())
        assert recorder.wait(LONG)
        results = recorder.results()
    assert keys == [f"pick_up_the_block/episode_{k:04d}" for k in range(1, EPISODES + 1)]
    assert [result.key for result in results] == keys
    failed = {result.key for result in results if result.error is not None}
    assert 0 < len(failed) < EPISODES
    assert {key for key in keys if (tmp_path / str(key)).exists()} == set(keys) - failed
    with LocalRecorder(tmp_path) as recorder:
        assert recorder.wait(LONG)
        assert {result.key for result in recorder.results()} == failed
    assert [takes.check(tmp_path / str(key)) for key in keys] == list(range(EPISODES))


def test_an_interrupted_take_enters_no_other_and_can_be_salvaged(tmp_path: Path) -> None:
    recorder = EpisodeRecorder(tmp_path)
    takes.record(recorder, 1, 10)
    recorder.close()
    with EpisodeRecorder(tmp_path) as recorder:
        assert len(recorder.interrupted) == 1
        key = takes.record(recorder, 2, 2)
        recorder.end_episode()
    assert takes.check(tmp_path / key) == 2
    (path,) = (tmp_path / ".spool" / "interrupted").iterdir()
    path.rename(path.with_name("kept"))
    assert recover_recordings(tmp_path).interrupted == []
    path.with_name("kept").rename(path)
    assert recover_recordings(tmp_path).interrupted == [path.name]
    failed = recover_recordings(tmp_path, interrupted="salvage").failed
    assert "holds another recording" in failed[path.name]


def test_names_of_the_raw_layout_are_those_the_pipeline_reads() -> None:
    assert layout.METADATA_NAME == raw_layout.METADATA_NAME
    assert layout.STAMPS_NAME == video_file.STAMPS_NAME
    assert video_file.VIDEO_NAME.endswith(layout.VIDEO_SUFFIXES)
    assert [str(section) for section in layout.Section] == [raw_layout.JOINTS, raw_layout.IMAGES]


def test_every_cut_of_a_take_keeps_its_whole_samples(tmp_path: Path) -> None:
    recorder = LocalRecorder(tmp_path, encoder_threads=1)
    takes.record(recorder, 1, 3)
    path = tmp_path / ".spool" / "pick_up_the_block__episode_0001.take"
    assert recorder._take is not None
    recorder._take.submit()
    data = path.read_bytes()
    assert Take(path).is_submitted
    whole = list(Take(path).samples())
    last = 0
    for length in range(200, len(data), 997):
        path.write_bytes(data[:length])
        take = Take(path)
        assert not take.is_submitted
        found = list(take.samples(salvage=True))
        assert [one.stamp_ns for one in found] == [one.stamp_ns for one in whole[: len(found)]]
        assert last <= len(found) < len(whole) + 1
        last = len(found)
    for position in range(10, len(data), 4999):
        path.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
        with pytest.raises(ValueError, match="take"):
            list(Take(path).samples())
