"""The colours equal those of the ffmpeg program with the same settings."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from lerobot_pipelines.video import decode_frames, encode_cameras
from lerobot_pipelines_tests.video.recording import MemoryRecording, config, jpeg, rows, texture

FFMPEG = shutil.which("ffmpeg")
pytestmark = pytest.mark.skipif(FFMPEG is None, reason="the ffmpeg program is not installed")

SIZE = (320, 240)
COUNT = 20
SETTINGS = {
    "h264": ("libx264 -preset medium -g 10 -keyint_min 10 -sc_threshold 0 -bf 0", "h264"),
    "hevc": (
        "libx265 -preset medium -x265-params keyint=10:bframes=0:open-gop=0:log-level=0",
        "hevc",
    ),
}


def scene(number: int) -> NDArray[np.uint8]:
    """A textured picture with noise, softened as a lens does."""
    rng = np.random.default_rng(number)
    rgb = texture(number, *SIZE).astype(int) + rng.integers(-40, 41, (SIZE[1], SIZE[0], 3))
    image = Image.fromarray(np.clip(rgb, 0, 255).astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(1.5)))


def quality(frames: list[NDArray[np.uint8]], sources: list[NDArray[np.uint8]]) -> float:
    """Mean PSNR in dB."""
    errors = [np.mean((f.astype(float) - s) ** 2) for f, s in zip(frames, sources, strict=True)]
    return float(np.mean([10 * np.log10(255**2 / error) for error in errors]))


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("codec", SETTINGS)
def test_quality_is_within_half_a_decibel_of_ffmpegs(
    codec: str, subsampling: int, tmp_path: Path
) -> None:
    sources = [scene(k) for k in range(COUNT)]
    pictures = [jpeg(rgb, quality=95, subsampling=subsampling) for rgb in sources]
    (video,) = encode_cameras(
        MemoryRecording({"a": pictures}), rows({"a": range(COUNT)}), config(codec=codec), tmp_path
    )
    (tmp_path / "in.mjpeg").write_bytes(b"".join(pictures))
    encoder, _ = SETTINGS[codec]
    subprocess.run(
        [
            *(str(FFMPEG), "-v", "error", "-f", "mjpeg", "-framerate", "30", "-i", "in.mjpeg"),
            *("-c:v", *encoder.split(), "-crf", "23", "-pix_fmt", "yuv420p", "ffmpeg.mp4"),
        ],
        cwd=tmp_path,
        check=True,
    )
    ours = quality(list(decode_frames(video.path, range(COUNT))), sources)
    theirs = quality(list(decode_frames(tmp_path / "ffmpeg.mp4", range(COUNT))), sources)
    assert ours > theirs - 0.5
    assert video.bytes < 1.1 * (tmp_path / "ffmpeg.mp4").stat().st_size
