"""Format v2.1: one parquet and one mp4 per camera for each episode, metadata in JSON lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from lerobot_pipelines.datasets.contents import (
    Contents,
    FileKind,
    LargeFile,
    rows_identity,
    video_identity,
)
from lerobot_pipelines.datasets.describing import (
    INFO_PATH,
    Statistics,
    features_info,
    json_bytes,
    splits,
)
from lerobot_pipelines.datasets.members import Episode
from lerobot_pipelines.datasets.statistics import BASIC_KEYS, written

EPISODES_PATH = "meta/episodes.jsonl"
STATISTICS_PATH = "meta/episodes_stats.jsonl"
TASKS_PATH = "meta/tasks.jsonl"

DATA_PATH = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
VIDEO_PATH = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"


def large_files(contents: Contents, first_episode: int = 0) -> list[LargeFile]:
    """Those of ``first_episode`` and the ones after it."""
    files = []
    for episode in contents.episodes[first_episode:]:
        chunk = episode.index // contents.options.chunks_size
        place = {"episode_chunk": chunk, "episode_index": episode.index}
        alone = (episode,)
        for camera in contents.schema.cameras:
            path = VIDEO_PATH.format(video_key=camera, **place)
            identity = video_identity(alone, camera)
            files.append(LargeFile(path, identity, FileKind.VIDEO, episode.index, alone, camera))
        path = DATA_PATH.format(**place)
        identity = rows_identity(contents, alone)
        files.append(LargeFile(path, identity, FileKind.DATA, episode.index, alone))
    return files


def metadata(
    contents: Contents,
    unchanged: int,
    old_lines: Callable[[str], Sequence[bytes]],
    statistics_of: Callable[[Episode], Statistics],
) -> dict[str, bytes]:
    """The small files by path, ``info.json`` last.

    ``old_lines(path)`` are the lines that lie in the bucket, one for each old episode, or none:
    those of the ``unchanged`` leading episodes are taken from there.
    """

    def lines(path: str, describe: Callable[[Episode], dict[str, Any]]) -> bytes:
        known = old_lines(path)[:unchanged]
        return b"".join(
            [*known, *(_line(describe(one)) for one in contents.episodes[len(known) :])]
        )

    return {
        TASKS_PATH: b"".join(
            _line({"task_index": index, "task": task}) for index, task in enumerate(contents.tasks)
        ),
        EPISODES_PATH: lines(EPISODES_PATH, _episode),
        STATISTICS_PATH: lines(
            STATISTICS_PATH,
            lambda episode: {
                "episode_index": episode.index,
                "stats": {
                    name: written(one, BASIC_KEYS) for name, one in statistics_of(episode).items()
                },
            },
        ),
        INFO_PATH: json_bytes(_info(contents)),
    }


def _episode(episode: Episode) -> dict[str, Any]:
    return {
        "episode_index": episode.index,
        "tasks": list(episode.segment.tasks),
        "length": episode.length,
    }


def _info(contents: Contents) -> dict[str, Any]:
    episodes, cameras = len(contents.episodes), len(contents.schema.cameras)
    return {
        "codebase_version": "v2.1",
        "robot_type": contents.options.robot_type,
        "total_episodes": episodes,
        "total_frames": contents.frames,
        "total_tasks": len(contents.tasks),
        "total_videos": episodes * cameras,
        "total_chunks": -(-episodes // contents.options.chunks_size),
        "chunks_size": contents.options.chunks_size,
        "fps": contents.schema.fps,
        "splits": splits(contents),
        "data_path": DATA_PATH,
        "video_path": VIDEO_PATH if cameras else None,
        "features": features_info(contents),
    }


def _line(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode() + b"\n"
