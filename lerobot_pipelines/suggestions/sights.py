"""What a few decoded pictures of each camera show: whether they can be read, and what they hold."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lerobot_pipelines.config.schema import CameraConfig
from lerobot_pipelines.errors import Refused
from lerobot_pipelines.model import Recording

if TYPE_CHECKING:
    from lerobot_pipelines.video.pictures import Decoded

# The farthest distance that a dataset keeps unless it is told otherwise.
FARTHEST_M = CameraConfig.model_fields["depth_range_m"].default[1]
VIDEO_ENCODINGS = ("h264", "hevc")


@dataclass(frozen=True, slots=True)
class Sight:
    """``fault``: why none of the pictures looked at can be decoded, None if one can.

    ``is_depth``: what was decoded are distances; ``beyond`` is the share of them that lies at or
    past ``FARTHEST_M`` in the unit of their encoding, of those that were measured at all.
    """

    fault: str | None = None
    is_depth: bool = False
    beyond: float = 0.0


def looked_at(recording: Recording, cameras: Iterable[str]) -> dict[str, Sight]:
    """By camera; the first, the middle and the last picture are tried until one can be decoded."""
    return {camera: _sight(recording, camera) for camera in cameras}


def _sight(recording: Recording, camera: str) -> Sight:
    from lerobot_pipelines.video.pictures import PictureDecoder

    count = recording.streams[camera].count
    fault: str | None = None
    for id in sorted({0, count // 2, count - 1}):
        try:
            for picture in recording.pictures({camera: np.array([id], dtype=np.int64)}):
                if picture.encoding in VIDEO_ENCODINGS:
                    return Sight()  # one packet alone shows nothing
                for decoded in PictureDecoder().decode(picture):
                    return Sight(is_depth=decoded.is_depth, beyond=_beyond(decoded))
        except Refused as refusal:
            fault = refusal.message
    return Sight(fault)


def _beyond(decoded: Decoded) -> float:
    if not decoded.is_depth:
        return 0.0
    values = decoded.frame.to_ndarray()
    in_metres = values / 1000.0 if values.dtype.kind in "ui" else values
    measured = in_metres[np.isfinite(in_metres) & (in_metres > 0)]
    return float((measured >= FARTHEST_M).mean()) if measured.size else 0.0
