"""Which encoder a take's pictures go through, and which of them belong in one thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.recorder.h264 import H264Encoder
from lerobot_pipelines.recorder.jpeg import JpegEncoder

PictureFormat = Literal["jpeg", "h264"]


class Jpegs:
    """Every picture for itself, so any thread may take the next one."""

    keeps_order = False

    def __init__(self, scale: int) -> None:
        self._encoder = JpegEncoder(scale)

    def encode(self, topic: str, picture: NDArray[np.uint8]) -> bytes:
        return self._encoder.encode(picture)


class Videos:
    """One video per topic; all pictures of a topic must come here, in order."""

    keeps_order = True

    def __init__(self, crf: int) -> None:
        self._crf = crf
        self._encoders: dict[str, H264Encoder] = {}

    def encode(self, topic: str, picture: NDArray[np.uint8]) -> bytes:
        if (encoder := self._encoders.get(topic)) is None:
            encoder = self._encoders[topic] = H264Encoder(self._crf)
        return encoder.encode(picture)


def encoder_of(
    pictures: PictureFormat, *, jpeg_scale: int, video_crf: int
) -> Callable[[], Jpegs | Videos]:
    """Makes an encoder for each thread of each take. Raises ``ValueError`` for unknown values."""
    if pictures == "jpeg":
        JpegEncoder(jpeg_scale)
        return lambda: Jpegs(jpeg_scale)
    if pictures == "h264":
        if not 0 <= video_crf <= 51:
            raise ValueError(f"video_crf goes from 0 (lossless) to 51, not {video_crf}")
        return lambda: Videos(video_crf)
    raise ValueError(f'pictures is "jpeg" or "h264", not "{pictures}"')
