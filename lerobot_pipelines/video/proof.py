"""Proof, from the finished mp4, that the frame of a row shows the picture that the row names.

A frame lost, doubled or shifted on the way through an encoder leaves a video that plays well and
is wrong. So a few rows of each video, evenly spread, are looked at again: their frames are decoded
and held against what was kept of the pictures handed to the encoder, their own and those of the
rows beside them. Compression changes single pixels; the mean brightness of a block of pixels it
hardly does.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.model import PictureProof
from lerobot_pipelines.video.decode import select_frames
from lerobot_pipelines.video.planes import codes, plane
from lerobot_pipelines.video.probe import VideoProbe

if TYPE_CHECKING:
    import av

PROVEN_ROWS = 8
BLOCKS = (12, 16)  # rows and columns of blocks
# Of 255 levels of brightness. Measured at crf 23: below 1; at crf 51: below 4.
LARGEST_DIFFERENCE = 8.0
# A neighbour must be nearer by this much to be taken for the picture shown: a still scene is not
# proof against anybody.
CLEARLY_NEARER = 0.5

Blocks = NDArray[np.float32]


def proven_rows(rows: int) -> NDArray[np.int64]:
    """Positions of the rows that are looked at again, the first and the last among them."""
    return np.unique(np.linspace(0, rows - 1, PROVEN_ROWS).round().astype(np.int64))


class FrameProof:
    """Keeps the brightness of the frames handed to an encoder, at and beside the proven rows."""

    def __init__(self, rows: int) -> None:
        self._proven = proven_rows(rows).tolist()
        self._wanted = {row + step for row in self._proven for step in (-1, 0, 1)}
        self._kept: dict[int, Blocks] = {}

    def add(self, row: int, frame: av.VideoFrame) -> None:
        """``row`` counts from the beginning of the video."""
        if row in self._wanted:
            self._kept[row] = brightness(frame)

    def proven(self, path: Path, facts: VideoProbe) -> PictureProof:
        """Decode the proven rows of the finished file and compare."""
        largest, misplaced = 0.0, []
        for row, frame in zip(self._proven, select_frames(path, facts, self._proven), strict=True):
            shown = brightness(frame)
            own = _difference(shown, self._kept[row])
            beside = [
                _difference(shown, self._kept[other])
                for other in (row - 1, row + 1)
                if other in self._kept
            ]
            largest = max(largest, own)
            if own > LARGEST_DIFFERENCE or own > min(beside, default=own) + CLEARLY_NEARER:
                misplaced.append(row)
        return PictureProof(len(self._proven), tuple(misplaced), largest)


class PacketProof:
    """For pictures copied as they are: the bytes in the file are those of the picture, or not."""

    def __init__(self, rows: int) -> None:
        self._proven = set(proven_rows(rows).tolist())
        self._kept: dict[int, bytes] = {}

    def add(self, row: int, data: bytes) -> None:
        if row in self._proven:
            self._kept[row] = hashlib.sha256(data).digest()

    def proven(self, path: Path) -> PictureProof:
        import av

        misplaced = []
        with av.open(str(path)) as container:
            (stream,) = container.streams.video
            assert stream.time_base is not None and stream.average_rate is not None
            ticks = 1 / (stream.average_rate * stream.time_base)
            for row, digest in self._kept.items():
                container.seek(round(row * ticks), stream=stream)
                packet = next(container.demux(stream))
                if packet.pts != row * ticks or hashlib.sha256(packet).digest() != digest:
                    misplaced.append(row)
        return PictureProof(len(self._kept), tuple(misplaced), 255.0 if misplaced else 0.0)


def brightness(frame: av.VideoFrame) -> Blocks:
    """The mean luma of blocks that cover the picture, but for a few rows and columns."""
    bits = frame.format.components[0].bits
    luma = plane(frame, 0) if bits == 8 else codes(frame)
    rows, columns = (min(count, size) for count, size in zip(BLOCKS, luma.shape, strict=True))
    height, width = luma.shape[0] // rows, luma.shape[1] // columns
    blocks = luma[: rows * height, : columns * width].reshape(rows, height, columns, width)
    means: Blocks = blocks.mean(axis=(1, 3), dtype=np.float32)
    return means / np.float32(1 << bits - 8)  # of 255 levels, however many there are


def _difference(one: Blocks, other: Blocks) -> float:
    return float(np.abs(one - other).mean()) if one.shape == other.shape else 255.0
