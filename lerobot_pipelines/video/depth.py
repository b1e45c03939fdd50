"""Depth as lerobot stores it: distances as 12-bit codes, in a video without loss.

    code = round(4095 * (ln(d + s) - ln(n + s)) / (ln(f + s) - ln(n + s)))
    d    = exp(code / 4095 * (ln(f + s) - ln(n + s)) + ln(n + s)) - s

for a distance d between the nearest n and the farthest f, all in metres, with the shift s of 3.5 m.
With 0 to 10 m neighbouring codes are 1.2 mm apart close up and 4.5 mm at 10 m, and what is read
back is within half of that. What lies outside the range becomes the end next to it. Pixels without
a distance (0, NaN) become n: with the default of 0 they stay what they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.config.schema import CameraConfig, DepthUnit, VideoConfig
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.model import DepthCoding, PictureStatistics
from lerobot_pipelines.pictures.orientation import upright
from lerobot_pipelines.video.framing import Framed, size_changed
from lerobot_pipelines.video.pictures import Decoded
from lerobot_pipelines.video.planes import codes
from lerobot_pipelines.video.statistics import pixel_stride

if TYPE_CHECKING:
    import av

LEVELS = 4096
SHIFT_M = 3.5  # lerobot's default: finest where grippers work, without wasting codes there

PER_METRE: Mapping[DepthUnit, float] = {
    "m": 1.0,
    "cm": 100.0,
    "mm": 1000.0,
    "0.1mm": 10_000.0,
    "um": 1_000_000.0,
}
_PIX_FMT = "gray12le"
# How decoders call pixels that hold distances, and the unit of each by REP 118.
_DEPTH_FORMATS: Mapping[str, DepthUnit] = {
    **dict.fromkeys(("gray16le", "gray16be"), "mm"),
    **dict.fromkeys(("grayf32le", "grayf32be"), "m"),
}


def quantise(
    distances: NDArray[Any], unit: DepthUnit | float, coding: DepthCoding
) -> NDArray[np.uint16]:
    """The codes of distances in that unit, or of so many metres each, in the same shape."""
    per_metre = PER_METRE[unit] if isinstance(unit, str) else 1.0 / unit
    metres = np.nan_to_num(distances / per_metre, nan=0.0, posinf=np.inf)
    metres = np.clip(metres, coding.nearest_m, coding.farthest_m)
    low, high = _logarithms(coding)
    share = (np.log(metres + coding.shift_m) - low) / (high - low)
    return np.rint(share * (LEVELS - 1)).astype(np.uint16)


def distances(values: NDArray[Any], coding: DepthCoding) -> NDArray[np.float64]:
    """What codes stand for, in ``coding.unit``."""
    low, high = _logarithms(coding)
    metres = np.exp(values / (LEVELS - 1) * (high - low) + low) - coding.shift_m
    metres = np.clip(metres, coding.nearest_m, coding.farthest_m)
    return np.asarray(metres * PER_METRE[coding.unit])


def step_m(distance_m: float, coding: DepthCoding) -> float:
    """How far apart neighbouring codes are at that distance, in metres."""
    low, high = _logarithms(coding)
    return (distance_m + coding.shift_m) * (high - low) / (LEVELS - 1)


def _logarithms(coding: DepthCoding) -> tuple[float, float]:
    ends = np.array([coding.nearest_m, coding.farthest_m]) + coding.shift_m
    low, high = np.log(ends).tolist()
    return low, high


class DepthFramer:
    """Brings all pictures of one depth camera to one size and to codes; see ``Framer``.

    The unit is the camera's ``depth_unit``, else that of the first picture's format. Scaling takes
    the nearest pixel: a distance between an object and the wall behind it would be neither's.
    """

    def __init__(self, camera: CameraConfig, video: VideoConfig) -> None:
        self._feature = camera.feature
        self._video = video
        self._range_m = camera.depth_range_m
        self._unit = camera.depth_unit
        self._coding: DepthCoding | None = None
        self._native: tuple[int, int] | None = None
        self._source_format = ""
        self._scaled = 0
        self._table: NDArray[np.uint16] | None = None  # the codes of all values of 16 bits

    @property
    def coding(self) -> DepthCoding | None:
        """None before the first picture."""
        return self._coding

    @property
    def details(self) -> dict[str, object]:
        return {
            "source_size": list(self._native or ()),
            "source_pix_fmt": self._source_format,
            "scaled_pictures": self._scaled,
        }

    def statistics(self) -> DepthStatisticsBuilder:
        """An empty count of what ``Framed.picture`` shows."""
        return DepthStatisticsBuilder()

    def frame(self, decoded: Decoded) -> Framed:
        """Raises ``Refused`` for colours, and if the size changed and ``video.size_change`` is
        "refuse"."""
        import av

        name = decoded.frame.format.name
        if name not in _DEPTH_FORMATS:
            raise Refused(
                Reason.UNSUPPORTED,
                f"{self._feature} is configured as depth, but picture {decoded.id} holds {name} "
                "pixels, which are no distances: a JPEG or video keeps 8 of their 16 bits; record "
                "the raw or compressedDepth (PNG, RVL) topic and name that, or set depth: false",
            )
        pixels = upright(decoded.frame.to_ndarray(), decoded.orientation)
        size = (pixels.shape[1], pixels.shape[0])
        if self._native is None:
            self._native, self._source_format = size, name
        elif size != self._native and self._video.size_change == "refuse":
            raise size_changed(decoded, self._feature, size, self._native)
        target = self._video.size or self._native
        if target != size:
            self._scaled += 1
            pixels = _nearest(pixels, *target)
        frame = av.VideoFrame.from_ndarray(self._codes(pixels, name), format=_PIX_FMT)
        return Framed(frame, frame)

    def _codes(self, pixels: NDArray[Any], name: str) -> NDArray[np.uint16]:
        unit = self._unit or _DEPTH_FORMATS[name]
        if self._coding is None:
            told: Literal["m", "mm"] = "m" if unit in ("m", 1.0) else "mm"
            self._coding = DepthCoding(told, *self._range_m, SHIFT_M)
        if pixels.dtype != np.uint16:
            return quantise(pixels, unit, self._coding)
        if self._table is None:
            self._table = quantise(np.arange(1 << 16), unit, self._coding)
        values: NDArray[np.uint16] = self._table[pixels]
        return values


class DepthStatisticsBuilder:
    """Counts codes of pictures one by one; of every how many-th pixel, see ``statistics``."""

    def __init__(self) -> None:
        self._frames = 0
        self._histogram = np.zeros((1, LEVELS), dtype=np.int64)

    def add(self, frame: av.VideoFrame) -> None:
        """Count a frame of codes."""
        stride = pixel_stride(frame.height, frame.width)
        sampled = codes(frame)[::stride, ::stride].reshape(-1)
        self._histogram[0] += np.bincount(sampled, minlength=LEVELS)
        self._frames += 1

    def result(self) -> PictureStatistics:
        return PictureStatistics(frames=self._frames, histogram=self._histogram)


def _nearest(pixels: NDArray[Any], width: int, height: int) -> NDArray[Any]:
    rows = np.arange(height) * pixels.shape[0] // height
    columns = np.arange(width) * pixels.shape[1] // width
    return pixels[np.ix_(rows, columns)]
