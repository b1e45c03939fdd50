from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.model import EncodedVideo
from lerobot_pipelines.video import decode_frames, encode_cameras
from lerobot_pipelines_tests.video.recording import MemoryRecording, config, jpeg, rows, texture


def encode(
    pictures: list[bytes], folder: Path, **video: Any
) -> tuple[EncodedVideo, list[NDArray[np.uint8]]]:
    frames = rows({"a": range(len(pictures))})
    (made,) = encode_cameras(MemoryRecording({"a": pictures}), frames, config(**video), folder)
    return made, list(decode_frames(made.path, range(len(pictures))))


def error(frame: NDArray[np.uint8], expected: NDArray[np.uint8]) -> float:
    return float(np.abs(frame.astype(int) - expected).mean())


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p"])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_every_chroma_sampling_keeps_its_colours(
    subsampling: int, pix_fmt: str, tmp_path: Path
) -> None:
    pictures = [jpeg(texture(k, 96, 64), subsampling=subsampling, quality=95) for k in range(4)]
    video, frames = encode(pictures, tmp_path, pix_fmt=pix_fmt, crf=4)
    assert video.pix_fmt == pix_fmt
    assert error(frames[2], texture(2, 96, 64)) < 3


def test_black_and_white_keep_their_levels(tmp_path: Path) -> None:
    """Full-range JPEG taken for limited range would give 16 and 235, or clip."""
    ramp = np.repeat(np.arange(0, 256, 4, dtype=np.uint8)[None, :, None], 48, axis=0)
    _, frames = encode([jpeg(ramp.repeat(3, axis=2), quality=98)] * 2, tmp_path, crf=1)
    assert error(frames[0], ramp.repeat(3, axis=2)) < 2
    assert frames[0].min() <= 3 and frames[0].max() >= 250


def test_grey_pictures_are_grey(tmp_path: Path) -> None:
    grey = texture(3)[..., 1]
    _, frames = encode([jpeg(grey, quality=95)] * 3, tmp_path, crf=4)
    assert error(frames[0], np.stack([grey] * 3, axis=-1)) < 3
    assert np.ptp(frames[0].astype(int), axis=-1).max() <= 3


@pytest.mark.parametrize(
    ("size", "pix_fmt", "expected"),
    [
        ((65, 49), "yuv420p", (64, 48)),
        ((65, 49), "yuv422p", (64, 49)),
        ((65, 49), "yuv444p", (65, 49)),
        ((64, 49), "yuv420p", (64, 48)),
    ],
)
def test_odd_sizes_lose_their_last_row_or_column(
    size: tuple[int, int], pix_fmt: str, expected: tuple[int, int], tmp_path: Path
) -> None:
    full = texture(5, *size)
    video, frames = encode([jpeg(full, quality=95)] * 2, tmp_path, pix_fmt=pix_fmt, crf=4)
    assert (video.width, video.height) == expected
    assert error(frames[0], full[: expected[1], : expected[0]]) < 3
    assert video.statistics.histogram[0].sum() == expected[0] * expected[1] * 2
    assert video.details["source_size"] == list(size)


def test_copied_pictures_keep_an_odd_size(tmp_path: Path) -> None:
    video, frames = encode([jpeg(texture(1, 65, 49))] * 2, tmp_path, codec="copy")
    assert (video.width, video.height) == (65, 49)
    assert frames[0].shape == (49, 65, 3)


def test_a_changing_size_is_refused_with_the_remedy(tmp_path: Path) -> None:
    pictures = [jpeg(texture(0)), jpeg(texture(1, 80, 60))]
    with pytest.raises(Refused, match=r"picture 1 .* 80x60 .* 64x48; set video.size_change"):
        encode(pictures, tmp_path)
    with pytest.raises(Refused, match="codec copy cannot scale") as refusal:
        encode(pictures, tmp_path, codec="copy")
    assert refusal.value.reason is Reason.PICTURE_SIZE_CHANGED


def test_a_changing_size_is_scaled_to_the_first_where_that_is_wanted(tmp_path: Path) -> None:
    pictures = [jpeg(texture(0)), jpeg(texture(0, 128, 96)), jpeg(texture(0))]
    video, frames = encode(pictures, tmp_path, size_change="scale")
    assert [frame.shape for frame in frames] == [(48, 64, 3)] * 3
    assert video.details["scaled_pictures"] == 1
    assert video.statistics.histogram[0].sum() == 3 * 64 * 48


def test_a_configured_size_is_what_comes_out(tmp_path: Path) -> None:
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:, 32:] = (200, 30, 60)
    video, frames = encode([jpeg(picture, subsampling=0)] * 2, tmp_path, size=(32, 24), crf=4)
    assert (video.width, video.height) == (32, 24)
    assert error(frames[0][:, :14], picture[:24, :14]) < 4
    assert error(frames[0][:, 18:], picture[:24, 40:54]) < 6
    assert video.statistics.histogram[0].sum() == 2 * 32 * 24


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = jpeg(texture(4), quality=95, exif=exif)
    with Image.open(io.BytesIO(data)) as opened:
        from PIL import ImageOps

        upright = np.asarray(ImageOps.exif_transpose(opened))
    video, frames = encode([data] * 2, tmp_path, crf=4)
    assert (video.height, video.width) == upright.shape[:2]
    assert error(frames[0], upright) < 3
    if orientation != 1:
        with pytest.raises(Refused, match="EXIF orientation"):
            encode([data] * 2, tmp_path, codec="copy")
