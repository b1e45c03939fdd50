"""From a decoded picture to the frame an encoder takes: upright, of one size, limited range."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lerobot_pipelines.config.schema import VideoConfig
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.model import DepthCoding
from lerobot_pipelines.video.pictures import Decoded
from lerobot_pipelines.video.statistics import StatisticsBuilder

if TYPE_CHECKING:
    import av

_UPRIGHT: dict[int, tuple[tuple[str, str], ...]] = {  # EXIF orientation -> filters
    2: (("hflip", ""),),
    3: (("hflip", ""), ("vflip", "")),
    4: (("vflip", ""),),
    5: (("transpose", "cclock_flip"),),
    6: (("transpose", "clock"),),
    7: (("transpose", "clock_flip"),),
    8: (("transpose", "cclock"),),
}
# Chroma of these is halved across (and, for 4:2:0, down), so their sizes are even.
_EVEN = {"yuv420p": (2, 2), "yuv422p": (2, 1), "yuv444p": (1, 1)}
_BT709 = 1  # AVCOL_SPC_BT709: packets of a video topic may say so; all else here is BT.601


@dataclass(frozen=True, slots=True)
class Framed:
    """``frame`` is for the encoder, ``picture`` is the same before its pixels were converted."""

    frame: av.VideoFrame
    picture: av.VideoFrame


class Framer:
    """Brings all pictures of one camera to one size and pixel format.

    The size is the configured one or else the first picture's. A size the pixel format cannot
    hold loses its last column or row: nothing is resampled and the geometry stays. Pictures of
    another size are refused or scaled as configured. RGB and JPEG's full range become BT.601
    limited range, which is what decoders assume of small video, and what the stream says.
    """

    def __init__(self, feature: str, video: VideoConfig) -> None:
        self._feature = feature
        self._video = video
        self._native: tuple[int, int] | None = None
        self._source_format = ""
        self._scaled = 0
        self._reformatters: dict[bool, av.video.reformatter.VideoReformatter] = {}

    @property
    def coding(self) -> DepthCoding | None:
        return None

    def statistics(self) -> StatisticsBuilder:
        """An empty count of what ``Framed.picture`` shows."""
        return StatisticsBuilder()

    @property
    def details(self) -> dict[str, object]:
        return {
            "source_size": list(self._native or ()),
            "source_pix_fmt": self._source_format,
            "scaled_pictures": self._scaled,
        }

    def frame(self, decoded: Decoded) -> Framed:
        """Raises ``Refused`` for depth, and if the size changed and ``video.size_change`` is
        "refuse"."""
        if decoded.is_depth:
            raise Refused(
                Reason.UNSUPPORTED,
                f"{self._feature} holds metric depth ({decoded.frame.format.name}), which a colour "
                "video cannot keep; give its camera depth: true, or remove it from the "
                "configuration",
            )
        upright = _filtered(decoded.frame, _UPRIGHT.get(decoded.orientation, ()))
        size = (upright.width, upright.height)
        if self._native is None:
            self._native, self._source_format = size, upright.format.name
        elif size != self._native and self._video.size_change == "refuse":
            raise size_changed(decoded, self._feature, size, self._native)
        target = self._video.size or self._even(self._native)
        if self._video.size is None and size == self._native:
            picture = upright
            if target != size:
                crop = f"{target[0]}:{target[1]}:0:0:exact=1"
                picture = _filtered(upright, (("crop", crop),))
            return Framed(self._converted(picture, target), picture)
        frame = self._converted(upright, target)
        if target == size:
            return Framed(frame, upright)
        self._scaled += 1
        return Framed(frame, frame)  # what a policy sees is the scaled picture

    def _even(self, size: tuple[int, int]) -> tuple[int, int]:
        across, down = _EVEN[self._video.pix_fmt]
        width, height = size[0] - size[0] % across, size[1] - size[1] % down
        if not width or not height:
            raise Refused(
                Reason.UNSUPPORTED,
                f"pictures of {self._feature} are {size[0]}x{size[1]} pixels large, too small "
                f"for {self._video.pix_fmt}",
            )
        return width, height

    def _converted(self, picture: av.VideoFrame, target: tuple[int, int]) -> av.VideoFrame:
        from av.video.frame import PictureType
        from av.video.reformatter import (
            ColorRange,
            Colorspace,
            Interpolation,
            VideoReformatter,
        )

        same_grid = target == (picture.width, picture.height) and _chroma(
            picture.format.name
        ) == _chroma(self._video.pix_fmt)
        # Where no sample moves every filter gives the same, and the shortest is twice as fast;
        # where one does, bicubic is what the ffmpeg program takes.
        interpolation = Interpolation.BILINEAR if same_grid else Interpolation.BICUBIC
        reformatter = self._reformatters.setdefault(same_grid, VideoReformatter())
        is_full_yuv = picture.format.name.startswith(("yuvj", "gray"))
        frame = reformatter.reformat(
            picture,
            width=target[0],
            height=target[1],
            format=self._video.pix_fmt,
            src_colorspace=Colorspace.ITU709 if picture.colorspace == _BT709 else Colorspace.ITU601,
            dst_colorspace=Colorspace.ITU601,
            src_color_range=ColorRange.JPEG if is_full_yuv else None,
            dst_color_range=ColorRange.MPEG,
            interpolation=interpolation,
            threads=1,
        )
        # Frames of a JPEG say they are key frames; obeyed, every frame would become one.
        frame.pict_type = PictureType.NONE
        return frame


def size_changed(
    decoded: Decoded, feature: str, size: tuple[int, int], before: tuple[int, int]
) -> Refused:
    """The refusal of a picture of another size; sizes are (width, height)."""
    return Refused(
        Reason.PICTURE_SIZE_CHANGED,
        f"picture {decoded.id} of {feature} is {size[0]}x{size[1]} pixels large, the ones before "
        f"{before[0]}x{before[1]}; set video.size_change: scale to accept that",
    )


def _chroma(pix_fmt: str) -> str:
    return pix_fmt.removeprefix("yuvj").removeprefix("yuv").removesuffix("p")


def _filtered(frame: av.VideoFrame, filters: tuple[tuple[str, str], ...]) -> av.VideoFrame:
    """The frame after FFmpeg filters that only move pixels."""
    if not filters:
        return frame
    from fractions import Fraction

    import av.filter

    graph = av.filter.Graph()
    chain = [
        graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 1)
        )
    ]
    for name, arguments in (*filters, ("buffersink", "")):
        chain.append(graph.add(name, arguments or None))
        chain[-2].link_to(chain[-1])
    graph.configure()
    frame.pts, colour = 0, (frame.color_range, frame.colorspace)
    graph.push(frame)
    result = graph.pull()
    result.color_range, result.colorspace = colour
    return result
