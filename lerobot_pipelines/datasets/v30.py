"""Format v3.0: many episodes per file; rows, episodes and each camera roll over on their own.

Files of a camera keep their numbers for life, so a new or joined file never takes the place of one
that readers may have open; rows and episodes are read by lerobot in the order of their paths and
are numbered without gaps.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

from lerobot_pipelines.datasets.contents import (
    Contents,
    FileKind,
    LargeFile,
    identity_of,
    rows_identity,
    unchanged_episodes,
    video_identity,
)
from lerobot_pipelines.datasets.describing import (
    INFO_PATH,
    features_info,
    json_bytes,
    splits,
)
from lerobot_pipelines.datasets.features import DEFAULT_FEATURES
from lerobot_pipelines.datasets.ledger import Packing, Totals, VideoFile
from lerobot_pipelines.datasets.members import Episode
from lerobot_pipelines.datasets.options import BYTES_PER_MB
from lerobot_pipelines.datasets.packing import Capacity, EpisodeId, Load, repack
from lerobot_pipelines.datasets.placing import episode_places, later_runs, runs_of
from lerobot_pipelines.datasets.tables import row_bytes
from lerobot_pipelines.datasets.tables_v30 import tasks_parquet
from lerobot_pipelines.datasets.totals import picture_total_statistics, vector_total_statistics

TASKS_PATH = "meta/tasks.parquet"
STATISTICS_PATH = "meta/stats.json"

DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
EPISODES_PATH = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"

T = TypeVar("T")

# lerobot's times are float32, whose steps grow too coarse 1024 s into a file.
MAX_VIDEO_SECONDS = 1000

MAX_EPISODES_PER_FILE = 1000  # of meta/episodes


def packed(contents: Contents, old: Contents | None) -> Contents:
    """The same dataset with its episodes spread over files, as little changed as possible."""
    options, fps = contents.options, contents.schema.fps
    unchanged = unchanged_episodes(contents, old)
    is_settled = (
        old is not None
        and unchanged == len(old.episodes)
        and (old.options, old.schema) == (options, contents.schema)
    )
    by_id = {episode.id: episode for episode in contents.episodes}
    ids = list(by_id)
    size = row_bytes(contents.schema.vectors)

    def rows_load(id_: EpisodeId) -> Load:
        return Load(by_id[id_].length * size)

    def video_load(camera: str, id_: EpisodeId) -> Load:
        episode = by_id[id_]
        part = episode.segment.videos[camera]
        # Videos of other parameters cannot follow one another in one mp4.
        known = f"{episode.member.config_hash} {episode.member.code_version}"
        encoding = part.parameters or known
        return Load(part.bytes, part.frames, encoding)

    rows = Capacity(options.data_bytes)
    pictures = Capacity(options.video_bytes, MAX_VIDEO_SECONDS * fps)
    descriptions = Capacity(MAX_EPISODES_PER_FILE + 1)
    was = old.packing if old else Packing()
    before = old.episodes if old else ()
    again = functools.partial(repack, is_settled=is_settled)
    data = again(_ids(before, was.data), ids, rows_load, rows)
    episodes = again(_ids(before, was.episodes), ids, lambda _: Load(1), descriptions)
    videos = {}
    for camera in contents.schema.cameras:
        files = was.videos.get(camera, ())
        runs = again(
            _ids(before, [file.episodes for file in files]),
            ids,
            functools.partial(video_load, camera),
            pictures,
        )
        new = [[by_id[id_] for id_ in run] for run in runs]
        videos[camera] = _keep_numbers(new, before, files, camera, unchanged)
    return replace(
        contents,
        packing=Packing(
            data=tuple(map(len, data)), episodes=tuple(map(len, episodes)), videos=videos
        ),
    )


def unmoved_episodes(contents: Contents, before: Contents) -> int:
    """How many leading episodes lie where they lay, in files that hold no others now."""
    new, old = contents.packing, before.packing
    pairs = [(new.data, old.data), (new.episodes, old.episodes)]
    found = [sum(_common(ones, others)) for ones, others in pairs]
    for camera, files in new.videos.items():
        found.append(sum(file.episodes for file in _common(files, old.videos.get(camera, ()))))
    return min(found)


def large_files(contents: Contents, first_episode: int = 0) -> list[LargeFile]:
    """Those that hold ``first_episode`` or one after it."""
    files = []
    episodes, packing = contents.episodes, contents.packing
    chunk_files = contents.options.files_per_chunk
    for camera in contents.schema.cameras:
        kept = packing.videos[camera]
        for at, run in later_runs(episodes, [file.episodes for file in kept], first_episode):
            number = kept[at].number
            path = VIDEO_PATH.format(video_key=camera, **_place(number, chunk_files))
            identity = video_identity(run, camera)
            files.append(LargeFile(path, identity, FileKind.VIDEO, number, run, camera))
    for number, run in later_runs(episodes, packing.data, first_episode):
        path = DATA_PATH.format(**_place(number, chunk_files))
        files.append(LargeFile(path, rows_identity(contents, run), FileKind.DATA, number, run))
    described = list(later_runs(episodes, packing.episodes, first_episode))
    places = episode_places(contents, described[0][1][0].index) if described else {}
    for number, run in described:
        path = EPISODES_PATH.format(**_place(number, chunk_files))
        identity = identity_of(
            str(contents.options.layout_version),
            *(f"{one.description_identity} {places[one.index]}" for one in run),
        )
        files.append(LargeFile(path, identity, FileKind.EPISODES, number, run))
    return files


def metadata(contents: Contents, totals: Totals) -> dict[str, bytes]:
    """The small files by path, ``info.json`` last."""
    statistics = {
        name: picture_total_statistics(totals.pictures[name])
        if name in totals.pictures
        else vector_total_statistics(totals.vectors[name])
        for name in (*contents.schema.features, *DEFAULT_FEATURES)
    }
    return {
        TASKS_PATH: tasks_parquet(contents.tasks),
        STATISTICS_PATH: json_bytes(statistics),
        INFO_PATH: json_bytes(_info(contents)),
    }


def _info(contents: Contents) -> dict[str, Any]:
    options = contents.options
    return {
        "codebase_version": "v3.0",
        "robot_type": options.robot_type,
        "total_episodes": len(contents.episodes),
        "total_frames": contents.frames,
        "total_tasks": len(contents.tasks),
        "chunks_size": options.files_per_chunk,
        "data_files_size_in_mb": options.data_bytes // BYTES_PER_MB,
        "video_files_size_in_mb": options.video_bytes // BYTES_PER_MB,
        "fps": contents.schema.fps,
        "splits": splits(contents),
        "data_path": DATA_PATH,
        "video_path": VIDEO_PATH if contents.schema.cameras else None,
        "features": features_info(contents),
    }


def _keep_numbers(
    runs: Sequence[Sequence[Episode]],
    before: Sequence[Episode],
    files: Sequence[VideoFile],
    camera: str,
    unchanged: int,
) -> tuple[VideoFile, ...]:
    """Unchanged files keep their number; the others get numbers that no file had."""
    numbered: list[VideoFile] = []
    end = 0
    for new, file in zip(runs, files, strict=False):
        end += len(new)
        if len(new) != file.episodes or end > unchanged:
            break
        numbered.append(file)
    old = runs_of(before, [file.episodes for file in files])[len(numbered) :]
    known: dict[str, list[int]] = {}  # episodes of equal pictures make files of equal identity
    for run, file in zip(old, files[len(numbered) :], strict=True):
        known.setdefault(video_identity(run, camera), []).append(file.number)
    fresh = itertools.count(max((file.number for file in files), default=-1) + 1)
    for new in runs[len(numbered) :]:
        numbers = known.get(video_identity(new, camera))
        number = numbers.pop(0) if numbers else next(fresh)
        numbered.append(VideoFile(number=number, episodes=len(new)))
    return tuple(numbered)


def _common(ones: Sequence[T], others: Sequence[T]) -> Sequence[T]:
    """The longest common beginning."""
    for count, (one, other) in enumerate(zip(ones, others, strict=False)):
        if one != other:
            return ones[:count]
    return ones[: len(others)]


def _ids(episodes: Sequence[Episode], counts: Sequence[int]) -> list[list[EpisodeId]]:
    return [[episode.id for episode in run] for run in runs_of(episodes, counts)]


def _place(number: int, files_per_chunk: int) -> dict[str, int]:
    chunk, file = divmod(number, files_per_chunk)
    return {"chunk_index": chunk, "file_index": file}
