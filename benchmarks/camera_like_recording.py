"""A recording whose pictures cost an encoder what those of a real camera cost it.

Three cameras at 30 Hz pan over coloured textures with the spectrum of natural scenes and carry
sensor noise; four arms of seven joints run at 250 Hz. JPEG quality 90, 4:2:0.
"""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT, FPS, ARM_HZ = 640, 480, 30, 250
CAMERAS = ("cam_high", "cam_left", "cam_right")
ARMS = ("left_slave", "right_slave", "left_master", "right_master")
JOINTS = 7
KEY = "bench/episode_0001"
START_US = 1_700_000_000_000_000
_NOISE = 2.5  # standard deviation; a webcam indoors


def write_camera_like_recording(bucket: Path, pictures: int) -> None:
    """Write ``raw/{joints,images}/bench/episode_0001`` below ``bucket``, if it is not there yet."""
    marker = bucket / "recording.json"
    made = {"pictures": pictures, "width": WIDTH, "height": HEIGHT, "noise": _NOISE}
    if marker.exists() and json.loads(marker.read_text()) == made:
        return
    seconds = pictures / FPS
    for number, arm in enumerate(ARMS):
        _write_arm(bucket / "raw/joints" / KEY / f"{arm}.parquet", number, seconds)
    for number, camera in enumerate(CAMERAS):
        _write_camera(bucket / "raw/images" / KEY / camera, number, pictures)
    marker.write_text(json.dumps(made))


def _write_arm(path: Path, number: int, seconds: float) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(number)
    count = int((seconds + 0.2) * ARM_HZ)
    times = np.arange(count) / ARM_HZ - 0.1 + rng.uniform(0, 0.001, count)
    columns = {"timestamps": START_US + (times * 1e6).astype(np.int64)}
    for joint in range(JOINTS):
        columns[f"joint_{joint}"] = np.sin(times * (1 + 0.1 * joint) + number)
    pq.write_table(pa.table(columns), path)


def _write_camera(folder: Path, number: int, pictures: int) -> None:
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.jpg"):
        old.unlink()
    rng = np.random.default_rng(100 + number)
    scene = _scene(rng)
    noise = rng.normal(0, _NOISE, (8, HEIGHT, WIDTH, 3)).astype(np.float32)
    jitter_s = rng.uniform(-0.002, 0.002, pictures) + 0.004 * number
    for k in range(pictures):
        top = int((scene.shape[0] - HEIGHT) * (0.5 + 0.45 * np.sin(k / 60 + number)))
        left = int((scene.shape[1] - WIDTH) * (0.5 + 0.45 * np.sin(k / 90)))
        seen = scene[top : top + HEIGHT, left : left + WIDTH]
        rolled = np.roll(noise[k % len(noise)], int(rng.integers(HEIGHT)), axis=0)
        file = io.BytesIO()
        rgb = np.clip(seen + rolled, 0, 255).astype(np.uint8)
        Image.fromarray(rgb).save(file, "JPEG", quality=90, subsampling=2)
        stamp = START_US + int((k / FPS + jitter_s[k]) * 1e6)
        (folder / f"{stamp}.jpg").write_bytes(file.getvalue())


def _scene(rng: np.random.Generator) -> NDArray[np.float32]:
    """A large still picture with amplitudes falling as 1 / frequency, as in nature."""
    shape = (HEIGHT + 240, WIDTH + 320)
    vertical = np.fft.fftfreq(shape[0])[:, None]
    horizontal = np.fft.rfftfreq(shape[1])[None]
    amplitude = 1 / np.maximum(np.hypot(vertical, horizontal), 1 / 400) ** 1.7
    layers = []
    for _ in range(3):
        layer = np.fft.irfft2(np.fft.rfft2(rng.normal(size=shape)) * amplitude, shape)
        layers.append((layer - layer.mean()) / layer.std())
    light_and_two_hues = np.array([[1, 0.25, 0.1], [1, -0.05, -0.15], [1, -0.2, 0.2]])
    return (120 + 45 * np.stack(layers, axis=-1) @ light_and_two_hues.T).astype(np.float32)
