"""A frame that is not the picture its row names is found in the finished mp4."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from lerobot_pipelines.video import probe
from lerobot_pipelines.video.proof import FrameProof, PacketProof, proven_rows

ROWS, FPS, SIZE = 40, 25, 96


def picture(row: int) -> av.VideoFrame:
    """A bright square that moves a few pixels a row."""
    pixels = np.full((SIZE, SIZE, 3), 40, np.uint8)
    start = 2 * row % (SIZE - 24)
    pixels[20:60, start : start + 24] = 210
    return av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")


def encoded(path: Path, rows: list[int], crf: str = "23") -> Path:
    """An mp4 that shows the pictures of these rows."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": crf, "g": "10"})
        stream.width = stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        for number, row in enumerate(rows):
            frame = picture(row)
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def kept() -> FrameProof:
    proof = FrameProof(ROWS)
    for row in range(ROWS):
        proof.add(row, picture(row))
    return proof


@pytest.mark.parametrize("crf", ["18", "35", "51"])
def test_the_right_pictures_are_proven_whatever_the_quality(tmp_path: Path, crf: str) -> None:
    path = encoded(tmp_path / "video.mp4", list(range(ROWS)), crf)
    proof = kept().proven(path, probe(path))
    assert proof.misplaced == ()
    assert proof.rows == len(proven_rows(ROWS)) == 8


@pytest.mark.parametrize("crf", ["18", "35"])
def test_pictures_one_row_late_are_found(tmp_path: Path, crf: str) -> None:
    path = encoded(tmp_path / "video.mp4", [0, *range(ROWS - 1)], crf)
    assert len(kept().proven(path, probe(path)).misplaced) >= 5


def test_a_picture_of_something_else_is_found(tmp_path: Path) -> None:
    wrong = list(range(ROWS))
    wrong[-1] = 20
    path = encoded(tmp_path / "video.mp4", wrong)
    assert kept().proven(path, probe(path)).misplaced == (ROWS - 1,)


def test_copied_pictures_are_proven_byte_by_byte(tmp_path: Path) -> None:
    pictures = [jpeg(row) for row in range(ROWS)]
    path = tmp_path / "video.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_mux_stream(
            "mjpeg", rate=FPS, width=SIZE, height=SIZE, time_base=Fraction(1, FPS)
        )
        for row, data in enumerate(pictures):
            packet = av.Packet(data)
            packet.pts = packet.dts = row
            packet.time_base, packet.stream, packet.is_keyframe = Fraction(1, FPS), stream, True
            container.mux_one(packet)
    for shift, misplaced in ((0, 0), (1, 8)):
        proof = PacketProof(ROWS)
        for row in range(ROWS):
            proof.add(row, pictures[(row + shift) % ROWS])
        assert len(proof.proven(path).misplaced) == misplaced


def jpeg(row: int) -> bytes:
    context = av.CodecContext.create("mjpeg", "w")
    context.width = context.height = SIZE
    context.pix_fmt = "yuvj420p"
    context.time_base = Fraction(1, FPS)
    (packet,) = context.encode(picture(row).reformat(format="yuvj420p"))
    return bytes(packet)


@pytest.mark.parametrize("rows", [1, 2, 3, 7, 1000])
def test_the_first_and_the_last_row_are_looked_at(rows: int) -> None:
    proven = proven_rows(rows).tolist()
    assert proven[0] == 0
    assert proven[-1] == rows - 1
    assert len(set(proven)) == len(proven) <= 8
