"""Encoder settings behind the configured codec, and why they are so.

Training reads frames at random, so every choice here bounds what one random frame costs: short
groups of pictures of fixed length (no scene-cut key frames), closed ones (open groups make
lerobot's decoders fail), and for h264 and hevc no B-frames (frames leave the decoder in the order
they enter it: a random frame of a GOP of 10 takes 12 % less time, in a file some 25 % larger). The
bytes an encoder makes depend on its thread count, so that never follows from the machine.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from lerobot_pipelines.config.codec_limits import HIGHEST_CRF, HIGHEST_SVT_PRESET, PRESETS
from lerobot_pipelines.config.schema import VideoConfig
from lerobot_pipelines.errors import ConfigError

# Encoder threads per camera, whatever the machine. At 640x480 neither x264's work nor its bits
# grow with them, and four let three cameras fill twelve cores. The others pay in memory: three
# cameras of 640x480 take 600 MB with four threads of SVT-AV1 and 300 MB with one.
DEFAULT_THREADS = {"h264": 4, "hevc": 2, "av1": 1, "copy": 1}

# SVT-AV1 numbers its presets, 13 the fastest. Medium is 7: the next faster one loses 0.4 dB and is
# larger all the same.
_SVT_PRESETS = dict(zip(PRESETS, (13, 12, 11, 10, 9, 7, 6, 5, 4, 2), strict=True))


@dataclass(frozen=True, slots=True)
class EncoderSettings:
    encoder: str  # name in FFmpeg
    codec: str  # name of the decoder that reads it
    pix_fmt: str
    threads: int
    options: Mapping[str, str]
    tag: str | None = None  # sample entry of the mp4
    full_range: bool = False  # whether all values of the pixel format occur


def encoder_settings(video: VideoConfig) -> EncoderSettings:
    """Settings for one camera. Raises ``ConfigError`` for values the codec does not know."""
    _check(video)
    threads = video.threads or DEFAULT_THREADS[video.codec]
    gop = {"g": str(video.gop), "crf": str(video.crf)}
    match video.codec:
        case "h264":
            options = {
                **gop,
                "preset": video.preset,
                "keyint_min": str(video.gop),
                "sc_threshold": "0",
                "bf": "0",
                "flags": "+cgop",
                # Without it x264 decides by floating point sums whose order follows from the CPU;
                # with AVX-512 4 to 8 % of all runs over the same pictures gave other bytes.
                "x264-params": "cpu-independent=1",
            }
            return EncoderSettings("libx264", "h264", video.pix_fmt, threads, options)
        case "hevc":
            parameters = _x265_parameters(video.gop, threads)
            options = {**gop, "preset": video.preset, "x265-params": parameters}
            # QuickTime and browsers play hvc1 only.
            return EncoderSettings("libx265", "hevc", video.pix_fmt, threads, options, "hvc1")
        case "av1":
            # The library greets on stderr unless told to speak of errors only.
            os.environ.setdefault("SVT_LOG", "1")
            options = {
                **gop,
                "preset": str(_svt_preset(video.preset)),
                "svtav1-params": f"lp={threads}:scd=0:irefresh-type=2",
            }
            return EncoderSettings("libsvtav1", "av1", video.pix_fmt, threads, options)
        case "copy":
            return EncoderSettings("copy", "mjpeg", video.pix_fmt, 1, {})


def depth_settings(video: VideoConfig) -> EncoderSettings:
    """Settings for one depth camera: every code comes back as it was, whatever ``video.crf``.

    The codec and pixel format are those of lerobot's own depth videos; its groups of pictures are
    open, which its own older versions cannot read at random, and ours closed.
    """
    threads = video.threads or DEFAULT_THREADS["hevc"]
    options = {
        "g": str(video.gop),
        "preset": "medium",
        "x265-params": f"lossless=1:{_x265_parameters(video.gop, threads)}",
    }
    return EncoderSettings("libx265", "hevc", "gray12le", threads, options, "hvc1", True)


def _x265_parameters(gop: int, threads: int) -> str:
    return (
        f"keyint={gop}:min-keyint={gop}:scenecut=0:open-gop=0:bframes=0:"
        f"frame-threads={threads}:pools={threads}:info=0:log-level=error"
    )


def _check(video: VideoConfig) -> None:
    faults = []
    if video.codec == "copy":
        if video.size is not None:
            faults.append("video.size cannot be had with video.codec copy, which keeps pictures")
    elif video.crf > HIGHEST_CRF[video.codec]:
        highest = HIGHEST_CRF[video.codec]
        faults.append(f"video.crf is {video.crf}; {video.codec} knows 0 to {highest}")
    if video.codec in ("h264", "hevc") and video.preset not in PRESETS:
        faults.append(f"video.preset {video.preset!r} is none of {', '.join(PRESETS)}")
    if video.codec == "av1":
        if video.pix_fmt != "yuv420p":
            faults.append(f"video.pix_fmt is {video.pix_fmt}; av1 is encoded as yuv420p only")
        if video.preset not in PRESETS and not video.preset.isdecimal():
            faults.append(f"video.preset {video.preset!r} is neither 0 to 13 nor a known name")
    if video.size is not None:
        width, height = video.size
        if width < 2 or height < 2:
            faults.append(f"video.size {width}x{height} is no size of a picture")
        elif video.pix_fmt == "yuv444p":
            pass
        elif width % 2 or (height % 2 and video.pix_fmt == "yuv420p"):
            faults.append(f"video.size {width}x{height} is odd, which {video.pix_fmt} cannot be")
    if faults:
        raise ConfigError("; ".join(faults))


def _svt_preset(preset: str) -> int:
    return min(int(preset), HIGHEST_SVT_PRESET) if preset.isdecimal() else _SVT_PRESETS[preset]
