"""Recorded videos are shown as players show them, and say what they cannot show."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from lerobot_pipelines.config.schema import LimitsConfig
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.pictures.orientation import upright
from lerobot_pipelines.recordings.folder import FolderRecording
from lerobot_pipelines.video.pictures import PictureDecoder
from lerobot_pipelines_tests.recordings.folders import Folder, config, stamps_us

FFMPEG = shutil.which("ffmpeg")
WIDTH, HEIGHT, COUNT = 64, 32, 12
MATRICES = {
    1: (1, 0, 0, 1),
    2: (-1, 0, 0, 1),
    3: (-1, 0, 0, -1),
    4: (1, 0, 0, -1),
    5: (0, 1, 1, 0),
    6: (0, 1, -1, 0),
    7: (0, -1, -1, 0),
    8: (0, -1, 1, 0),
}


def picture(number: int) -> NDArray[np.uint8]:
    """A bright corner, so that no two ways up look alike; its shade tells the number."""
    pixels = np.full((HEIGHT, WIDTH, 3), 40, np.uint8)
    pixels[:8, :24] = 100 + 10 * number
    return pixels


def video(path: Path, *, gop: int = 4, skipped: int = 0, orientation: int = 1) -> None:
    """``skipped``: pictures that the file lacks at its beginning, though others need them."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.options = {"g": str(gop), "bf": "0", "tune": "zerolatency", "qp": "4"}
        packets: list[av.Packet] = []
        for number in range(COUNT):
            packets += stream.encode(av.VideoFrame.from_ndarray(picture(number), format="rgb24"))
        for packet in [*packets, *stream.encode(None)][skipped:]:
            container.mux(packet)
    if orientation != 1:
        data = bytearray(path.read_bytes())
        at = data.index(b"tkhd") + 4 + (52 if data[data.index(b"tkhd") + 4] else 40)
        a, b, c, d = (number << 16 for number in MATRICES[orientation])
        data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
        path.write_bytes(data)


def recorded(root: Path, count: int = COUNT, **settings: int) -> tuple[FolderRecording, Path]:
    folder = Folder(root)
    folder.arm("left")
    path = folder.picture("cam", "video.mp4", b"")
    video(path, **settings)
    stamps = folder.arm("stamps", {"timestamp": stamps_us(count)})
    stamps.rename(path.parent / "stamps.parquet")
    return folder.open(config()), path


def shown(recording: FolderRecording) -> list[NDArray[np.uint8]]:
    decoder = PictureDecoder()
    ids = np.arange(recording.streams["cam"].count)
    pictures = list(recording.pictures({"cam": ids}))
    decoded = [one for picture in pictures for one in decoder.decode(picture)]
    return [
        upright(one.frame.to_ndarray(format="rgb24"), one.orientation)
        for one in (*decoded, *decoder.flush())
    ]


@pytest.mark.skipif(FFMPEG is None, reason="the ffmpeg program is not installed")
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_video_is_as_upright_as_in_a_player(orientation: int, tmp_path: Path) -> None:
    """Against the ffmpeg program, which obeys the matrix of the container."""
    recording, path = recorded(tmp_path, orientation=orientation)
    size = (HEIGHT, WIDTH) if orientation < 5 else (WIDTH, HEIGHT)
    played = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", path, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"],
        capture_output=True,
        check=True,
    )
    expected = np.frombuffer(played.stdout, np.uint8).reshape(-1, *size, 3)
    found = np.stack(shown(recording))
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).mean() < 2


def test_pictures_before_the_first_key_frame_are_left_out(tmp_path: Path) -> None:
    recording, _ = recorded(tmp_path, count=COUNT - 2, gop=4, skipped=2)
    assert [(f.reason, f.count) for f in recording.faults] == [("before_key_frame", 2)]
    assert recording.timestamps("cam").tolist() == [1000 * s for s in stamps_us(COUNT - 2)[2:]]
    brightness = [int(one[4, 10, 0]) for one in shown(recording)]
    assert np.abs(np.array(brightness) - [100 + 10 * k for k in range(4, COUNT)]).max() <= 3


def test_a_video_without_a_key_frame_says_so(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"none of its 11 pictures is a key frame") as caught:
        recorded(tmp_path, count=COUNT - 1, gop=1000, skipped=1)
    assert caught.value.reason is Reason.CORRUPT_PICTURE
    assert "require_all_cameras" not in caught.value.message


def test_a_video_above_the_limit_is_refused_by_its_header(tmp_path: Path) -> None:
    recorded(tmp_path)
    limits = LimitsConfig(picture_megapixels=0.002)
    folder = Folder(tmp_path)
    with pytest.raises(Refused, match=r"64x32 pixels.*limits\.picture_megapixels") as caught:
        folder.open(config().model_copy(update={"limits": limits}))
    assert caught.value.reason is Reason.TOO_LARGE
