"""Pictures out of messages, as the camera wrote them: nothing is decoded here."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.config.schema import DEFAULT_LIMITS
from lerobot_pipelines.pictures import (
    TAIL_BYTES,
    UnreadablePicture,
    encoding_of,
    read_picture_header,
)
from lerobot_pipelines.pictures.judge import PNG_END, PNG_START
from lerobot_pipelines.pictures.planar import PLANAR, least_bytes, true_size
from lerobot_pipelines.recordings.ros.rvl import BadRvl, decode_rvl

PICTURE_TYPES = ("CompressedImage", "CompressedVideo", "Image", "RawImage", "FFMPEGPacket")
VIDEO_ENCODINGS = ("h264", "hevc")

# compressedDepth puts a header of 12 bytes before its PNG; some writers add to it.
_DEPTH_HEADER_REACH = 256
_HEADER_BYTES = 12
_SCALE_BYTES = 8  # the last of the header: two floats, for depth of 32 bits

# Units of a video packet that begin a group of pictures: parameter sets and key pictures. They are
# the first in their packet, after a delimiter and some encoder's message about itself.
_KEY_FRAME_REACH = 4096
_H264_KEY_UNITS = frozenset({5, 7})
_HEVC_KEY_UNITS = frozenset({*range(16, 22), 32, 33})

# Other spellings of the same layout; OpenCV's names are those of cv_bridge.
_LAYOUTS = {
    "8UC1": "mono8",
    "8UC3": "bgr8",
    "8UC4": "bgra8",
    "16UC1": "16UC1",
    "yuv422": "uyvy",
    "yuv422_yuy2": "yuyv",
    "yuy2": "yuyv",
    "rgb": "rgb8",
    "bgr": "bgr8",
    **dict.fromkeys(("i420", "yuv420", "iyuv"), "yuv420p"),
    **dict.fromkeys(("yuv422p", "i422"), "yuv422p"),
    "i444": "yuv444p",
    **{name: name for name in PLANAR},
}
_BAYER_ORDERS = ("rggb", "bggr", "gbrg", "grbg")
BYTES_PER_PIXEL = {
    **dict.fromkeys(("mono8", *(f"bayer_{order}8" for order in _BAYER_ORDERS)), 1),
    **dict.fromkeys(("mono16", "16UC1", "16SC1", "uyvy", "yuyv"), 2),
    **dict.fromkeys((f"bayer_{order}16" for order in _BAYER_ORDERS), 2),
    **dict.fromkeys(("rgb8", "bgr8"), 3),
    **dict.fromkeys(("rgba8", "bgra8", "32FC1"), 4),
    **dict.fromkeys(("rgb16", "bgr16"), 6),
    **dict.fromkeys(("rgba16", "bgra16"), 8),
}


# Of a name or label that somebody else wrote, in messages.
_SHOWN_CHARACTERS = 60

_RAW_FIELDS = ("encoding", "width", "height", "step")


class BadPicture(Exception):
    """A message holds no usable picture: a reason code, and what a person should know of it."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class Content(NamedTuple):
    """The fields of ``model.Picture`` that come from a message."""

    data: bytes
    encoding: str
    width: int | None = None
    height: int | None = None
    step: int | None = None


def content(message: Any, max_pixels: int = DEFAULT_LIMITS.max_pixels) -> Content:
    """The picture of a decoded message; raises ``BadPicture``.

    What has to be unpacked here is not if it claims more than ``max_pixels``.
    """
    if not isinstance(getattr(message, "data", None), np.ndarray):
        raise BadPicture("no_picture_data")
    if all(hasattr(message, name) for name in _RAW_FIELDS):
        return _raw(message, max_pixels)
    data = message.data.tobytes()
    label = label_of(message)
    if "compresseddepth" in label or _has_depth_header(data, label):
        return _compressed_depth(data, label, max_pixels)
    verdict = encoding_of(data)
    if verdict.encoding:
        return Content(data, verdict.encoding)
    video = video_encoding(label)
    if video and data:
        return Content(data, video)
    raise BadPicture(verdict.fault, _labelled(verdict.detail, label))


def label_of(message: Any) -> str:
    """What the message calls its picture, e.g. "rgb8; jpeg compressed bgr8"; lower case."""
    return str(getattr(message, "format", None) or getattr(message, "encoding", "")).lower()


def is_lossy_depth(label: str, encoding: str) -> bool:
    """Distances of 16 bits that were recorded as a JPEG, of 8: what they were is lost."""
    return encoding == "jpeg" and label.startswith(("16uc1", "32fc1"))


def _labelled(detail: str, label: str) -> str:
    told = f"format {label[:_SHOWN_CHARACTERS]!r}"
    return f"{told}, {detail}" if detail else told


def _has_depth_header(data: bytes, label: str) -> bool:
    """A compressedDepth message whose publisher calls it by its pixels alone."""
    return label.startswith(("16uc1", "32fc1")) and data[_HEADER_BYTES:].startswith(PNG_START)


def video_encoding(label: str) -> str | None:
    """ "h264" or "hevc" where a format string means a video packet."""
    label = label.lower()
    for encoding, words in (
        ("h264", ("h264", "h.264", "avc", "x264")),
        ("hevc", ("h265", "h.265", "hevc", "x265")),
    ):
        if any(word in label for word in words):
            return encoding
    return None


