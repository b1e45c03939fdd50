"""Units that nobody wrote down: taken from a convention and said, or told wrong by the values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lerobot_pipelines.config.schema import CameraConfig
from lerobot_pipelines.intake import Intake, IntakeCode

#: Raw layouts of distances, and the unit of each by REP 118.
DEPTH_ENCODINGS: Mapping[str, str] = {"16UC1": "mm", "32FC1": "m"}


def note_depth_unit(
    intake: Intake, stream: str, camera: CameraConfig | None, details: Mapping[str, Any]
) -> None:
    """Say in which unit distances are read where the configuration does not.

    ``details`` are those of the stream; ``camera`` is None where there is no configuration.
    """
    if not details.get("is_depth") or (camera is not None and not camera.depth):
        return
    if camera is not None and camera.depth_unit is not None:
        return
    encoding = str(details.get("encoding"))
    unit = DEPTH_ENCODINGS.get(encoding, "mm")
    intake.note(
        IntakeCode.UNIT_ASSUMED,
        stream,
        f"distances are read in {unit}, the unit of {encoding} by convention (REP 118); if the "
        "camera has another, set cameras[].depth_unit (m, cm, mm, 0.1mm, um or metres per value)",
        details={"unit": unit, "encoding": encoding},
    )
