"""The metadata tables of v3.0: ``meta/tasks.parquet`` and ``meta/episodes/...``."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lerobot_pipelines.datasets.contents import Contents
from lerobot_pipelines.datasets.describing import Statistics
from lerobot_pipelines.datasets.features import DEFAULT_FEATURES
from lerobot_pipelines.datasets.members import DatasetSchema, Episode
from lerobot_pipelines.datasets.placing import EpisodePlace
from lerobot_pipelines.datasets.stamping import parquet_stamp
from lerobot_pipelines.datasets.statistics import ALL_KEYS

if TYPE_CHECKING:
    import pyarrow as pa

# lerobot flushes its metadata every ten episodes.
_ROW_GROUP_EPISODES = 10

_INDEX = "__index_level_0__"


def tasks_parquet(tasks: Sequence[str], stamp: int = 0) -> bytes:
    """Row i is task i; the task's text is the index of the pandas frame, as lerobot expects.

    The metadata is written by hand in the words of pandas 2, which every pandas reads.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    def column(name: str | None, field: str | None, kind: str, numpy_type: str) -> dict[str, Any]:
        return {
            "name": name,
            "field_name": field,
            "pandas_type": kind,
            "numpy_type": numpy_type,
            "metadata": None,
        }

    metadata = {
        "index_columns": [_INDEX],
        "column_indexes": [
            column(None, None, "unicode", "object") | {"metadata": {"encoding": "UTF-8"}}
        ],
        "columns": [
            column("task_index", "task_index", "int64", "int64"),
            column(None, _INDEX, "unicode", "object"),
        ],
        "creator": {"library": "pyarrow", "version": pa.__version__},
        "pandas_version": "2.2.3",
    }
    schema = pa.schema(
        [("task_index", pa.int64()), (_INDEX, pa.string())],
        metadata={b"pandas": json.dumps(metadata).encode(), **parquet_stamp(stamp)},
    )
    table = pa.table([list(range(len(tasks))), list(tasks)], schema=schema)
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="snappy", version="2.6")
    return buffer.getvalue()


def write_episodes(
    path: Path,
    contents: Contents,
    episodes: Sequence[Episode],
    places: Mapping[int, EpisodePlace],
    statistics_of: Callable[[Episode], Statistics],
) -> None:
    """One row per episode; ``places`` are by episode index."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        list(_fields(contents.schema)), metadata=parquet_stamp(contents.stamp) or None
    )
    with pq.ParquetWriter(path, schema, compression="snappy", version="2.6") as writer:
        for first in range(0, len(episodes), _ROW_GROUP_EPISODES):
            rows = [
                _row(contents, episode, places[episode.index], statistics_of(episode))
                for episode in episodes[first : first + _ROW_GROUP_EPISODES]
            ]
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))


def _fields(schema: DatasetSchema) -> Iterator[tuple[str, pa.DataType]]:
    import pyarrow as pa

    whole, real = pa.int64(), pa.float64()
    yield "episode_index", whole
    yield "tasks", pa.list_(pa.string())
    for name in ("length", "data/chunk_index", "data/file_index"):
        yield name, whole
    yield "dataset_from_index", whole
    yield "dataset_to_index", whole
    for camera in schema.cameras:
        yield f"videos/{camera}/chunk_index", whole
        yield f"videos/{camera}/file_index", whole
        yield f"videos/{camera}/from_timestamp", real
        yield f"videos/{camera}/to_timestamp", real
    for name, feature in (schema.features | DEFAULT_FEATURES).items():
        depth = 3 if feature.dtype == "video" else len(feature.shape)
        kind = "f" if feature.dtype == "video" else np.dtype(feature.dtype).kind
        own = {"b": pa.bool_(), "i": whole, "u": whole}.get(kind, real)
        for key in ALL_KEYS:
            if key == "count":
                yield f"stats/{name}/{key}", pa.list_(whole)
            else:
                yield f"stats/{name}/{key}", _nested(own if key in ("min", "max") else real, depth)
    yield "meta/episodes/chunk_index", whole
    yield "meta/episodes/file_index", whole


def _nested(type_: pa.DataType, depth: int) -> pa.DataType:
    import pyarrow as pa

    for _ in range(depth):
        type_ = pa.list_(type_)
    return type_


def _row(
    contents: Contents, episode: Episode, place: EpisodePlace, statistics: Mapping[str, Any]
) -> dict[str, Any]:
    chunk_files = place.files_per_chunk
    fps = contents.schema.fps
    row: dict[str, Any] = {
        "episode_index": episode.index,
        "tasks": list(episode.segment.tasks),
        "length": episode.length,
        "data/chunk_index": place.data // chunk_files,
        "data/file_index": place.data % chunk_files,
        "dataset_from_index": episode.first_index,
        "dataset_to_index": episode.first_index + episode.length,
    }
    for camera, number, frames_before in place.videos:
        row |= {
            f"videos/{camera}/chunk_index": number // chunk_files,
            f"videos/{camera}/file_index": number % chunk_files,
            # Quotients, not sums of durations: an error in one would move all that follow.
            f"videos/{camera}/from_timestamp": frames_before / fps,
            f"videos/{camera}/to_timestamp": (frames_before + episode.length) / fps,
        }
    row |= {
        f"stats/{name}/{key}": statistics[name][key]
        for name in (*contents.schema.features, *DEFAULT_FEATURES)
        for key in ALL_KEYS
    }
    return row | {
        "meta/episodes/chunk_index": place.description // chunk_files,
        "meta/episodes/file_index": place.description % chunk_files,
    }
