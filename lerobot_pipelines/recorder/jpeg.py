"""Pictures to JPEG by the encoder of FFmpeg, which lets other threads run meanwhile."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import av

# FFmpeg's scale: 2 is the best, 31 the smallest. 3 is near quality 93 of libjpeg.
DEFAULT_SCALE = 3
_LAMBDA_PER_SCALE = 118  # FF_QP2LAMBDA


class JpegEncoder:
    """Encodes pictures one by one; for one thread. ``scale`` is 2 (best) to 31 (smallest)."""

    def __init__(self, scale: int = DEFAULT_SCALE) -> None:
        if not 2 <= scale <= 31:
            raise ValueError(f"the JPEG scale goes from 2 (best) to 31 (smallest), not {scale}")
        self._scale = scale
        self._contexts: dict[tuple[int, int], av.VideoCodecContext] = {}

    def encode(self, picture: NDArray[np.uint8]) -> bytes:
        """A baseline 4:2:0 JPEG of uint8 RGB (h, w, 3) or grey (h, w)."""
        import av

        if picture.ndim == 2:
            picture = np.repeat(picture[..., None], 3, axis=2)
        height, width = picture.shape[:2]
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")
        frame = frame.reformat(format="yuvj420p", dst_color_range="JPEG")
        context = self._contexts.get((width, height)) or self._context(width, height)
        frame.pts = None
        (packet,) = context.encode(frame)
        return bytes(packet)

    def _context(self, width: int, height: int) -> av.VideoCodecContext:
        import av

        context = av.CodecContext.create("mjpeg", "w")
        assert isinstance(context, av.VideoCodecContext)
        context.width, context.height = width, height
        context.pix_fmt = "yuvj420p"
        context.time_base = Fraction(1, 30)
        context.thread_count = 1
        quality = self._scale * _LAMBDA_PER_SCALE
        context.options = {"flags": "+qscale", "global_quality": str(quality), "qmin": "1"}
        self._contexts[width, height] = context
        return context
