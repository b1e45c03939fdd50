from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from lerobot_pipelines.model import PictureStatistics
from lerobot_pipelines.video import encode_cameras
from lerobot_pipelines.video.statistics import pixel_stride, sample_rows
from lerobot_pipelines_tests.video.recording import MemoryRecording, config, jpeg, rows, texture


def lerobot_pixels(pictures: list[bytes]) -> tuple[NDArray[np.float64], int]:
    """Pixels (n, 3) that lerobot 0.3.3 counts, on the 0-1 scale, and the number of pictures."""
    chosen = [
        pictures[k]
        for k in np.round(
            np.linspace(
                0, len(pictures) - 1, max(min(100, len(pictures)), int(len(pictures) ** 0.75))
            )
        ).astype(int)
    ]
    pixels = []
    for data in chosen:
        rgb = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        height, width = rgb.shape[:2]
        step = 1
        if max(height, width) >= 300:
            step = int(width / 150) if width > height else int(height / 150)
        pixels.append(rgb[::step, ::step].reshape(-1, 3))
    return np.concatenate(pixels) / 255, len(chosen)


def moments(statistics: PictureStatistics) -> dict[str, NDArray[np.float64]]:
    values = np.arange(256) / 255
    share = statistics.histogram / statistics.histogram.sum(axis=1, keepdims=True)
    mean = share @ values
    present = [np.flatnonzero(channel) for channel in statistics.histogram]
    return {
        "min": np.array([channel[0] for channel in present]) / 255,
        "max": np.array([channel[-1] for channel in present]) / 255,
        "mean": mean,
        "std": np.sqrt(share @ values**2 - mean**2),
    }


def natural(number: int, width: int, height: int) -> NDArray[np.uint8]:
    """A texture with noise, sharp coloured edges and clipped highlights."""
    rng = np.random.default_rng(number)
    rgb = texture(number, width, height).astype(int) + rng.integers(-9, 10, (height, width, 3))
    rgb[height // 4 : height // 2, width // 3 : width // 2] = (250, 20, 10)
    rgb[height // 2 :, : width // 5] = 255
    return np.clip(rgb, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("subsampling", [0, 1, 2, None])
@pytest.mark.parametrize("size", [(64, 48), (320, 240), (97, 303)])
def test_statistics_equal_lerobots_of_the_pictures_before_encoding(
    size: tuple[int, int], subsampling: int | None, tmp_path: Path
) -> None:
    images = [natural(k, *size) for k in range(3)]
    pictures = [
        jpeg(image[..., 0]) if subsampling is None else jpeg(image, subsampling=subsampling)
        for image in images
    ]
    (video,) = encode_cameras(
        MemoryRecording({"a": pictures}), rows({"a": range(3)}), config(pix_fmt="yuv444p"), tmp_path
    )
    pixels, count = lerobot_pixels(pictures)
    assert video.statistics.frames == count
    assert video.statistics.histogram.dtype == np.int64
    assert video.statistics.histogram.sum(axis=1).tolist() == [len(pixels)] * 3
    found = moments(video.statistics)
    for name, expected in {
        "min": pixels.min(axis=0),
        "max": pixels.max(axis=0),
        "mean": pixels.mean(axis=0),
        "std": pixels.std(axis=0),
    }.items():
        np.testing.assert_allclose(found[name], expected, atol=0.005, err_msg=name)


def test_copying_counts_the_same_values_as_encoding(tmp_path: Path) -> None:
    pictures = [jpeg(natural(k, 64, 48)) for k in range(4)]
    made = [
        encode_cameras(
            MemoryRecording({"a": pictures}),
            rows({"a": [0, 1, 1, 2, 3]}),
            config(codec=codec),
            tmp_path / codec,
        )[0].statistics
        for codec in ("h264", "copy")
    ]
    assert made[0].frames == made[1].frames == 5
    np.testing.assert_array_equal(made[0].histogram, made[1].histogram)


@pytest.mark.parametrize(
    ("length", "count"), [(1, 1), (2, 2), (100, 100), (101, 100), (1000, 177), (5000, 594)]
)
def test_as_many_rows_count_as_in_lerobot(length: int, count: int) -> None:
    chosen = sample_rows(length)
    assert len(chosen) == count
    assert chosen[0] == 0 and chosen[-1] == length - 1
    assert np.all(np.diff(chosen) > 0)


@pytest.mark.parametrize(
    ("height", "width", "stride"),
    [(48, 64, 1), (299, 299, 1), (300, 200, 2), (480, 640, 4), (1080, 1920, 12)],
)
def test_as_many_pixels_count_as_in_lerobot(height: int, width: int, stride: int) -> None:
    assert pixel_stride(height, width) == stride
