"""Pictures out of messages, as the camera wrote them: nothing is decoded here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.recordings.ros.batch import Batch, contains
from lerobot_pipelines.recordings.ros.blocks import TAIL_BYTES, Flags
from lerobot_pipelines.recordings.ros.container import Message
from lerobot_pipelines.recordings.ros.rvl import BadRvl, decode_rvl

PICTURE_TYPES = ("CompressedImage", "CompressedVideo", "Image", "RawImage", "FFMPEGPacket")
VIDEO_ENCODINGS = ("h264", "hevc")

_JPEG_START = b"\xff\xd8\xff"
_PNG_START = b"\x89PNG\r\n\x1a\n"
_ENDS = {"jpeg": (_JPEG_START, b"\xff\xd9"), "png": (_PNG_START, b"IEND")}

# A header, a frame name and a format string lie before the picture: rarely over 100 bytes.
HEAD_BYTES = 1024
# compressedDepth puts a header of 12 bytes before its PNG; some writers add to it.
_DEPTH_HEADER_REACH = 256
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


_RAW_FIELDS = ("encoding", "width", "height", "step")


class BadPicture(Exception):
    """A message holds no usable picture; the argument is the reason code."""


class Content(NamedTuple):
    """The fields of ``model.Picture`` that come from a message."""

    data: bytes
    encoding: str
    width: int | None = None
    height: int | None = None
    step: int | None = None


def content(message: Any) -> Content:
    """The picture of a decoded message; raises ``BadPicture``."""
    if not isinstance(getattr(message, "data", None), np.ndarray):
        raise BadPicture("no_picture_data")
    if all(hasattr(message, name) for name in _RAW_FIELDS):
        return _raw(message)
    data = message.data.tobytes()
    label = str(getattr(message, "format", None) or getattr(message, "encoding", "")).lower()
    if "compresseddepth" in label:
        return _compressed_depth(data, label)
    if data.startswith(_JPEG_START):
        return Content(data, "jpeg")
    if data.startswith(_PNG_START):
        return Content(data, "png")
    video = video_encoding(label)
    if video:
        return Content(data, video)
    raise BadPicture("not_a_jpeg" if "jp" in label else "unsupported_picture")


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


def _raw(message: Any) -> Content:
    encoding = _LAYOUTS.get(str(message.encoding), str(message.encoding))
    encoding = _LAYOUTS.get(encoding.lower(), encoding)
    pixel = BYTES_PER_PIXEL.get(encoding)
    if pixel is None:
        raise BadPicture("unsupported_encoding")
    try:
        width, height, step = (int(getattr(message, n)) for n in ("width", "height", "step"))
    except (TypeError, ValueError) as error:
        raise BadPicture("bad_size") from error
    step = step or width * pixel
    data = message.data
    if width < 1 or height < 1 or step < width * pixel:
        raise BadPicture("bad_size")
    if len(data) < step * (height - 1) + width * pixel:
        raise BadPicture("truncated")
    raw = np.asarray(data, dtype=np.uint8)
    if getattr(message, "is_bigendian", 0) and encoding.endswith(("16", "16UC1", "16SC1", "32FC1")):
        size = 4 if encoding == "32FC1" else 2
        rows = raw[: step * height // size * size]
        raw = rows.view(f">u{size}").astype(f"<u{size}").view(np.uint8)
    # Some drivers leave out the padding of the last row.
    missing = b"\x00" * (step * height - len(raw))
    return Content(raw.tobytes() + missing, encoding, width, height, step)


def _compressed_depth(data: bytes, label: str) -> Content:
    """The picture of a compressedDepth message: millimetres, or inverse depth to be undone."""
    start = data.find(_PNG_START, 0, _DEPTH_HEADER_REACH)
    if start < 0 and "rvl" not in label:
        raise BadPicture("not_a_png")
    if start < 0:
        return _rvl_depth(data, label)
    if "32fc1" not in label:
        return Content(data[start:], "png")
    if start < _SCALE_BYTES:
        raise BadPicture("bad_depth_header")
    return _inverse_depth(_png_levels(data[start:]), data[start - _SCALE_BYTES : start])


def _rvl_depth(data: bytes, label: str) -> Content:
    try:
        levels = decode_rvl(data)
    except BadRvl as error:
        raise BadPicture("corrupt_rvl") from error
    if "32fc1" in label:
        return _inverse_depth(levels, data[12 - _SCALE_BYTES : 12])
    height, width = levels.shape
    return Content(levels.astype("<u2").tobytes(), "16UC1", width, height, width * 2)


def _png_levels(data: bytes) -> NDArray[Any]:
    from av.codec import CodecContext
    from av.packet import Packet

    decoder = CodecContext.create("png", "r")
    try:
        frames = [*decoder.decode(Packet(data)), *decoder.decode(None)]
        levels: NDArray[Any] = frames[0].to_ndarray()
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


def alone(message: Any) -> Message:
    """The picture of a decoded message as if nothing else had been sent; raises ``BadPicture``."""
    data = memoryview(content(message).data)
    return Message(data, 0, 0, len(data))


def fault_of(message: Message, encoding: str) -> str | None:
    """What is wrong with a picture, by the two ends of its message; None if nothing shows."""
    if encoding not in _ENDS:
        return None
    start, end = _ENDS[encoding]
    if start not in bytes(message.part(0, HEAD_BYTES)):
        return f"not_a_{encoding}"
    return _cut(message, end)


def sound(batch: Batch, encoding: str, offsets: Iterable[int]) -> Flags:
    """Which of a batch's messages ``fault_of`` has nothing against, (n,); some may be missed.

    ``offsets`` are those of pictures seen before, by ``offset_of``.
    """
    if encoding not in _ENDS:
        return batch.sound
    start, end = _ENDS[encoding]
    begun = np.zeros(len(batch), np.bool_)
    for offset in offsets:
        begun |= batch.begin_with(start, offset)
    ended, tails = batch.tails()
    ended[ended] = contains(tails, end) | ~tails.any(axis=1)
    return begun & ended


def offset_of(message: Message, encoding: str) -> set[int]:
    """Where in its message the picture begins; empty if that is not known."""
    if encoding not in _ENDS:
        return set()
    return {bytes(message.part(0, HEAD_BYTES)).find(_ENDS[encoding][0])} - {-1}


def _cut(message: Message, end: bytes) -> str | None:
    tail = bytes(message.part(message.length - TAIL_BYTES, message.length))
    padding_only = not tail.strip(b"\x00")
    return None if end in tail or padding_only else "truncated"
