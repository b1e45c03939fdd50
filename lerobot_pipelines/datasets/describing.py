"""The metadata that both formats share: per-episode statistics, features, ``info.json``."""

from __future__ import annotations

import json
from typing import Any

from lerobot_pipelines.datasets.contents import Contents
from lerobot_pipelines.datasets.features import (
    DEFAULT_FEATURES,
    VIDEO_CHANNELS,
    default_columns,
)
from lerobot_pipelines.datasets.members import DatasetSchema, Episode, VideoFormat
from lerobot_pipelines.datasets.records import FeatureRecord, SegmentRecord
from lerobot_pipelines.datasets.statistics import picture_statistics, vector_statistics
from lerobot_pipelines.model import DepthCoding

INFO_PATH = "meta/info.json"

Statistics = dict[str, dict[str, Any]]


def episode_statistics(
    episode: Episode, segment: SegmentRecord, schema: DatasetSchema
) -> Statistics:
    """By feature, in the order of ``info.json``; vectors carry their histogram, see there."""
    found: Statistics = {
        name: picture_statistics(segment.videos[name])
        if feature.dtype == "video"
        else segment.statistics[name]
        for name, feature in schema.features.items()
    }
    columns = default_columns(
        length=episode.length,
        fps=schema.fps,
        episode_index=episode.index,
        first_index=episode.first_index,
        task_index=episode.task_index,
    )
    return found | {name: vector_statistics(values) for name, values in columns.items()}


def features_info(contents: Contents) -> dict[str, Any]:
    """The ``features`` of info.json."""
    described = {}
    for name, feature in (contents.schema.features | DEFAULT_FEATURES).items():
        described[name] = _feature_info(contents, name, feature)
        if video := contents.schema.videos.get(name):
            described[name]["info"] = _video_info(video, contents.schema.fps)
    return described


def splits(contents: Contents) -> dict[str, str]:
    return {"train": f"0:{len(contents.episodes)}"} if contents.episodes else {}


def json_bytes(value: object) -> bytes:
    """As lerobot writes its JSON files."""
    return json.dumps(value, indent=4, ensure_ascii=False, allow_nan=False).encode()


def _feature_info(contents: Contents, name: str, feature: FeatureRecord) -> dict[str, Any]:
    return {
        "dtype": feature.dtype,
        "shape": list(feature.shape),
        "names": contents.options.names_of(name, feature),
    }


def _video_info(video: VideoFormat, fps: int) -> dict[str, Any]:
    described = {
        "video.height": video.height,
        "video.width": video.width,
        "video.codec": video.codec,
        "video.pix_fmt": video.pix_fmt,
        "video.is_depth_map": video.depth is not None,
        "video.fps": fps,
        "video.channels": 1 if video.pix_fmt.startswith("gray") else VIDEO_CHANNELS,
        "has_audio": False,
    }
    return described if video.depth is None else described | _depth_info(video.depth)


def _depth_info(depth: DepthCoding) -> dict[str, Any]:
    """lerobot's keys from 0.6 on; older ones ignore them."""
    return {
        "is_depth_map": True,
        "depth_unit": depth.unit,
        "video.depth_min": depth.nearest_m,
        "video.depth_max": depth.farthest_m,
        "video.shift": depth.shift_m,
        "video.use_log": True,
    }
