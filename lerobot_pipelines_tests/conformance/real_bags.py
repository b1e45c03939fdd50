"""Bags written by ROS's own library, and how to read what their pictures say."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from lerobot_pipelines.model import EpisodeSource, Member, Picture
from lerobot_pipelines_tests.conformance.shared import shared_folder

ROS_PYTHON = "/usr/bin/python3"  # the Debian package python3-rosbag is for the system's Python


@dataclass(frozen=True)
class RealBag:
    """A bag and what its writer knows of it."""

    path: Path
    truth: dict[str, Any]

    @property
    def t0_ns(self) -> int:
        return int(self.truth["t0"]) * 1_000_000_000

    def joints(self, stamps_ns: np.ndarray, lead_s: float = 0.0) -> np.ndarray:
        """The arms' joints at those moments, (n, joints), from the writer's formula."""
        t = (stamps_ns - self.t0_ns)[:, None] / 1e9 + lead_s
        amplitude, frequency, phase = (
            np.array(self.truth[key]) for key in ("amplitude", "frequency", "phase")
        )
        return amplitude * np.sin(2 * np.pi * frequency * t + phase)

    def gripper(self, stamps_ns: np.ndarray) -> np.ndarray:
        """0..100 at those moments, (n, 2)."""
        left = 50 + 50 * np.sin(2 * np.pi * 0.13 * (stamps_ns - self.t0_ns) / 1e9)
        return np.stack([left, 100 - left], axis=1)

    def frames(self, camera: int) -> dict[int, int]:
        """Number of each picture by its stamp, in units of 10 ns (as exact as the truth is)."""
        pairs = self.truth["camera_stamps_and_frame_numbers"][camera]
        return {round(stamp * 1e8): number for stamp, number in pairs}


def write_bag(path: Path, *arguments: object) -> RealBag:
    """Run the writer of the shared folder; skips the test where ROS's library is not there."""
    tool = shared_folder() / "tools/make_ros1_bag.py"
    there = subprocess.run([ROS_PYTHON, "-c", "import rosbag"], capture_output=True, check=False)
    if there.returncode:
        pytest.skip("needs ROS's own bag library: apt-get install python3-rosbag (CI does)")
    command = [ROS_PYTHON, str(tool), str(path), *(str(argument) for argument in arguments)]
    subprocess.run(command, check=True, capture_output=True)
    return RealBag(path, json.loads(Path(f"{path}.truth.json").read_text()))


def source_of(*paths: Path) -> EpisodeSource:
    """An episode of these files, or of all bag files of one folder."""
    if len(paths) == 1 and paths[0].is_dir():
        paths = tuple(sorted(path for path in paths[0].iterdir() if path.is_file()))
    root = paths[0].parent
    members = tuple(Member(path.name, path.stat().st_size, "etag") for path in paths)
    return EpisodeSource(paths[0].stem, root, members, root.as_uri())


def shown(picture: Picture) -> tuple[int, int]:
    """Camera and number in the barcode of a picture."""
    if picture.encoding in ("rgb8", "bgr8", "mono8"):
        height, width, step = picture.height or 0, picture.width or 0, picture.step or 0
        rows = np.frombuffer(picture.data, np.uint8).reshape(height, step)
        grey = rows.reshape(height, width, -1).mean(axis=2)
    else:
        decoder = av.CodecContext.create("mjpeg", "r")
        (frame,) = [*decoder.decode(av.Packet(picture.data))]  # type: ignore[attr-defined]
        grey = frame.to_ndarray(format="gray").astype(np.float64)
    return barcode(grey)


def barcode(grey: np.ndarray) -> tuple[int, int]:
    """The 32 bits over the top 16 rows: 8 of the camera, 24 of the picture's number."""
    width = grey.shape[1] // 32
    cells = grey[2:14, : width * 32].reshape(-1, 32, width)[
        :, :, width // 4 : -(width // 4) or None
    ]
    bits = cells.mean(axis=(0, 2)) > 127
    code = int("".join("1" if bit else "0" for bit in bits), 2)
    return code >> 24, code & 0xFFFFFF
