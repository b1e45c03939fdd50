"""The packets of a recorded camera as an mp4, and their stamps as the parquet file beside it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from av.container import OutputContainer

# As in ``recordings.layout``, which a robot need not install the requirements of.
VIDEO_NAME, STAMPS_NAME = "video.mp4", "stamps.parquet"
STAMPS_COLUMN = "timestamps"
# The mp4's own times are for players; a tick of 1 us lets it last an hour with any hole in it.
_TICKS_PER_S = 1_000_000
_NS_PER_TICK = 1000
_IDR, _PARAMETERS = 5, 7  # kinds of NAL units that a group of pictures begins with


class VideoFile:
    """Writes ``video.mp4`` and ``stamps.parquet`` into a folder of its own. For one thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._container: OutputContainer | None = None
        self._stream: Any = None
        self._stamps: list[int] = []
        self._last = -1

    def add(self, stamp_ns: int, packet: bytes) -> None:
        """Append an H.264 packet in Annex B form; the first begins a group of pictures."""
        import av

        if self._container is None:
            self._open(packet)
        assert self._container is not None
        self._stamps.append(stamp_ns)
        at = (stamp_ns - self._stamps[0]) // _NS_PER_TICK
        self._last = max(at, self._last + 1)
        muxed = av.Packet(packet)
        muxed.pts = muxed.dts = self._last
        muxed.time_base = Fraction(1, _TICKS_PER_S)
        muxed.is_keyframe = packet[4] & 0x1F in (_IDR, _PARAMETERS)
        muxed.stream = self._stream
        self._container.mux_one(muxed)

    def close(self) -> None:
        """Complete both files."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        if self._container is not None:
            self._container.close()
        stamps = pa.table({STAMPS_COLUMN: np.array(self._stamps, np.int64)})
        pq.write_table(stamps, self._folder / STAMPS_NAME)

    def _open(self, first: bytes) -> None:
        import av

        width, height = _size_of(first)
        self._folder.mkdir(parents=True, exist_ok=True)
        options = {"video_track_timescale": str(_TICKS_PER_S), "movflags": "+faststart"}
        self._container = av.open(
            str(self._folder / VIDEO_NAME), "w", format="mp4", options=options
        )
        self._stream = self._container.add_mux_stream(
            "h264", rate=30, width=width, height=height, time_base=Fraction(1, _TICKS_PER_S)
        )


def _size_of(packet: bytes) -> tuple[int, int]:
    import av

    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(decoder, av.VideoCodecContext)
    frames = [*decoder.decode(av.Packet(packet)), *decoder.decode(None)]
    return frames[0].width, frames[0].height
