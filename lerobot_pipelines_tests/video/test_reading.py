from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.video import contact_sheet, decode_frames, encode_cameras, probe
from lerobot_pipelines_tests.video.recording import MemoryRecording, config, jpeg, rows, texture

COUNT = 36


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pictures = [jpeg(texture(k)) for k in range(COUNT)]
    (made,) = encode_cameras(
        MemoryRecording({"a": pictures}),
        rows({"a": range(COUNT)}),
        config(gop=6),
        tmp_path_factory.mktemp("video"),
    )
    return made.path


@pytest.mark.parametrize(
    "indices", [[0], [35], [5, 6, 7], [20, 3, 3, 34, 0], [0, 35], list(range(35, -1, -1)), []]
)
def test_frames_come_in_the_order_asked(indices: list[int], video: Path) -> None:
    frames = list(decode_frames(video, indices))
    for index, frame in zip(indices, frames, strict=True):
        assert frame.dtype == np.uint8 and frame.shape == (48, 64, 3)
        errors = [np.abs(frame.astype(int) - texture(k)).mean() for k in range(COUNT)]
        assert int(np.argmin(errors)) == index


@pytest.mark.parametrize("index", [-1, COUNT])
def test_a_frame_the_file_does_not_have_is_an_error(index: int, video: Path) -> None:
    with pytest.raises(IndexError, match="frames 0 to 35"):
        list(decode_frames(video, [0, index]))


def test_a_contact_sheet_shows_numbered_pictures(video: Path) -> None:
    sheet = np.asarray(Image.open(io.BytesIO(contact_sheet(video, columns=3, rows=2, width=64))))
    assert sheet.shape == (48 * 2 + 2, 64 * 3 + 4, 3)
    for place, number in enumerate([0, 6, 12, 18, 24, 30]):
        top, left = place // 3 * 50, place % 3 * 66
        shown = sheet[top + 20 : top + 46, left + 2 : left + 62]
        assert np.abs(shown.astype(int) - texture(number)[20:46, 2:62]).mean() < 12
        label = sheet[top : top + 14, left : left + 8]
        assert label.max() > 200 and label.min() < 60


def test_a_short_video_has_a_small_sheet(tmp_path: Path) -> None:
    (made,) = encode_cameras(
        MemoryRecording({"a": [jpeg(texture(0))]}), rows({"a": [0]}), config(), tmp_path
    )
    size = Image.open(io.BytesIO(contact_sheet(made.path))).size
    assert size == (160, 120)


@pytest.mark.parametrize("content", [b"", b"no video at all", b"\0\0\0\x18ftypisom" + bytes(100)])
def test_what_is_no_video_is_refused_by_name(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "broken.mp4"
    path.write_bytes(content)
    for read in (probe, contact_sheet, lambda p: list(decode_frames(p, [0]))):
        with pytest.raises(Refused, match=r"broken\.mp4") as refusal:
            read(path)
        assert refusal.value.reason is Reason.CORRUPT_ARTIFACT


def test_a_file_cut_off_is_refused(video: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.mp4"
    path.write_bytes(video.read_bytes()[:-2000])
    with pytest.raises(Refused, match=r"cut\.mp4"):
        list(decode_frames(path, range(COUNT)))
