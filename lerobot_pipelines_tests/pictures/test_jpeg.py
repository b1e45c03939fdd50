from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from lerobot_pipelines.pictures.jpeg import NotAJpeg, read_header
from lerobot_pipelines_tests.video.recording import jpeg, texture


@pytest.mark.parametrize(
    ("subsampling", "sampling"),
    [(0, ((1, 1),) * 3), (1, ((2, 1), (1, 1), (1, 1))), (2, ((2, 2), (1, 1), (1, 1)))],
)
def test_the_header_tells_size_and_sampling(
    subsampling: int, sampling: tuple[tuple[int, int], ...]
) -> None:
    header = read_header(jpeg(texture(0, 70, 50), subsampling=subsampling))
    assert (header.width, header.height, header.baseline) == (70, 50, True)
    assert header.sampling == sampling
    assert header.orientation == 1


@pytest.mark.parametrize("byte_order", ["<", ">"])
def test_the_orientation_is_read_in_both_byte_orders(byte_order: str) -> None:
    exif = Image.Exif()
    exif.endian = byte_order
    exif[0x010F] = "a maker"
    exif[0x0112] = 6
    assert read_header(jpeg(texture(0), exif=exif)).orientation == 6


def test_padding_after_the_end_is_allowed() -> None:
    assert read_header(jpeg(texture(0)) + bytes(3000)).width == 64


@pytest.mark.parametrize("keep", [0, 1, 2, 3, 20, 160, 400])
def test_a_cut_off_jpeg_is_told(keep: int) -> None:
    with pytest.raises(NotAJpeg):
        read_header(jpeg(texture(0))[:keep])


def test_no_damage_raises_anything_else() -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    whole = jpeg(texture(0), exif=exif)
    rng = np.random.default_rng(0)
    for _ in range(3000):
        damaged = bytearray(whole[: rng.integers(2, len(whole))] + b"\xff\xd9")
        for place in rng.integers(0, min(700, len(damaged)), rng.integers(1, 6)):
            damaged[place] = rng.integers(256)
        try:
            header = read_header(bytes(damaged))
        except NotAJpeg:
            continue
        assert header.width > 0 and header.height > 0 and 1 <= header.orientation <= 8
