"""RVL depth: what the published encoder writes comes back, and damage never does harm."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lerobot_pipelines.recordings.ros.rvl import BadRvl, decode_rvl


def rvl(depth: NDArray[np.uint16]) -> bytes:
    """Columns, rows and the nibbles, written one by one as the paper's encoder does."""
    nibbles: list[int] = []

    def put(number: int) -> None:
        while True:
            nibble, number = number & 7, number >> 3
            nibbles.append(nibble | (8 if number else 0))
            if not number:
                return

    pixels = [int(value) for value in depth.ravel()]
    at = previous = 0
    while at < len(pixels):
        start = at
        while at < len(pixels) and not pixels[at]:
            at += 1
        put(at - start)
        start = at
        while at < len(pixels) and pixels[at]:
            at += 1
        put(at - start)
        for value in pixels[start:at]:
            step = value - previous
            put(2 * step if step >= 0 else -2 * step - 1)
            previous = value
    nibbles += [0] * (-len(nibbles) % 8)
    words = (
        int("".join(f"{nibble:x}" for nibble in nibbles[at : at + 8]), 16)
        for at in range(0, len(nibbles), 8)
    )
    rows, columns = depth.shape
    return struct.pack("<II", columns, rows) + b"".join(struct.pack("<I", word) for word in words)


@given(
    st.lists(st.one_of(st.just(0), st.integers(0, 65535)), min_size=1, max_size=60),
    st.integers(1, 3),
)
def test_every_picture_comes_back(values: list[int], rows: int) -> None:
    depth = np.array(values * rows, dtype=np.uint16).reshape(rows, -1)
    assert np.array_equal(decode_rvl(bytes(12) + rvl(depth)), depth)


@given(st.binary(max_size=120))
def test_no_bytes_do_more_than_be_refused(data: bytes) -> None:
    try:
        decoded = decode_rvl(data)
    except BadRvl:
        return
    assert decoded.dtype == np.uint16


def test_a_cut_picture_is_refused() -> None:
    depth = np.arange(1, 401, dtype=np.uint16).reshape(20, 20)
    whole = bytes(12) + rvl(depth)
    with pytest.raises(BadRvl):
        decode_rvl(whole[: len(whole) // 2])
