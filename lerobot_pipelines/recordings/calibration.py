"""From a stream's raw numbers to the values and stamps that alignment sees."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lerobot_pipelines.config.schema import CameraConfig, StreamConfig
from lerobot_pipelines.errors import ConfigError
from lerobot_pipelines.model import ClockStep, Stamps, Vectors


def calibrated(values: Vectors, stream: StreamConfig) -> Vectors:
    """``raw * scale + bias``, both in the recording's unit, and then ``convert``.

    ``values`` is (n, d) and not modified. Raises ``ConfigError`` if scale or bias is a list of
    another length than d.
    """
    for key, given in (("scale", stream.scale), ("bias", stream.bias)):
        if isinstance(given, tuple) and len(given) != values.shape[1]:
            raise ConfigError(
                f"stream {stream.name}: {key} has {len(given)} numbers, but the stream has "
                f"{values.shape[1]} elements"
            )
    if stream.scale != 1.0 or stream.bias != 0.0:
        values = values * np.asarray(stream.scale) + np.asarray(stream.bias)
    return np.deg2rad(values) if stream.convert == "degrees_to_radians" else values


def shifted(stamps: Stamps, part: StreamConfig | CameraConfig) -> Stamps:
    """The stamps plus ``offset_ms``."""
    return stamps + round(part.offset_ms * 1e6) if part.offset_ms else stamps


def shifted_steps(
    steps: tuple[ClockStep, ...], part: StreamConfig | CameraConfig
) -> tuple[ClockStep, ...]:
    """The steps of stamps that ``shifted`` has moved."""
    by = round(part.offset_ms * 1e6)
    return tuple(
        replace(step, before_ns=step.before_ns + by, after_ns=step.after_ns + by) for step in steps
    )
