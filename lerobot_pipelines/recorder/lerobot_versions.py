"""Where each lerobot keeps what recording needs: 0.3 and 0.4 in the dataset, 0.6 in its writer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class RecordingNames:
    """Names of attributes and methods of the object that holds ``episode_buffer``."""

    create_buffer: str = "create_episode_buffer"
    close_writer: str = "_close_writer"
    batch_size: str = "batch_encoding_size"
    latest_episode: str = "latest_episode"
    load_metadata: str = "load_metadata"  # of its metadata
    parquet_writers: tuple[str, ...] = ("writer",)


_IN_DATASET = RecordingNames()
_IN_WRITER = RecordingNames(
    create_buffer="_create_episode_buffer",
    close_writer="close_writer",
    batch_size="_batch_encoding_size",
    latest_episode="_latest_episode",
    load_metadata="_load_metadata",
    parquet_writers=("_pq_writer",),
)


def recording_part(dataset: Any) -> tuple[Any, RecordingNames]:
    """The object whose ``add_frame`` fills ``episode_buffer``, and its names.

    Raises ``ValueError`` for a dataset that was opened to be read.
    """
    if "writer" not in vars(dataset) or hasattr(type(dataset), "create_episode_buffer"):
        return dataset, _IN_DATASET  # "writer" of 0.4 is one of parquet files
    if dataset.writer is None:
        raise ValueError(
            "this LeRobotDataset was opened to be read; open it with LeRobotDataset.resume(...) or "
            "LeRobotDataset.create(...) to record"
        )
    return dataset.writer, _IN_WRITER
