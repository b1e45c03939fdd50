"""Picture statistics as lerobot takes them: some frames, some pixels, before encoding.

lerobot 0.3.3 samples ``sample_rows`` frames and, of pictures whose longer side is 300 or more,
every k-th pixel both ways without filtering. The pixels here come from the decoder's own YUV; only
the sampled ones are turned into RGB, with the arithmetic of libjpeg (the decoder behind Pillow
and OpenCV), so that minimum and maximum agree too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.model import PictureStatistics
from lerobot_pipelines.video.planes import plane

if TYPE_CHECKING:
    import av

_SUBSAMPLING = {  # full-range planar formats of JPEG decoders: log2 of (horizontal, vertical)
    "yuvj444p": (0, 0),
    "yuvj422p": (1, 0),
    "yuvj440p": (0, 1),
    "yuvj420p": (1, 1),
}


def sample_rows(length: int) -> NDArray[np.int64]:
    """Positions of the frames that count, of an episode of ``length`` frames; increasing."""
    count = max(min(100, length), min(int(length**0.75), 10_000))
    return np.round(np.linspace(0, length - 1, count)).astype(np.int64)


def pixel_stride(height: int, width: int) -> int:
    """Every how many-th pixel counts, both ways."""
    longer = max(height, width)
    return 1 if longer < 300 else int(longer / 150)


class StatisticsBuilder:
    """Counts RGB values of pictures one by one."""

    def __init__(self) -> None:
        self._frames = 0
        self._histogram = np.zeros((3, 256), dtype=np.int64)

    def add(self, frame: av.VideoFrame) -> None:
        """Count a decoded picture of any pixel format."""
        pixels = sampled_rgb(frame, pixel_stride(frame.height, frame.width))
        for channel in range(3):
            counts = np.bincount(pixels[channel].reshape(-1), minlength=256)
            self._histogram[channel] += counts
        self._frames += 1

    def result(self) -> PictureStatistics:
        return PictureStatistics(frames=self._frames, histogram=self._histogram)


def sampled_rgb(frame: av.VideoFrame, stride: int) -> NDArray[np.uint8]:
    """Every ``stride``-th pixel of every ``stride``-th row, uint8 (3, rows, columns)."""
    name = frame.format.name
    if name == "gray":
        grey = plane(frame, 0)[::stride, ::stride]
        return np.stack([grey, grey, grey])
    if name in _SUBSAMPLING:
        horizontal, vertical = _SUBSAMPLING[name]
        rows = np.arange(0, frame.height, stride)
        columns = np.arange(0, frame.width, stride)
        luma = plane(frame, 0)[::stride, ::stride].astype(np.int32)
        blue, red = (
            _upsampled(plane(frame, index), rows, columns, horizontal, vertical) for index in (1, 2)
        )
        return _jpeg_rgb(luma, blue, red)
    pixels: NDArray[np.uint8] = _converted(frame)[::stride, ::stride].transpose(2, 0, 1)
    return pixels


def _converted(frame: av.VideoFrame) -> NDArray[np.uint8]:
    from av.video.reformatter import Interpolation

    careful = (
        Interpolation.BICUBIC
        | Interpolation.ACCURATE_RND
        | Interpolation.FULL_CHR_H_INT
        | Interpolation.FULL_CHR_H_INP
    )
    converted: NDArray[np.uint8] = frame.reformat(
        format="rgb24", interpolation=careful, threads=1
    ).to_ndarray()
    return converted


def _upsampled(
    plane: NDArray[np.uint8],
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    horizontal: int,
    vertical: int,
) -> NDArray[np.int32]:
    """Chroma at the given pixels by libjpeg's triangle filter (jdsample.c, "fancy upsampling").

    The nearer chroma sample weighs 3, the next one towards the pixel 1, each way; at the border
    the border sample is repeated. The rounding constants are libjpeg's.
    """
    if vertical:
        near, far = _neighbours(rows, plane.shape[0])
        picked = 3 * plane[near].astype(np.int32) + plane[far]
    else:
        picked = plane[rows].astype(np.int32)
    if not horizontal:
        if not vertical:
            return picked[:, columns]
        return (picked[:, columns] + 1 + (rows & 1)[:, None].astype(np.int32)) >> 2
    near, far = _neighbours(columns, plane.shape[1])
    total = 3 * picked[:, near] + picked[:, far]
    odd = (columns & 1).astype(np.int32)
    return (total + 8 - odd) >> 4 if vertical else (total + 1 + odd) >> 2


def _neighbours(
    positions: NDArray[np.int64], length: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    near = positions >> 1
    return near, np.clip(near + np.where(positions & 1, 1, -1), 0, length - 1)


def _jpeg_rgb(
    luma: NDArray[np.int32], blue: NDArray[np.int32], red: NDArray[np.int32]
) -> NDArray[np.uint8]:
    """JFIF's YCbCr to RGB in libjpeg's 16-bit fixed point (jdcolor.c)."""
    half = 1 << 15
    cb, cr = blue - 128, red - 128
    rgb = np.stack(
        [
            luma + ((91881 * cr + half) >> 16),
            luma + ((-22554 * cb - 46802 * cr + half) >> 16),
            luma + ((116130 * cb + half) >> 16),
        ]
    )
    clipped: NDArray[np.uint8] = np.clip(rgb, 0, 255).astype(np.uint8)
    return clipped
