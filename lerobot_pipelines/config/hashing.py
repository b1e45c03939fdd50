"""Fingerprints of a configuration, one per stage: what changes a stage's output changes its hash.

Each includes the one before, so a stage whose hash is unchanged has unchanged inputs too. They are
SHA-256 over canonical JSON of the resolved values: it does not matter how a file is written. Where
things lie (bucket, credentials, folders of the dataset), how fast they are made (threads, chunks
of frames), what is refused for its size alone (limits), what is only told about the dataset
(tags, owners) and where log lines go have no part in them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from lerobot_pipelines.config.schema import DatasetConfig

# What the first pass over a recording depends on: which samples there are, and when.
_RAW_STREAM = frozenset(
    {"name", "topic", "file", "field", "columns", "joint_names", "clock", "time_unit"}
    | {"offset_ms", "required", "expected_dimension"}
)
_RAW_CAMERA = frozenset(
    {"name", "topic", "folder", "clock", "time_unit", "offset_ms", "required", "depth"}
    | {"rate_hz", "start_s"}
)

# Keys that came later have no part in a hash while they have their default, so that what was made
# before they existed is not made again.
_LATER: Mapping[str, frozenset[str]] = {
    "AlignmentConfig": frozenset({"max_clock_offset_ms"}),
    "CameraConfig": frozenset({"depth_unit", "rate_hz", "start_s"}),
    "FilterConfig": frozenset({"strict"}),
}

# What concerns pixels only, so that rows need not be aligned again.
_PIXELS = frozenset({"depth", "depth_range_m", "depth_unit"})

# Settings of strategies that are not this configuration's.
_UNUSED = frozenset({"on_request"})

# The number of threads changes how fast an encoder is, not what a decoder sees.
_SPEED = frozenset({"threads"})


def raw_hash(config: DatasetConfig) -> str:
    """Of what is read: streams, cameras and the layout of folders."""
    return _digest(
        "raw",
        {
            "layout": _values(config.layout),
            "streams": _by_name(config.streams, keep=_RAW_STREAM),
            "cameras": _by_name(config.cameras, keep=_RAW_CAMERA),
        },
    )


def alignment_hash(config: DatasetConfig) -> str:
    """And of how rows come about: features, alignment, filters, rows per second."""
    return _digest(
        "alignment",
        {
            "before": raw_hash(config),
            "streams": _by_name(config.streams),
            # Which camera is the base may follow from their order.
            "cameras": [_values(camera, drop=_PIXELS) for camera in config.cameras],
            "features": {key: _values(feature) for key, feature in config.features.items()},
            "feature_order": list(config.features),
            "alignment": _values(config.alignment, drop=_UNUSED),
            "filtering": _values(config.filtering),
            "fps": config.dataset.fps,
        },
    )


def video_hash(config: DatasetConfig) -> str:
    """And of how pictures are encoded."""
    return _digest(
        "video",
        {
            "before": alignment_hash(config),
            "video": _values(config.video, drop=_SPEED),
            "cameras": _by_name(config.cameras, keep=_PIXELS | {"name"}),
        },
    )


def dataset_hash(config: DatasetConfig) -> str:
    """And of what each episode says of itself: the task and the robot."""
    return _digest(
        "dataset",
        {
            "before": video_hash(config),
            "task": config.dataset.task,
            "robot_type": config.dataset.robot_type,
        },
    )


def _by_name(
    items: tuple[BaseModel, ...], *, keep: frozenset[str] | None = None
) -> list[dict[str, Any]]:
    """Their order has no meaning."""
    values = [_values(item, keep=keep) for item in items]
    return sorted(values, key=lambda value: str(value["name"]))


def _values(
    section: BaseModel,
    *,
    keep: frozenset[str] | None = None,
    drop: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    values = section.model_dump(mode="json")
    later = _LATER.get(type(section).__name__, frozenset())
    unset = {key for key in later if getattr(section, key) == _default(section, key)}
    return {
        key: value
        for key, value in values.items()
        if key not in drop and key not in unset and (keep is None or key in keep)
    }


def _default(section: BaseModel, key: str) -> object:
    return type(section).model_fields[key].get_default(call_default_factory=True)


def _digest(stage: str, values: Mapping[str, Any]) -> str:
    text = json.dumps(
        {"stage": stage, **values},
        sort_keys=True,
        ensure_ascii=True,
        allow_nan=False,
        separators=(",", ":"),
    )
    return hashlib.sha256(text.encode()).hexdigest()