def begins_anew(message: Any, encoding: str) -> bool:
    """Whether a video packet can be decoded without those before it."""
    head = bytes(message.data[:_KEY_FRAME_REACH])
    starts = [at + 3 for at in range(len(head) - 3) if head[at : at + 3] == b"\x00\x00\x01"]
    if not starts:
        return True  # another framing than Annex B; the decoder will tell
    if encoding == "h264":
        return any(head[at] & 0x1F in _H264_KEY_UNITS for at in starts)
    return any(head[at] >> 1 & 0x3F in _HEVC_KEY_UNITS for at in starts)


def _raw(message: Any, max_pixels: int) -> Content:
    given = str(message.encoding)
    encoding = _LAYOUTS.get(given, given)
    encoding = _LAYOUTS.get(encoding.lower(), encoding)
    if encoding not in BYTES_PER_PIXEL and encoding not in PLANAR:
        return _packet(message, given)
    try:
        width, height, step = (int(getattr(message, n)) for n in ("width", "height", "step"))
    except (TypeError, ValueError) as error:
        raise BadPicture("bad_size") from error
    data = message.data
    if encoding in PLANAR:
        width, height, step = true_size(encoding, (width, height, step), len(data))
    pixel = BYTES_PER_PIXEL.get(encoding, 1)
    # A single row has no use for a step, which may be any number.
    step = step if height > 1 and step else width * pixel
    told = f"{width}x{height} pixels of {encoding}, step {step}, in {len(data)} bytes"
    if width < 1 or height < 1 or step < width * pixel:
        raise BadPicture("bad_size", told)
    if encoding in PLANAR:
        needed = least_bytes(encoding, width, height, step)
    else:
        needed = step * (height - 1) + width * pixel
    if len(data) < needed:
        raise BadPicture("truncated", told)
    if width * height > max_pixels:
        raise BadPicture("too_large", f"{told}; limits.picture_megapixels")
    raw = np.asarray(data, dtype=np.uint8)
    if getattr(message, "is_bigendian", 0) and encoding.endswith(("16", "16UC1", "16SC1", "32FC1")):
        size = 4 if encoding == "32FC1" else 2
        rows = raw[: step * height // size * size]
        raw = rows.view(f">u{size}").astype(f"<u{size}").view(np.uint8)
    # Some drivers leave out the padding of the last row.
    missing = b"" if encoding in PLANAR else b"\x00" * (step * height - len(raw))
    return Content(raw.tobytes() + missing, encoding, width, height, step)


def _packet(message: Any, encoding: str) -> Content:
    """What drivers put into a message for raw pixels all the same: a video, or a whole picture."""
    data = message.data.tobytes()
    video = video_encoding(encoding)
    if video and data:
        return Content(data, video)
    if data and (found := encoding_of(data).encoding):
        return Content(data, found)
    known = ", ".join([*BYTES_PER_PIXEL, *PLANAR, *VIDEO_ENCODINGS])
    raise BadPicture(
        "unsupported_encoding", f"encoding {encoding[:_SHOWN_CHARACTERS]!r}; known are {known}"
    )


def _compressed_depth(data: bytes, label: str, max_pixels: int) -> Content:
    """The picture of a compressedDepth message: millimetres, or inverse depth to be undone."""
    start = data.find(PNG_START, 0, _DEPTH_HEADER_REACH)
    if start < 0 and "rvl" in label:
        return _rvl_depth(data, label, max_pixels)
    if start < 0:
        raise BadPicture(
            "unsupported_depth", _labelled("neither a PNG nor RVL; record one of these", label)
        )
    if PNG_END not in data[-TAIL_BYTES:]:
        raise BadPicture("truncated")
    if "32fc1" not in label:
        return Content(data[start:], "png")
    if start < _SCALE_BYTES:
        raise BadPicture("bad_depth_header")
    levels = _png_levels(data[start:], max_pixels)
    return _inverse_depth(levels, data[start - _SCALE_BYTES : start])


def _rvl_depth(data: bytes, label: str, max_pixels: int) -> Content:
    try:
        levels = decode_rvl(data, max_pixels)
    except BadRvl as error:
        raise BadPicture("corrupt_rvl", str(error)) from error
    if "32fc1" in label:
        return _inverse_depth(levels, data[_HEADER_BYTES - _SCALE_BYTES : _HEADER_BYTES])
    height, width = levels.shape
    return Content(levels.astype("<u2").tobytes(), "16UC1", width, height, width * 2)


def _png_levels(data: bytes, max_pixels: int) -> NDArray[Any]:
    from av.codec import CodecContext
    from av.packet import Packet

    try:
        read_picture_header(data, "png", max_pixels)
        decoder = CodecContext.create("png", "r")
        frames = [*decoder.decode(Packet(data)), *decoder.decode(None)]
        levels: NDArray[Any] = frames[0].to_ndarray()
    except UnreadablePicture as error:
        raise BadPicture(
            "too_large" if error.is_too_large else "corrupt_png", str(error)
        ) from error
    except Exception as error:
        raise BadPicture("corrupt_png") from error
    return levels


def _inverse_depth(quantised: NDArray[Any], scale: bytes) -> Content:
    # compressed_depth_image_transport: 1 / depth = (value - b) / a, with a and b in the header.
    scales = np.frombuffer(scale, dtype="<f4")
    a, b = float(scales[0]), float(scales[1])
    levels = quantised.astype(np.float32)
    depth = np.zeros(levels.shape, np.float32)
    valid = levels > 0
    depth[valid] = a / (levels[valid] - b)
    height, width = quantised.shape[0], quantised.shape[1]
    return Content(depth.astype("<f4").tobytes(), "32FC1", width, height, width * 4)
