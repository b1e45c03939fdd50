"""Format v2.1: one parquet and one mp4 per camera for each episode, metadata in JSON lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any

from lerobot_pipelines.datasets.claims import Claims
from lerobot_pipelines.datasets.contents import (
    Contents,
    FileKind,
    LargeFile,
    rows_identity,
    unchanged_episodes,
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
# Where the videos lie since a commit that changed some of them: info.json names one place for all.
GENERATION_FOLDER = "videos/commit-{generation:08d}"


def video_path(generation: int) -> str:
    """The template that info.json states."""
    if not generation:
        return VIDEO_PATH
    return VIDEO_PATH.replace("videos", GENERATION_FOLDER.format(generation=generation), 1)


def placed(
    contents: Contents,
    old: Contents | None,
    claims: Claims,
    commit: int,
    begun: Collection[int] = (),
) -> Contents:
    """The same dataset with its videos where nobody else writes.

    That is where they lie, as long as episodes were only added and no other writer has a claim.
    Else all of them go to a folder of this commit (copies within the bucket): new videos then lie
    there before the old ones are out of use. ``begun`` are such folders of commits that did not
    come to their end: one of the very same videos is gone on with.
    """
    generation = old.generation if old else 0
    here = replace(contents, generation=generation)
    if old is not None:
        settled = unchanged_episodes(contents, old) == len(old.episodes)
        is_same = settled and (contents.options, contents.schema) == (old.options, old.schema)
        if not claims.writes and not claims.deletes and is_same:
            return here
        wanted = {file.path: file.identity for file in _videos(here)}
        lies = {file.path: file.identity for file in _videos(old)}
        is_kept = all(wanted.get(path) == identity for path, identity in lies.items())
        if is_kept and _is_free(here, claims):
            return here
    elif _is_free(here, claims):
        return here
    for one in begun:
        again = replace(contents, generation=one)
        if one != generation and _is_free(again, claims):
            return again
    return replace(contents, generation=commit)


def _is_free(contents: Contents, claims: Claims) -> bool:
    """Whether nothing else may come to the folder of the videos than what is wanted there."""
    generation = contents.generation
    folder = f"{GENERATION_FOLDER.format(generation=generation)}/" if generation else "videos/chunk"
    claimed = [path for path in (*claims.writes, *claims.deletes) if path.startswith(folder)]
    wanted = {file.path: file.identity for file in _videos(contents)} if claimed else {}
    return all(path in wanted and claims.allow(path, wanted[path]) for path in claimed)


def _videos(contents: Contents) -> Iterator[LargeFile]:
    template = video_path(contents.generation)
    for episode in contents.episodes:
        chunk = episode.index // contents.options.chunks_size
        for camera in contents.schema.cameras:
            path = template.format(
                video_key=camera, episode_chunk=chunk, episode_index=episode.index
            )
            alone = (episode,)
            yield LargeFile(
                path, video_identity(alone, camera), FileKind.VIDEO, episode.index, alone, camera
            )


def large_files(contents: Contents, first_episode: int = 0) -> list[LargeFile]:
    """Those of ``first_episode`` and the ones after it."""
    files = []
    template = video_path(contents.generation)
    for episode in contents.episodes[first_episode:]:
        chunk = episode.index // contents.options.chunks_size
        place = {"episode_chunk": chunk, "episode_index": episode.index}
        alone = (episode,)
        for camera in contents.schema.cameras:
            path = template.format(video_key=camera, **place)
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
        "video_path": video_path(contents.generation) if cameras else None,
        "features": features_info(contents),
    }


def _line(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode() + b"\n"
