"""A page of small pictures of a video, for a person to see what an episode shows."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.video.decode import select_frames
from lerobot_pipelines.video.probe import probe

_DIGITS = (  # 3x5 dots each
    "111101101101111",
    "010110010010111",
    "111001111100111",
    "111001111001111",
    "101101111001001",
    "111100111001111",
    "111100111101111",
    "111001001010010",
    "111101111101111",
    "111101111001111",
)
_DOT = 2  # pixels
_GAP = 2  # pixels between pictures
_BACKGROUND = 24


def contact_sheet(path: Path, *, columns: int = 6, rows: int = 2, width: int = 160) -> bytes:
    """A JPEG of up to ``columns * rows`` pictures, ``width`` pixels wide each, evenly spread.

    Each carries its frame number. Only key frames are decoded, one seek each, so the cost does
    not depend on the length of the video; the pictures shown are the key frames at or before the
    evenly spread ones. Raises ``Refused`` (corrupt_artifact) for a file that is no video.
    """
    facts = probe(path)
    wanted = np.round(np.linspace(0, facts.frames - 1, min(columns * rows, facts.frames)))
    keys = np.asarray(facts.key_frames)
    numbers = np.unique(keys[np.searchsorted(keys, wanted, side="right") - 1]).tolist()
    height = max(2, round(width * facts.height / facts.width / 2) * 2)
    columns = min(columns, len(numbers))
    lines = -(-len(numbers) // columns)
    sheet = np.full(
        (lines * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, 3),
        _BACKGROUND,
        dtype=np.uint8,
    )
    for place, frame in enumerate(select_frames(path, facts, numbers)):
        picture = frame.to_ndarray(format="rgb24", width=width, height=height)
        _label(picture, numbers[place])
        top = place // columns * (height + _GAP)
        left = place % columns * (width + _GAP)
        sheet[top : top + height, left : left + width] = picture
    return _jpeg(sheet)


def _label(picture: NDArray[np.uint8], number: int) -> None:
    """Write the number into the upper left corner, light on dark."""
    glyphs = [
        np.array([int(dot) for dot in _DIGITS[int(digit)]]).reshape(5, 3) for digit in str(number)
    ]
    dots = np.pad(np.concatenate([np.pad(g, ((0, 0), (1, 0))) for g in glyphs], axis=1), 1)
    label = np.kron(dots, np.ones((_DOT, _DOT), dtype=np.int64))[
        : picture.shape[0], : picture.shape[1]
    ]
    picture[: label.shape[0], : label.shape[1]] = np.where(label[..., None] == 1, 255, 0)


def _jpeg(rgb: NDArray[np.uint8]) -> bytes:
    import av

    # 4:2:0 needs even sides.
    rgb = rgb[: rgb.shape[0] // 2 * 2, : rgb.shape[1] // 2 * 2]
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height = rgb.shape[1], rgb.shape[0]
    encoder.pix_fmt = "yuvj420p"
    encoder.time_base = Fraction(1, 1)
    encoder.options = {"qmin": "3", "qmax": "3"}
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
    packets = [*encoder.encode(frame.reformat(format="yuvj420p")), *encoder.encode(None)]
    return b"".join(bytes(packet) for packet in packets)
