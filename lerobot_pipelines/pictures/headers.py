"""Size and kind of a picture from its header, held against its bytes and against a limit."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from lerobot_pipelines.pictures.jpeg import NotAJpeg, exif_orientation, read_header
from lerobot_pipelines.pictures.judge import PNG_START

if TYPE_CHECKING:
    from PIL.Image import Image

# One bit at least for each block of 8 by 8 pixels.
_JPEG_PIXELS_PER_BYTE = 512
# What deflate can make of a byte at most, https://zlib.net/zlib_tech.html; and a small picture's
# header and checks.
_DEFLATE_RATIO = 1032
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}

_PILLOW_FORMATS = ("BMP", "TIFF", "WEBP", "PPM")
_ORIENTATION = 0x0112
# Pillow's names of pixels that are distances: 16 bits, and floats.
DEPTH_MODES = ("I;16", "I;16L", "I;16B", "I", "F")


class UnreadablePicture(ValueError):
    """The message says what is wrong; ``is_too_large``: with the size alone."""

    def __init__(self, message: str, *, is_too_large: bool = False) -> None:
        super().__init__(message)
        self.is_too_large = is_too_large


@dataclass(frozen=True, slots=True)
class PictureHeader:
    """``orientation`` is EXIF's 1 to 8, where 1 is upright. ``is_depth``: one channel of 16 bits,
    or of floats, which is how depth cameras are recorded; nobody stores pictures so."""

    encoding: str
    width: int
    height: int
    orientation: int = 1
    is_depth: bool = False


def read_picture_header(data: bytes, encoding: str, max_pixels: int) -> PictureHeader:
    """The header of a picture of one of ``ENCODINGS``.

    Raises ``UnreadablePicture`` for one that cannot be read, that says it is larger than its bytes
    can be, or than ``max_pixels``.
    """
    if encoding == "jpeg":
        header = _jpeg(data)
    elif encoding == "png":
        header = _png(data)
    else:
        header = _pillow(data, encoding)
    pixels = header.width * header.height
    if pixels > max_pixels:
        raise UnreadablePicture(
            f"it says it is {header.width}x{header.height} pixels large, "
            f"{pixels / 1e6:.0f} million; limits.picture_megapixels allows {max_pixels / 1e6:g}",
            is_too_large=True,
        )
    return header


def _jpeg(data: bytes) -> PictureHeader:
    try:
        header = read_header(data)
    except NotAJpeg as fault:
        raise UnreadablePicture(str(fault)) from fault
    if header.width * header.height > len(data) * _JPEG_PIXELS_PER_BYTE:
        raise _does_not_fit(header.width, header.height, data)
    return PictureHeader("jpeg", header.width, header.height, header.orientation)


def _png(data: bytes) -> PictureHeader:
    if not data.startswith(PNG_START) or data[12:16] != b"IHDR" or len(data) < 26:
        raise UnreadablePicture("it does not begin as a PNG does")
    width, height, bits, colours = struct.unpack_from(">IIBB", data, 16)
    channels = _PNG_CHANNELS.get(colours)
    if not width or not height or channels is None:
        raise UnreadablePicture(f"it says it is {width}x{height} pixels of kind {colours}")
    row_bytes = (width * bits * channels + 7) // 8 + 1
    if row_bytes * height > len(data) * _DEFLATE_RATIO:
        raise _does_not_fit(width, height, data)
    orientation = next(
        (exif_orientation(body) for name, body in _png_chunks(data) if name == b"eXIf"), 1
    )
    return PictureHeader("png", width, height, orientation, bits == 16 and colours == 0)


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Names and contents of the chunks before the pixels."""
    at = len(PNG_START)
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        name = data[at + 4 : at + 8]
        if name == b"IDAT":
            return
        yield name, data[at + 8 : at + 8 + length]
        at += 12 + length


def _pillow(data: bytes, encoding: str) -> PictureHeader:
    image = opened(data)
    try:
        orientation = int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged metadata does not spoil the picture
        orientation = 1
    return PictureHeader(
        encoding,
        image.width,
        image.height,
        orientation if 1 <= orientation <= 8 else 1,
        image.mode in DEPTH_MODES,
    )


def opened(data: bytes) -> Image:
    """The picture in Pillow, not decoded yet. Raises ``UnreadablePicture``."""
    from PIL import Image

    _keep_quiet_about_sizes()
    try:
        image = Image.open(io.BytesIO(data), formats=_PILLOW_FORMATS)
        frames = int(getattr(image, "n_frames", 1))
    except Image.DecompressionBombError as fault:
        raise UnreadablePicture(f"it is too large ({fault})", is_too_large=True) from fault
    except Exception as fault:  # its readers raise what the damage happens to cause
        raise UnreadablePicture(f"its header cannot be read ({fault})") from fault
    if frames != 1:
        raise UnreadablePicture(f"it holds {frames} pictures")
    return image


@cache
def _keep_quiet_about_sizes() -> None:
    """Pillow warns of pictures that are large; here they are refused, by a limit of our own."""
    import warnings

    from PIL import Image

    warnings.simplefilter("ignore", Image.DecompressionBombWarning)


def _does_not_fit(width: int, height: int, data: bytes) -> UnreadablePicture:
    return UnreadablePicture(
        f"it says it is {width}x{height} pixels large, which its {len(data)} bytes cannot hold"
    )
