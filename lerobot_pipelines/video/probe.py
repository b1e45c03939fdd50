"""What an mp4 holds, from its index alone: no frame is decoded."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from lerobot_pipelines.errors import Reason, Refused

if TYPE_CHECKING:
    import av


@dataclass(frozen=True, slots=True)
class VideoProbe:
    """Facts about the first video stream of a file.

    ``first_pts`` is in the stream's time base. ``constant_rate`` says that frame k is shown at
    exactly ``first_pts`` plus k / fps. ``key_frames`` are frame numbers in the order of display.
    ``closed_gops`` says that no frame shown before a key frame is coded after it, so that decoding
    can begin at any key frame. ``color_range`` and ``color_space`` are FFmpeg's numbers (1 limited,
    2 full; 6 and 5 BT.601; 2 unknown). ``codec`` is the decoder's name: "h264", "hevc", "av1",
    "mjpeg". ``parameters`` is a hash of what the decoder is told before the first frame: videos can
    be joined without encoding them again only if it is equal.
    """

    codec: str
    pix_fmt: str
    width: int
    height: int
    fps: Fraction
    frames: int
    first_pts: int
    constant_rate: bool
    key_frames: tuple[int, ...]
    closed_gops: bool
    color_range: int
    color_space: int
    has_audio: bool
    parameters: str


def probe(path: Path) -> VideoProbe:
    """Raises ``Refused`` (corrupt_artifact) for a file that is no video or is cut off."""
    import av

    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise Refused(Reason.CORRUPT_ARTIFACT, f"{path.name} holds no video stream")
            stream = container.streams.video[0]
            packets = [
                (packet.pts, packet.is_keyframe)
                for packet in container.demux(stream)
                if packet.pts is not None and not packet.is_corrupt
            ]
            if len(packets) < stream.frames:
                raise Refused(
                    Reason.CORRUPT_ARTIFACT,
                    f"{path.name} is cut off: its index names {stream.frames} frames, "
                    f"{len(packets)} are there",
                )
            if (context := stream.codec_context) is None:  # cut off before the first picture
                raise Refused(Reason.CORRUPT_ARTIFACT, f"{path.name} holds no readable video")
            codec = context.codec.canonical_name
            fps = Fraction(stream.average_rate or 0)
            shown = sorted(pts for pts, _ in packets)
            keys = sorted(pts for pts, is_key in packets if is_key)
            position = {pts: number for number, pts in enumerate(shown)}
            step = 1 / (fps * stream.time_base) if fps and stream.time_base else Fraction(0)
            return VideoProbe(
                codec=codec,
                pix_fmt=context.pix_fmt or "",
                width=context.width,
                height=context.height,
                fps=fps,
                frames=len(packets),
                first_pts=shown[0] if shown else 0,
                constant_rate=all(
                    (pts - shown[0]) * step.denominator == step.numerator * number
                    for number, pts in enumerate(shown)
                ),
                key_frames=tuple(position[pts] for pts in keys),
                closed_gops=_closed(packets),
                color_range=int(context.color_range),
                color_space=int(context.colorspace),
                has_audio=bool(container.streams.audio),
                parameters=_parameters(context),
            )
    except (av.FFmpegError, OSError) as fault:
        raise Refused(
            Reason.CORRUPT_ARTIFACT, f"{path.name} cannot be read as a video: {fault}"
        ) from fault


def _parameters(context: av.VideoCodecContext) -> str:
    told = (context.codec.canonical_name, context.pix_fmt, context.width, context.height)
    digest = hashlib.sha256(repr(told).encode() + (context.extradata or b""))
    return digest.hexdigest()[:16]


def _closed(packets: list[tuple[int, bool]]) -> bool:
    key = None
    for pts, is_key in packets:  # in the order of coding
        if is_key:
            key = pts
        elif key is None or pts < key:
            return False
    return True
