"""What a few decoded pictures of each camera show: whether they can be read, and what they hold."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from lerobot_pipelines.errors import Refused
from lerobot_pipelines.model import Recording

VIDEO_ENCODINGS = ("h264", "hevc")


@dataclass(frozen=True, slots=True)
class Sight:
    """``fault``: why none of the pictures looked at can be decoded, None if one can.

    ``is_depth``: what was decoded are distances.
    """

    fault: str | None = None
    is_depth: bool = False


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
                decoded = list(PictureDecoder().decode(picture))
                return Sight(is_depth=any(one.is_depth for one in decoded))
        except Refused as refusal:
            fault = refusal.message
    return Sight(fault)
