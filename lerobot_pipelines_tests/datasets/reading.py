"""A reader as lerobot is one: what ``info.json`` counts, found through globs and metadata."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lerobot_pipelines_tests.datasets.episodes import STATE

Content = list[dict[str, Any]]


def content(root: Path) -> Content | None:
    """Per episode its task, states and the brightness of its pictures; None without info.json.

    Asserts whatever a loader relies on.
    """
    path = root / "meta/info.json"
    if not path.exists():
        return None
    info = json.loads(path.read_bytes())
    return (
        _content_v21(root, info) if info["codebase_version"] == "v2.1" else _content_v30(root, info)
    )


def tree(root: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def json_lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def rows_of(root: Path) -> pa.Table:
    return pa.concat_tables(
        [pq.read_table(path, partitioning=None) for path in sorted(root.glob("data/*/*.parquet"))]
    )


def episodes_of(root: Path) -> list[dict[str, Any]]:
    """The rows of the episodes table of v3.0."""
    paths = sorted(root.glob("meta/episodes/*/*.parquet"))
    return pa.concat_tables([pq.read_table(path, partitioning=None) for path in paths]).to_pylist()


def brightness_of(path: Path) -> list[int]:
    import av

    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    return [round(float(frame.mean())) for frame in frames]


def _content_v21(root: Path, info: dict[str, Any]) -> Content:
    rows = rows_of(root)  # lerobot 0.3.3 reads all there are
    lines = json_lines(root / "meta/episodes.jsonl")
    tasks = [line["task"] for line in json_lines(root / "meta/tasks.jsonl")]
    assert len(rows) == info["total_frames"] == sum(line["length"] for line in lines)
    assert len(lines) == info["total_episodes"]
    assert len(json_lines(root / "meta/episodes_stats.jsonl")) == info["total_episodes"]
    found, first = [], 0
    for line in lines:
        pictures = {}
        for camera in _cameras(info):
            path = root / info["video_path"].format(
                episode_chunk=line["episode_index"] // info["chunks_size"],
                video_key=camera,
                episode_index=line["episode_index"],
            )
            pictures[camera] = brightness_of(path)
            assert len(pictures[camera]) == line["length"]
        found.append(_episode(rows, first, line["length"], line["episode_index"], tasks, pictures))
        assert [found[-1]["task"]] == line["tasks"]
        first += line["length"]
    return found


def _content_v30(root: Path, info: dict[str, Any]) -> Content:
    rows = rows_of(root).slice(0, info["total_frames"])
    lines = episodes_of(root)[: info["total_episodes"]]
    tasks = pq.read_table(root / "meta/tasks.parquet").to_pandas().index.tolist()
    assert len(rows) == info["total_frames"]
    assert len(lines) == info["total_episodes"]
    found = []
    for index, line in enumerate(lines):
        assert line["episode_index"] == index
        pictures = {}
        for camera in _cameras(info):
            path = root / info["video_path"].format(
                video_key=camera,
                chunk_index=line[f"videos/{camera}/chunk_index"],
                file_index=line[f"videos/{camera}/file_index"],
            )
            start = round(line[f"videos/{camera}/from_timestamp"] * info["fps"])
            end = round(line[f"videos/{camera}/to_timestamp"] * info["fps"])
            pictures[camera] = brightness_of(path)[start:end]
            assert len(pictures[camera]) == line["length"]
        first = line["dataset_from_index"]
        assert line["dataset_to_index"] == first + line["length"]
        found.append(_episode(rows, first, line["length"], index, tasks, pictures))
        assert [found[-1]["task"]] == line["tasks"]
    return found


def _cameras(info: dict[str, Any]) -> list[str]:
    return [name for name, one in info["features"].items() if one["dtype"] == "video"]


def _episode(
    rows: pa.Table, first: int, length: int, index: int, tasks: list[str], pictures: Any
) -> dict[str, Any]:
    part = rows.slice(first, length).to_pydict()
    assert part["index"] == list(range(first, first + length))
    assert part["episode_index"] == [index] * length
    assert part["frame_index"] == list(range(length))
    assert len(set(part["task_index"])) == 1
    return {
        "task": tasks[part["task_index"][0]],
        "states": np.asarray(part[STATE], dtype=np.float32).tolist(),
        "pictures": pictures,
    }
