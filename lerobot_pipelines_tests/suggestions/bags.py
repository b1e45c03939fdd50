"""Bags of robots of all sorts, with pictures that can be decoded."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lerobot_pipelines.recorder.jpeg import JpegEncoder
from lerobot_pipelines_tests.recordings_ros.bags import START_NS, Said, Types, write_mcap

JOINT_STATE = "sensor_msgs/msg/JointState"
COMPRESSED = "sensor_msgs/msg/CompressedImage"
NS = 1_000_000_000


@functools.cache
def jpeg(number: int) -> bytes:
    """A small picture whose brightness is its number's."""
    pixels = np.full((32, 48, 3), 40 + number % 180, np.uint8)
    pixels[: 1 + number % 32, :, 0] = 220
    return JpegEncoder().encode(pixels)


def times(rate_hz: float, seconds: float, start_s: float = 0.0) -> list[int]:
    count = max(1, int(seconds * rate_hz))
    return [START_NS + round((start_s + k / rate_hz) * NS) for k in range(count)]


def camera(
    types: Types, topic: str, rate_hz: float, seconds: float, latency_ms: float = 20.0
) -> list[Said]:
    return [
        Said(topic, COMPRESSED, ns + round(latency_ms * 1e6), types.compressed(ns, jpeg(k)))
        for k, ns in enumerate(times(rate_hz, seconds))
    ]


def joints(
    types: Types,
    topic: str,
    rate_hz: float,
    seconds: float,
    names: Sequence[str] = ("shoulder", "elbow", "wrist"),
    start_s: float = 0.0,
) -> list[Said]:
    """Joint 0 is the sample's moment in seconds."""
    return [
        Said(
            topic,
            JOINT_STATE,
            ns + 1_000_000,
            types.joint_state(
                ns, [(ns - START_NS) / NS, *(float(n) for n in range(1, len(names)))], names
            ),
        )
        for ns in times(rate_hz, seconds, start_s)
    ]


def others(
    type_name: str, make: Callable[[int], Any], topic: str, rate_hz: float, seconds: float
) -> list[Said]:
    """``make`` gets the moment, ns."""
    return [Said(topic, type_name, ns + 1_500_000, make(ns)) for ns in times(rate_hz, seconds)]


def bag(folder: Path, types: Types, *said: Sequence[Said]) -> Path:
    """An MCAP in ``folder/raw/stack``."""
    path = folder / "raw" / "stack" / "take_1.mcap"
    path.parent.mkdir(parents=True, exist_ok=True)
    messages = sorted((one for part in said for one in part), key=lambda one: one.receive_ns)
    return write_mcap(path, messages, types)
