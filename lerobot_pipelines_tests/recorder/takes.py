"""Takes whose every sample can be checked, and the process that is killed while recording them."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lerobot_pipelines.recorder.encoders import PictureFormat
from lerobot_pipelines.recorder.episode_recorder import EpisodeRecorder
from lerobot_pipelines.recorder.local_recorder import LocalRecorder
from lerobot_pipelines.recorder.results import TakeFailed
from lerobot_pipelines.recordings import open_recording, source_from_path
from lerobot_pipelines.recordings.synth import draw_picture, read_barcode
from lerobot_pipelines.recordings.synth.barcode import LARGEST_NUMBER
from lerobot_pipelines.video.pictures import PictureDecoder

START_NS = 1_764_167_571_000_000_000
CAMERAS = {"cam_high": 40_000_000, "cam_right": 33_333_333}  # period in ns
ARM, ARM_PERIOD_NS, JOINTS = "left_slave", 4_000_000, 7
WIDTH, HEIGHT = 64, 48


def picture_number(take: int, k: int) -> int:
    """What the barcode of picture ``k`` says."""
    return (take * 100 + k) % LARGEST_NUMBER


def record(recorder: EpisodeRecorder | LocalRecorder, number: int, frames: int) -> str:
    """A take of ``frames`` rows of the first camera; ``number`` is in its samples."""
    key = recorder.start_episode("pick up the block", metadata={"frames": frames})
    begun = START_NS + number * 3600 * 10**9
    length = frames * CAMERAS["cam_high"]
    for hue, (camera, period) in enumerate(CAMERAS.items()):
        for k in range(length // period):
            picture = draw_picture(picture_number(number, k), WIDTH, HEIGHT, hue)
            recorder.add(camera, begun + k * period, picture)
    for k in range(length // ARM_PERIOD_NS):
        recorder.add(ARM, begun + k * ARM_PERIOD_NS, np.full(JOINTS, number + k / 1000))
    return key


def check(folder: Path) -> int:
    """Fails unless every sample of a take is there and right. Returns its number."""
    metadata = json.loads((folder / "metadata.json").read_bytes())
    length = metadata["frames"] * CAMERAS["cam_high"]
    table = pq.read_table(folder / "joints" / f"{ARM}.parquet")
    assert table.num_rows == length // ARM_PERIOD_NS
    values = np.stack([table[f"joint_{k}"].to_numpy() for k in range(JOINTS)], axis=1)
    number = round(values[0, 0])
    expected = number + np.arange(len(values)) / 1000
    np.testing.assert_array_equal(values, np.repeat(expected[:, None], JOINTS, axis=1))
    begun = START_NS + number * 3600 * 10**9
    np.testing.assert_array_equal(
        table["timestamps"], begun + np.arange(len(values)) * ARM_PERIOD_NS
    )
    assert {path.name for path in (folder / "images").iterdir()} == set(CAMERAS)
    for camera, period in CAMERAS.items():
        pictures = pictures_of(folder, camera)
        assert set(pictures) == {begun + k * period for k in range(length // period)}
        for stamp, picture in pictures.items():
            k = (stamp - begun) // period
            assert read_barcode(picture) == picture_number(number, k)
    return number


def pictures_of(folder: Path, camera: str) -> dict[int, NDArray[np.uint8]]:
    """A camera's decoded pictures by stamp, be they files or a video."""
    paths = list((folder / "images" / camera).iterdir())
    if "video.mp4" not in {path.name for path in paths}:
        return {int(path.stem): decoded(path) for path in paths}
    recording = open_recording(source_from_path(folder))
    decoder = PictureDecoder()
    stamps = recording.timestamps(camera)
    frames = []
    for picture in recording.pictures({camera: np.arange(len(stamps))}):
        frames += decoder.decode(picture)
    frames += decoder.flush()
    return {int(stamps[one.id]): one.frame.to_ndarray(format="rgb24") for one in frames}


def decoded(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    from PIL import Image

    return np.asarray(Image.open(path).convert("RGB"))


def record_without_end(root: Path, first: int) -> None:
    """Say the id of the recorder's process, and the number of each take once it was submitted."""
    pictures: PictureFormat = "h264" if first // 100 % 2 else "jpeg"
    with EpisodeRecorder(root, pictures=pictures) as recorder:
        print(f"recorder {recorder._process.pid}", flush=True)
        number = first
        while True:
            record(recorder, number, 12)
            if number % 4 == 3:
                recorder.end_episode("discard")
            else:
                with suppress(TakeFailed):  # its process was killed
                    recorder.end_episode("save")
                    print(number, flush=True)
            number += 1


def main(root: Path) -> None:
    """For each number on stdin a process that records, so that imports are paid once. Its id first,
    "dead" when it is."""
    for line in sys.stdin:
        child = os.fork()
        if not child:
            record_without_end(root, int(line))
        print(f"process {child}", flush=True)
        os.waitpid(child, 0)
        print("dead", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
