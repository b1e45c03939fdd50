"""``EpisodeRecorder(output=...)``: takes become a LeRobot dataset, row by row right."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from lerobot_pipelines.datasets.verify import verify_dataset
from lerobot_pipelines.recorder import EpisodeRecorder, LerobotOutput
from lerobot_pipelines.recordings.synth import read_barcode
from lerobot_pipelines.video import decode_frames
from lerobot_pipelines_tests.recorder import takes

LONG = 60.0
OUTPUT = LerobotOutput(
    fps=25,
    cameras=tuple(takes.CAMERAS),
    state=[takes.ARM],
    action=[takes.ARM],
    settings={"video": {"preset": "ultrafast"}, "filtering": {"min_duration_sec": 0.2}},
)


def test_takes_become_a_dataset_with_every_row_right(tmp_path: Path) -> None:
    with EpisodeRecorder(tmp_path, output=OUTPUT) as recorder:
        for number in (1, 2):
            takes.record(recorder, number, 20)
            recorder.end_episode()
        # Too short for the configuration: refused, and no other waits for it.
        takes.record(recorder, 3, 2)
        recorder.end_episode()
        takes.record(recorder, 4, 20)
        recorder.end_episode()
        assert recorder.wait(LONG)
        delivery = recorder.status().delivery
    assert delivery is not None
    assert list(delivery.refused) == ["pick_up_the_block/episode_0003"]
    assert delivery.delivered == 3
    root = OUTPUT.folder(tmp_path)
    report = verify_dataset(root)
    assert report.ok, report.findings
    assert report.episodes == 3
    assert json.loads((root / "meta" / "info.json").read_bytes())["fps"] == 25
    kept = [path.name for path in (tmp_path / "raw" / "pick_up_the_block").iterdir()]
    assert kept == ["episode_0003"]
    labels = [_check_episode(root, k) for k in range(3)]
    assert labels == [1, 2, 4]


def _check_episode(root: Path, k: int) -> int:
    """Fails unless state and both pictures of each row are of one moment; the take's number."""
    rows = pq.read_table(root / f"data/chunk-000/file-{k:03d}.parquet").to_pylist()
    number = int(rows[0]["observation.state"][0])
    for camera, period in takes.CAMERAS.items():
        path = root / f"videos/observation.images.{camera}/chunk-000/file-{k:03d}.mp4"
        pictures = decode_frames(path, range(len(rows)))
        for row, picture in zip(rows, pictures, strict=True):
            state_ns = (row["observation.state"][0] - number) * 1000 * takes.ARM_PERIOD_NS
            shown = (read_barcode(picture) - takes.picture_number(number, 0)) * period
            assert abs(shown - state_ns) <= (period + takes.ARM_PERIOD_NS) / 2 + 1e6
    return number


def test_an_output_takes_the_place_of_a_delivery(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="in place of"):
        EpisodeRecorder(tmp_path, output=OUTPUT, layout="split")


def test_a_take_unlike_the_others_keeps_its_recording(tmp_path: Path) -> None:
    with EpisodeRecorder(tmp_path, output=OUTPUT) as recorder:
        takes.record(recorder, 1, 20)
        recorder.end_episode()
        assert recorder.wait(LONG)
        recorder.start_episode("pick_up_the_block")
        for k in range(50):
            stamp_ns = takes.START_NS + k * 10_000_000
            recorder.add(takes.ARM, stamp_ns, [0.0] * 11)
            for camera in takes.CAMERAS:
                recorder.add(camera, stamp_ns, np.zeros((48, 64, 3), np.uint8))
        key = recorder.end_episode()
        assert recorder.wait(LONG)
        delivery = recorder.status().delivery
    assert delivery is not None
    assert list(delivery.refused) == [key]
    assert delivery.delivered == 1
    assert (tmp_path / "raw" / str(key)).is_dir()
    assert verify_dataset(OUTPUT.folder(tmp_path)).episodes == 1


def test_other_settings_do_not_throw_the_older_episodes_out(tmp_path: Path) -> None:
    with EpisodeRecorder(tmp_path, output=OUTPUT) as recorder:
        takes.record(recorder, 1, 20)
        recorder.end_episode()
        assert recorder.wait(LONG)
    with pytest.raises(ValueError, match="another name"):
        EpisodeRecorder(tmp_path, output=replace(OUTPUT, fps=20))
    EpisodeRecorder(tmp_path, output=OUTPUT).close()
    assert verify_dataset(OUTPUT.folder(tmp_path)).episodes == 1
