"""What a made-up recording holds, and the clocks and joints that follow from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, overload

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.model import Stamps
from lerobot_pipelines.recordings.stamps import UNIT_NS

TimeUnit = Literal["s", "ms", "us", "ns"]

# 2025-11-26 14:32:51 UTC, exact in every unit.
START_NS = 1_764_167_571 * UNIT_NS["s"]

# Of the arms' clocks; a tenth of a period at 250 Hz, as measured on real controllers.
ARM_JITTER_MS = 0.4

# Joint 0 of every arm rises steadily, so that a sample's moment can be read off its value.
RAMP_PER_S = 0.1


@dataclass(frozen=True, slots=True)
class SynthCamera:
    """``jitter_ms`` is one standard deviation; ``drop_fraction`` of its pictures are lost."""

    name: str
    rate_hz: float = 25.0
    jitter_ms: float = 2.0
    drop_fraction: float = 0.0
    width: int = 160
    height: int = 120


@dataclass(frozen=True, slots=True)
class SynthSpec:
    """Equal specs make equal recordings.

    ``gap`` takes the samples of one stream away: (stream, start_s, length_s). ``time_unit`` is that
    of file names and of the column ``timestamps``; stamps are rounded to it (seconds are written
    with microseconds behind the point).
    """

    seconds: float = 4.0
    cameras: tuple[SynthCamera, ...] = (
        SynthCamera("cam_high", 25.0),
        SynthCamera("cam_left", 25.0),
        SynthCamera("cam_right", 30.0),
    )
    arms: tuple[str, ...] = ("left_slave", "right_slave", "left_master", "right_master")
    arm_rate_hz: float = 250.0
    joints_per_arm: int = 7
    gap: tuple[str, float, float] | None = None
    seed: int = 0
    task: str = "pick up the block"
    layout: Literal["split", "episode"] = "split"
    time_unit: TimeUnit = "us"


@dataclass(frozen=True, slots=True)
class SynthTruth:
    """The stamps of every stream, ns: picture k of a camera was taken at ``cameras[name][k]``."""

    cameras: Mapping[str, Stamps]
    arms: Mapping[str, Stamps]


def synth_truth(spec: SynthSpec) -> SynthTruth:
    """The clocks of a spec. Streams are independent: one more camera changes no other stream."""
    cameras = {
        camera.name: _clock(
            spec, camera.name, camera.rate_hz, camera.jitter_ms, camera.drop_fraction
        )
        for camera in spec.cameras
    }
    arms = {name: _clock(spec, name, spec.arm_rate_hz, ARM_JITTER_MS, 0.0) for name in spec.arms}
    return SynthTruth(cameras, arms)


@overload
def joint_value(arm: int, joint: int, time_s: float) -> float: ...
@overload
def joint_value(arm: int, joint: int, time_s: NDArray[np.float64]) -> NDArray[np.float64]: ...
def joint_value(
    arm: int, joint: int, time_s: float | NDArray[np.float64]
) -> float | NDArray[np.float64]:
    """Position in rad of a joint, ``time_s`` seconds after ``START_NS``.

    ``arm`` is its place in ``SynthSpec.arms``. Joint 0 is a ramp that starts at ``arm`` and rises
    by ``RAMP_PER_S``; the others swing, each with its own frequency, by less than 1 rad/s.
    """
    if joint == 0:
        return arm + RAMP_PER_S * time_s
    frequency_hz = 0.1 + 0.03 * joint
    phase = 0.7 * arm + 0.3 * joint
    value = 0.5 * np.sin(2 * np.pi * frequency_hz * np.asarray(time_s, np.float64) + phase)
    return value if isinstance(time_s, np.ndarray) else float(value)


def _clock(
    spec: SynthSpec, name: str, rate_hz: float, jitter_ms: float, drop_fraction: float
) -> Stamps:
    random = np.random.default_rng([spec.seed, *name.encode()])
    period_s = 1.0 / rate_hz
    phase_s = random.uniform(0.0, period_s)
    count = max(1, int((spec.seconds - phase_s) * rate_hz) + 1)
    jitter_s = np.clip(
        random.normal(0.0, jitter_ms / 1e3, count), -0.45 * period_s, 0.45 * period_s
    )
    times_s = phase_s + np.arange(count) * period_s + jitter_s
    kept = random.random(count) >= drop_fraction
    kept[0] = True
    if spec.gap is not None and spec.gap[0] == name:
        _, start_s, length_s = spec.gap
        kept &= (times_s < start_s) | (times_s >= start_s + length_s)
    unit_ns = UNIT_NS["us"] if spec.time_unit == "s" else UNIT_NS[spec.time_unit]
    stamps = START_NS + np.rint(times_s[kept] * UNIT_NS["s"] / unit_ns).astype(np.int64) * unit_ns
    return np.unique(stamps)
