"""meta/info.json, and the rules for features that hold in both formats."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import ValidationError

from lerobot_pipelines.datasets.placeholder import MESSAGE, is_placeholder
from lerobot_pipelines.datasets.verify.report import Findings
from lerobot_pipelines.datasets.verify.view import Feature, Info

WHERE = "meta/info.json"

# The writers of lerobot add these to every dataset; loaders and samplers count on them.
DEFAULT_COLUMNS = {
    "timestamp": "float32",
    "frame_index": "int64",
    "episode_index": "int64",
    "index": "int64",
    "task_index": "int64",
}
CHANNEL_NAMES = {"channel", "channels"}


def read_info(root: Path, findings: Findings) -> Info | None:
    """The parsed file, or None with the finding that says why there is none."""
    path = root / "meta" / "info.json"
    try:
        data = path.read_bytes()
        if is_placeholder(data):
            findings.error("not_a_dataset", WHERE, f"{root}: {MESSAGE}")
            return None
        info = Info.model_validate_json(data)
    except FileNotFoundError:
        findings.error(
            "not_a_dataset", WHERE, f"{root} has no meta/info.json: no dataset, or one being made"
        )
        return None
    except (OSError, json.JSONDecodeError) as error:
        findings.error("unreadable", WHERE, str(error))
        return None
    except ValidationError as error:
        for fault in error.errors():
            key = ".".join(str(part) for part in fault["loc"])
            findings.error("bad_info", WHERE, f"{key or 'file'}: {fault['msg']}")
        return None
    _check_features(info, findings)
    return info


def _check_features(info: Info, findings: Findings) -> None:
    for key, dtype in DEFAULT_COLUMNS.items():
        feature = info.features.get(key)
        if feature is None:
            findings.error("missing_feature", WHERE, f"features has no {key!r}")
        elif feature.dtype != dtype or feature.shape != (1,):
            findings.error(
                "bad_feature",
                WHERE,
                f"{key} is {feature.dtype}{list(feature.shape)}, must be {dtype}[1]",
            )
    for key, feature in info.features.items():
        if "/" in key:
            findings.error("bad_feature", WHERE, f"feature name {key!r} holds a slash")
        if feature.dtype in ("video", "image"):
            _check_camera(key, feature, findings)
        elif isinstance(feature.names, list) and len(feature.names) != feature.shape[-1]:
            findings.warning(
                "names_mismatch",
                WHERE,
                f"{key} has {len(feature.names)} names for a last axis of {feature.shape[-1]}",
            )
    if info.cameras and not info.video_path:
        findings.error("bad_info", WHERE, "there are video features, but video_path is empty")


def _check_camera(key: str, feature: Feature, findings: Findings) -> None:
    if len(feature.shape) != 3:
        findings.error("bad_feature", WHERE, f"camera {key} has shape {list(feature.shape)}")
    names = feature.names
    if not isinstance(names, list) or len(names) != 3:
        findings.error(
            "camera_names", WHERE, f"camera {key} needs three names, policies read names[2]"
        )
    elif not CHANNEL_NAMES & {str(name) for name in names}:
        findings.warning("camera_names", WHERE, f"camera {key}: none of {names} is 'channels'")
