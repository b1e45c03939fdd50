"""LeRobot features: what an episode's rows and videos look like, as ``info.json`` states it.

The five columns that every LeRobot dataset has are added by the writers, not part of a record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.datasets.records import FeatureRecord, VideoRecord
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.model import AlignedFrames

VIDEO_NAMES = ["height", "width", "channels"]
VIDEO_CHANNELS = 3
DEPTH_CHANNELS = 1

# Always last, always in this order.
DEFAULT_FEATURES = {
    "timestamp": FeatureRecord(dtype="float32", shape=(1,)),
    "frame_index": FeatureRecord(dtype="int64", shape=(1,)),
    "episode_index": FeatureRecord(dtype="int64", shape=(1,)),
    "index": FeatureRecord(dtype="int64", shape=(1,)),
    "task_index": FeatureRecord(dtype="int64", shape=(1,)),
}


def feature_records(
    frames: AlignedFrames, videos: Mapping[str, VideoRecord]
) -> dict[str, FeatureRecord]:
    """The features of an episode: those of the rows in their order, then the cameras.

    A (n, d) array becomes shape (d,), an action chunk (n, chunk, d) shape (chunk, d), a padding
    mask (n, chunk) shape (chunk,); a video is [height, width, channels]. Raises ``Refused``
    (bad_config) for a name that LeRobot reserves or cannot hold.
    """
    for name in (*frames.features, *videos):
        _check_name(name)
    vectors = {
        name: _vector_record(
            values, frames.feature_names.get(name), frames.recorded_names.get(name)
        )
        for name, values in frames.features.items()
    }
    pictures = {
        name: FeatureRecord(
            dtype="video",
            shape=(
                video.height,
                video.width,
                DEPTH_CHANNELS if video.depth else VIDEO_CHANNELS,
            ),
            names=list(VIDEO_NAMES),
        )
        for name, video in videos.items()
    }
    return vectors | pictures


def default_columns(
    *, length: int, fps: int, episode_index: int, first_index: int, task_index: int
) -> dict[str, NDArray[Any]]:
    """The five columns of an episode, each (length,); timestamps are k / fps as float32, in s."""
    rows = np.arange(length, dtype=np.int64)
    return {
        "timestamp": (rows / fps).astype(np.float32),
        "frame_index": rows,
        "episode_index": np.full(length, episode_index, dtype=np.int64),
        "index": first_index + rows,
        "task_index": np.full(length, task_index, dtype=np.int64),
    }


def _check_name(name: str) -> None:
    if "/" in name or not name:
        raise Refused(
            Reason.BAD_CONFIG, f'feature "{name}": LeRobot names may not be empty or hold "/"'
        )
    if name in DEFAULT_FEATURES or name == "task":
        raise Refused(
            Reason.BAD_CONFIG, f'feature "{name}": LeRobot reserves this name; choose another'
        )


def _vector_record(
    values: NDArray[Any], names: object, recorded: Sequence[str] | None
) -> FeatureRecord:
    shape = values.shape[1:] or (1,)
    listed = [str(name) for name in names] if isinstance(names, list | tuple) else None
    # Names are of the last axis; LeRobot has none for the axis of a chunk.
    if listed is not None and len(listed) != shape[-1]:
        listed = None
    return FeatureRecord(
        dtype=str(values.dtype),
        shape=shape,
        names=listed,
        recorded_names=list(recorded) if recorded else None,
    )
