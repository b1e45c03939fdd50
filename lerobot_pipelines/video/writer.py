"""Writing one mp4: frame k at exactly k / fps seconds, the index in front of the pictures."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from lerobot_pipelines.video.codecs import EncoderSettings

if TYPE_CHECKING:
    import av

MATRIX_BT601 = 6  # AVCOL_SPC_SMPTE170M, the matrix of JFIF
RANGE_LIMITED = 1  # AVCOL_RANGE_MPEG
RANGE_FULL = 2  # AVCOL_RANGE_JPEG


def muxer_options(codec: str, frames: int) -> dict[str, str]:
    """Options of an mp4 whose index comes first, so that a reader over a network begins at once.

    FFmpeg writes the index last and then shifts all data behind it. A file of JPEGs is large and
    its index of known size, so room is left for it instead: per frame at most 4 bytes of size, 8
    of offset and 12 of chunk. Nothing else (bitexact) depends on the muxer's version.
    """
    index = {"moov_size": str(4096 + 24 * frames)} if codec == "mjpeg" else _INDEX_MOVES
    return {"fflags": "+bitexact", **index}


_INDEX_MOVES = {"movflags": "+faststart"}


class FrameWriter:
    """Encodes frames of one size into an mp4."""

    def __init__(
        self, path: Path, settings: EncoderSettings, fps: int, width: int, height: int
    ) -> None:
        import av

        self.frames = 0
        self._time_base = Fraction(1, fps)
        options = muxer_options(settings.codec, 0)
        self._container = av.open(str(path), "w", format="mp4", options=options)
        stream = self._container.add_stream(settings.encoder, rate=fps)
        stream.width, stream.height = width, height
        stream.pix_fmt = settings.pix_fmt
        stream.time_base = self._time_base
        context = stream.codec_context
        context.time_base = self._time_base
        context.options = dict(settings.options)
        context.thread_count = settings.threads
        context.thread_type = "FRAME"  # slice threads cost compression
        context.color_range = RANGE_FULL if settings.full_range else RANGE_LIMITED
        context.colorspace = MATRIX_BT601
        if settings.tag is not None:
            context.codec_tag = settings.tag
        self._stream = stream

    def write(self, frame: av.VideoFrame) -> None:
        """Append a frame. The same frame may be written again."""
        frame.pts, frame.time_base = self.frames, self._time_base
        self._container.mux(self._stream.encode(frame))
        self.frames += 1

    def close(self) -> None:
        """Write what the encoder still holds, then the index."""
        self._container.mux(self._stream.encode(None))
        self._container.close()
        del self._container, self._stream  # only this ends the encoder and its threads

    def abandon(self) -> None:
        """Release the encoder; the file is of no use."""
        self._container.close()


class JpegWriter:
    """Puts ``count`` JPEGs of one size unchanged into an mp4."""

    def __init__(self, path: Path, fps: int, width: int, height: int, count: int) -> None:
        import av

        self.frames = 0
        self._time_base = Fraction(1, fps)
        options = muxer_options("mjpeg", count)
        self._container = av.open(str(path), "w", format="mp4", options=options)
        self._stream = self._container.add_mux_stream(
            "mjpeg", rate=fps, width=width, height=height, time_base=self._time_base
        )

    def write(self, data: bytes) -> None:
        import av

        packet = av.Packet(data)
        packet.pts = packet.dts = self.frames
        packet.duration, packet.time_base = 1, self._time_base
        packet.is_keyframe = True
        packet.stream = self._stream
        self._container.mux_one(packet)
        self.frames += 1

    def close(self) -> None:
        self._container.close()

    def abandon(self) -> None:
        self._container.close()
