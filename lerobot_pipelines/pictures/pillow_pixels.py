"""Pixels of the pictures that are read with Pillow: BMP, TIFF, WebP, PNM."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.pictures.headers import DEPTH_MODES, UnreadablePicture, opened

_DEPTH_LAYOUTS = {"uint16": "gray16le", "float32": "grayf32le"}


def pixels_of(data: bytes) -> tuple[NDArray[Any], str]:
    """The picture as an array, and FFmpeg's name of its layout: "gray" uint8 (height, width),
    "rgb24" uint8 (height, width, 3), "gray16le" uint16 or "grayf32le" float32 (height, width).

    Transparency is left out, as decoders of PNG do. Raises ``UnreadablePicture``.
    """
    image = opened(data)
    try:
        image.load()
    except Exception as fault:  # Pillow's readers raise what the damage happens to cause
        raise UnreadablePicture(f"it cannot be decoded ({fault})") from fault
    if image.mode in DEPTH_MODES:
        return _depth(np.asarray(image))
    if image.mode in ("L", "1"):
        return np.asarray(image.convert("L")), "gray"
    if image.mode in ("RGBA", "RGBX", "RGBa"):
        return np.ascontiguousarray(np.asarray(image)[..., :3]), "rgb24"
    return np.asarray(image.convert("RGB")), "rgb24"


def _depth(values: NDArray[Any]) -> tuple[NDArray[Any], str]:
    if values.dtype.kind == "f":
        return np.ascontiguousarray(values, np.float32), _DEPTH_LAYOUTS["float32"]
    # Pillow keeps some pictures of 16 bits in 32.
    if values.size and not 0 <= values.min() <= values.max() <= np.iinfo(np.uint16).max:
        raise UnreadablePicture("its values take more than 16 bits, which no camera here gives")
    return np.ascontiguousarray(values, np.uint16), _DEPTH_LAYOUTS["uint16"]
