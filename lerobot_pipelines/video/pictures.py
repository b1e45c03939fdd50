"""From a recorded picture to a decoded frame: the one place that knows picture encodings.

JPEG, PNG, what Pillow reads, packets of an H.264 or H.265 video and the raw layouts of robot
drivers all become an ``av.VideoFrame`` in their own pixel format: nothing is converted twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lerobot_pipelines.config.schema import DEFAULT_LIMITS
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.model import Picture
from lerobot_pipelines.pictures import (
    ENCODINGS,
    PILLOW_ENCODINGS,
    PictureHeader,
    UnreadablePicture,
    read_picture_header,
)
from lerobot_pipelines.pictures.pillow_pixels import pixels_of
from lerobot_pipelines.pictures.planar import PLANAR, least_bytes
from lerobot_pipelines.video.planar import planar_frame

if TYPE_CHECKING:
    import av

# Names of ROS's sensor_msgs/Image (image_encodings.hpp) to FFmpeg's, and bytes per pixel.
_RAW_LAYOUTS = {
    "rgb8": ("rgb24", 3),
    "bgr8": ("bgr24", 3),
    "8UC3": ("bgr24", 3),
    "rgba8": ("rgba", 4),
    "bgra8": ("bgra", 4),
    "8UC4": ("bgra", 4),
    "mono8": ("gray", 1),
    "8UC1": ("gray", 1),
    "mono16": ("gray16le", 2),
    "16UC1": ("gray16le", 2),
    "32FC1": ("grayf32le", 4),
    "rgb16": ("rgb48le", 6),
    "bgr16": ("bgr48le", 6),
    "rgba16": ("rgba64le", 8),
    "bgra16": ("bgra64le", 8),
    "yuv422": ("uyvy422", 2),
    "uyvy": ("uyvy422", 2),
    "yuv422_yuy2": ("yuyv422", 2),
    "yuyv": ("yuyv422", 2),
    **{f"bayer_{order}8": (f"bayer_{order}8", 1) for order in ("rggb", "bggr", "gbrg", "grbg")},
    **{f"bayer_{order}16": (f"bayer_{order}16le", 2) for order in ("rggb", "bggr", "gbrg", "grbg")},
}
VIDEO_DECODERS = ("h264", "hevc")
_DECODERS = {"jpeg": "mjpeg", "png": "png", **{name: name for name in VIDEO_DECODERS}}
_METRIC_DEPTH = frozenset({"16UC1", "32FC1"})


@dataclass(frozen=True, slots=True)
class Decoded:
    """A decoded picture. ``orientation`` is EXIF's: 1 means the frame is upright as it is.

    ``is_depth`` says that its values are distances: 16-bit grey in mm, or 32-bit floats in m.
    """

    id: int
    frame: av.VideoFrame
    orientation: int = 1
    is_depth: bool = False


class PictureDecoder:
    """Decodes the pictures of one stream in their order.

    H.264 and H.265 packets need the packets before them: give it every picture from the first on.
    No picture of more than ``max_pixels`` is decoded: ``decode`` raises ``Refused`` (too_large).
    """

    def __init__(self, max_pixels: int = DEFAULT_LIMITS.max_pixels) -> None:
        self._max_pixels = max_pixels
        self._contexts: dict[str, av.VideoCodecContext] = {}
        self._last: Picture | None = None

    def decode(self, picture: Picture) -> Iterator[Decoded]:
        """The frames that this picture completes: itself, except for video packets."""
        self._last = picture
        if picture.encoding in VIDEO_DECODERS:
            yield from self._packets(picture)
        elif picture.encoding in ENCODINGS:
            yield self._encoded(picture)
        else:
            frame = _raw_frame(picture, self._max_pixels)
            is_depth = picture.encoding in _METRIC_DEPTH
            yield Decoded(picture.id, frame, picture.orientation, is_depth)

    def flush(self) -> Iterator[Decoded]:
        """Frames that a video decoder still held back."""
        for encoding in VIDEO_DECODERS:
            if self._last is not None and encoding in self._contexts:
                for frame in self._run(self._last, encoding, None):
                    yield Decoded(int(frame.pts), frame, self._last.orientation)

    def _encoded(self, picture: Picture) -> Decoded:
        header = self._header(picture)
        if picture.encoding in PILLOW_ENCODINGS:
            frame = self._by_pillow(picture)
        else:
            frame = self._single(picture)
        # What the picture says of itself goes before what its container says of all.
        orientation = header.orientation if header.orientation != 1 else picture.orientation
        return Decoded(picture.id, frame, orientation, header.is_depth)

    def _header(self, picture: Picture) -> PictureHeader:
        try:
            return read_picture_header(picture.data, picture.encoding, self._max_pixels)
        except UnreadablePicture as fault:
            if fault.is_too_large:
                raise too_large(picture, str(fault)) from fault
            raise corrupt(picture, str(fault)) from fault

    def _by_pillow(self, picture: Picture) -> av.VideoFrame:
        import av

        try:
            pixels, layout = pixels_of(picture.data)
        except UnreadablePicture as fault:
            raise corrupt(picture, str(fault)) from fault
        return av.VideoFrame.from_ndarray(pixels, format=layout)

    def _single(self, picture: Picture) -> av.VideoFrame:
        frames = self._run(picture, picture.encoding, picture.data)
        if len(frames) != 1:
            raise corrupt(picture, f"it holds {len(frames)} pictures")
        return frames[0]

    def _packets(self, picture: Picture) -> Iterator[Decoded]:
        for frame in self._run(picture, picture.encoding, picture.data):
            yield Decoded(int(frame.pts), frame, picture.orientation)

    def _run(self, picture: Picture, encoding: str, data: bytes | None) -> list[av.VideoFrame]:
        import av

        packet = None
        if data is not None:
            if not data:
                raise corrupt(picture, "it is empty")
            packet = av.Packet(data)
            packet.pts = packet.dts = picture.id
        try:
            frames: list[av.VideoFrame] = self._context(encoding).decode(packet)
        except (av.FFmpegError, ValueError) as fault:
            if (size := self._beyond(encoding)) is not None:
                raise too_large(picture, size) from fault
            raise corrupt(picture, f"it cannot be decoded ({fault})") from fault
        return frames

    def _beyond(self, encoding: str) -> str | None:
        """What a decoder refused that was told a larger size than it may take."""
        context = self._contexts[encoding]
        if context.width * context.height <= self._max_pixels:
            return None
        return (
            f"its video is {context.width}x{context.height} pixels large; "
            f"limits.picture_megapixels allows {self._max_pixels / 1e6:g}"
        )

    def _context(self, encoding: str) -> av.VideoCodecContext:
        if encoding == "png":
            # FFmpeg 8's decoder filters a picture's first row with the last one of the picture
            # before, so each gets a decoder of its own.
            self._contexts.pop(encoding, None)
        if encoding not in self._contexts:
            import av

            context = av.CodecContext.create(_DECODERS[encoding], "r")
            # One thread: a picture leaves the decoder when it enters, and cameras run in parallel.
            context.thread_count = 1
            context.thread_type = "NONE"
            context.options = {"max_pixels": str(self._max_pixels)}
            if encoding == "jpeg":
                # A picture with bad bits is a fault to report, not to paint over.
                context.options |= {"err_detect": "explode"}
            elif encoding in VIDEO_DECODERS:
                context.flags |= av.codec.context.Flags.low_delay
            self._contexts[encoding] = context
        return self._contexts[encoding]


def corrupt(picture: Picture, fault: str) -> Refused:
    """The refusal of a picture that cannot be shown."""
    return Refused(
        Reason.CORRUPT_PICTURE,
        f"picture {picture.id} of {picture.stream} (stamp {picture.stamp_ns} ns, "
        f"{picture.encoding}): {fault}; remove it from the recording, or record it again",
        stream=picture.stream,
        picture=picture.id,
        stamp_ns=picture.stamp_ns,
    )


def too_large(picture: Picture, fault: str) -> Refused:
    """The refusal of a picture above the limit."""
    return Refused(
        Reason.TOO_LARGE,
        f"picture {picture.id} of {picture.stream} (stamp {picture.stamp_ns} ns, "
        f"{picture.encoding}): {fault}; remove it from the recording, or raise the limit and retry "
        "the episode",
        stream=picture.stream,
        picture=picture.id,
        stamp_ns=picture.stamp_ns,
    )


def _raw_frame(picture: Picture, max_pixels: int) -> av.VideoFrame:
    """Raw pixels, copied once into a frame of the same layout (16-bit ones little endian)."""
    if picture.encoding not in _RAW_LAYOUTS and picture.encoding not in PLANAR:
        raise Refused(
            Reason.UNSUPPORTED,
            f"{picture.stream} holds pictures in the layout {picture.encoding!r}; known are "
            f"{', '.join([*ENCODINGS, *VIDEO_DECODERS, *_RAW_LAYOUTS, *PLANAR])}",
        )
    width, height = picture.width or 0, picture.height or 0
    _, pixel_bytes = _RAW_LAYOUTS.get(picture.encoding, ("", 1))
    step = picture.step or width * pixel_bytes
    if picture.encoding in PLANAR:
        needed = least_bytes(picture.encoding, width, height, step)
    else:  # some drivers leave out the last row's padding
        needed = step * (height - 1) + width * pixel_bytes
    if min(width, height) < 1 or step < width * pixel_bytes or len(picture.data) < needed:
        raise corrupt(
            picture, f"{len(picture.data)} bytes are no {width}x{height} pixels of step {step}"
        )
    if width * height > max_pixels:
        raise too_large(
            picture,
            f"it is {width}x{height} pixels large; limits.picture_megapixels allows "
            f"{max_pixels / 1e6:g}",
        )
    return planar_frame(picture) if picture.encoding in PLANAR else _packed_frame(picture)


def _packed_frame(picture: Picture) -> av.VideoFrame:
    import av

    layout, pixel_bytes = _RAW_LAYOUTS[picture.encoding]
    width, height = picture.width or 0, picture.height or 0
    row_bytes = width * pixel_bytes
    frame = av.VideoFrame(width, height, layout)
    source = np.lib.stride_tricks.as_strided(
        np.frombuffer(picture.data, dtype=np.uint8),
        (height, row_bytes),
        (picture.step or row_bytes, 1),
        writeable=False,
    )
    plane = np.frombuffer(frame.planes[0], dtype=np.uint8).reshape(-1, frame.planes[0].line_size)
    plane[:height, :row_bytes] = source
    if frame.format.is_bayer:
        return frame.reformat(format="rgb24")  # FFmpeg's direct way to YUV shifts the colours
    if layout in ("uyvy422", "yuyv422"):
        frame.color_range = 1  # cameras of these layouts (UVC) give limited-range YUV
    return frame
