"""Joint angles in another unit than is expected of them, told by their range.

Radians are expected where a configuration says so (``unit``, ``space: angle``) and of a
``sensor_msgs/JointState`` (REP 103). An arm's joint turns by less than two revolutions either way,
12.6 rad; in degrees most go beyond that. What is found is a warning: wheels do turn further.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.config.schema import Interpolation, StreamConfig
from lerobot_pipelines.intake import Intake, IntakeCode
from lerobot_pipelines.model import Vectors

_MAX_RADIANS = 4 * math.pi
_MAX_DEGREES = 400.0
# Of the joints: some hardly move in any recording, whatever the unit.
_LEAST_SHARE = 1 / 3
# A joint that was in radians before it was taken for degrees.
_MAX_TWICE_CONVERTED = math.radians(2 * math.pi)
_LEAST_TWICE_CONVERTED = math.radians(0.5)

# Parts of names of what is no angle, or may turn without end.
_NO_ANGLES = (
    *("gripper", "claw", "finger", "thumb", "index", "middle", "ring", "pinky", "little", "hand"),
    *("wheel", "caster", "prismatic", "slide", "rail", "lift", "linear", "torso"),
)


def note_doubtful_angles(
    intake: Intake,
    stream: str,
    values: Vectors,
    names: Sequence[str] | None,
    config: StreamConfig | None,
    details: Mapping[str, Any],
) -> None:
    """Warn of values (n, d), in their final unit, that are hardly in the unit expected of them.

    ``details`` are those of the stream, with the ``type`` of a topic's messages.
    """
    if not len(values) or (config is not None and config.kind == "gripper"):
        return
    angles = [
        at
        for at in range(values.shape[1])
        if names is None or not any(word in names[at].lower() for word in _NO_ANGLES)
    ]
    if not angles:
        return
    extents = np.maximum(values.max(axis=0), -values.min(axis=0))[angles]
    if config is not None and config.convert == "degrees_to_radians":
        _doubt_conversion(intake, stream, extents)
    elif _are_radians(config, details):
        _doubt_radians(intake, stream, extents, config)


def _are_radians(config: StreamConfig | None, details: Mapping[str, Any]) -> bool:
    if config is not None and config.unit is not None:
        return config.unit.lower().startswith("rad")
    if config is not None and config.space is not Interpolation.PLAIN:
        return config.space is Interpolation.ANGLE
    if config is not None and (config.scale != 1.0 or config.bias != 0.0):
        return False  # somebody has thought of the unit
    field = (config.field if config is not None else None) or "position"
    is_position = field.startswith("position") and "," not in field
    return is_position and str(details.get("type", "")).endswith("JointState")


def _doubt_radians(
    intake: Intake, stream: str, extents: NDArray[np.float64], config: StreamConfig | None
) -> None:
    beyond = int(np.count_nonzero(extents > _MAX_RADIANS))
    if beyond < max(1.0, len(extents) * _LEAST_SHARE) or extents.max() > _MAX_DEGREES:
        return
    why = (
        "are taken for" if config is not None and config.unit else "of this kind are by convention"
    )
    intake.warn(
        IntakeCode.UNIT_DOUBTFUL,
        stream,
        f"{beyond} of {len(extents)} joints reach values up to {extents.max():.1f}, which look "
        f"like degrees; values {why} radians: set convert: degrees_to_radians, or unit: degrees "
        "if they shall stay so",
        details={"largest": float(extents.max()), "joints": beyond},
    )


def _doubt_conversion(intake: Intake, stream: str, extents: NDArray[np.float64]) -> None:
    largest = float(extents.max())
    if not _LEAST_TWICE_CONVERTED < largest <= _MAX_TWICE_CONVERTED:
        return
    intake.warn(
        IntakeCode.UNIT_DOUBTFUL,
        stream,
        f"no joint goes beyond {largest:.3f} rad after convert: degrees_to_radians: the values (up "
        f"to {math.degrees(largest):.2f}) look like radians already; if so, leave convert out",
        details={"largest": largest},
    )
