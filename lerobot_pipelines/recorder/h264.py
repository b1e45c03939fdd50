"""Pictures to H.264 while they are recorded: every picture gives its packet at once.

No look-ahead and no B-frames, so nothing is left in an encoder when a process dies. Each group of
pictures begins with the stream's parameters, so the packets of a topic, one after the other, are a
whole video wherever they end.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import av

# x264's scale: 18 cannot be told from the source by eye; the pipeline encodes once more.
DEFAULT_CRF = 18
START_CODE = b"\x00\x00\x00\x01"
# A new start this often: what damages one picture damages no more than these.
_GROUP = 30


class H264Encoder:
    """Encodes the pictures of one topic, all of one even size; for one thread."""

    def __init__(self, crf: int = DEFAULT_CRF) -> None:
        self._crf = crf
        self._context: av.VideoCodecContext | None = None
        self._count = 0

    def encode(self, picture: NDArray[np.uint8]) -> bytes:
        """The packet (Annex B) of uint8 RGB (h, w, 3) or grey (h, w)."""
        import av

        grey = picture.ndim == 2
        frame = av.VideoFrame.from_ndarray(
            np.ascontiguousarray(picture), "gray" if grey else "rgb24"
        )
        if self._context is None:
            self._context = self._created(frame.width, frame.height)
        frame = frame.reformat(format="yuv420p", dst_color_range="MPEG", dst_colorspace="ITU601")
        frame.pts = self._count
        self._count += 1
        (packet,) = self._context.encode(frame)
        return bytes(packet)

    def _created(self, width: int, height: int) -> av.VideoCodecContext:
        import av

        context = av.CodecContext.create("libx264", "w")
        assert isinstance(context, av.VideoCodecContext)
        context.width, context.height = width, height
        context.pix_fmt = "yuv420p"
        context.time_base = Fraction(1, 30)
        context.thread_count = 1
        context.color_range = 1  # limited, as reformat made it
        context.colorspace = 6  # BT.601
        context.options = {
            "preset": "superfast",
            "tune": "zerolatency",
            "crf": str(self._crf),
            "g": str(_GROUP),
            "sc_threshold": "0",
            "bf": "0",
            "flags": "+cgop",
        }
        return context
