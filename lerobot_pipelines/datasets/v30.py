"""Format v3.0: many episodes per file; rows, episodes and each camera roll over on their own.

A file keeps its number for life and no other ever gets it, so a new or joined file never takes the
place of one that readers may have open or that a late writer may still touch. Rows and episodes are
read by lerobot in the order of their paths; gaps between the numbers do not matter.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from lerobot_pipelines.datasets.claims import Claims, numbers_in
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
from lerobot_pipelines.datasets.numbering import (
    DATA,
    EPISODES,
    folder_of,
    next_number,
    ordered_numbers,
    refuse_other_chunks,
    refuse_too_many,
    video_numbers,
)
from lerobot_pipelines.datasets.options import BYTES_PER_MB, Options
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


def packed(
    contents: Contents, old: Contents | None, claims: Claims, fences: Sequence[str] = ()
) -> Contents:
    """The same dataset with its episodes spread over files, as little changed as possible.

    No video gets a place that another writer may still touch, unless for the same content.
    ``fences``: contested places of rows, see ``numbering``.
    """
    if old is not None:
        refuse_other_chunks(fences, old.options, contents.options)
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
        videos[camera] = _video_numbers(contents, new, old, files, camera, unchanged, claims)
    packing = Packing(data=tuple(map(len, data)), episodes=tuple(map(len, episodes)), videos=videos)
    contested = (*fences, *claims.writes)
    packing = _numbered(replace(contents, packing=packing), old, claims, contested)
    return replace(contents, packing=packing)


def _numbered(
    contents: Contents, old: Contents | None, claims: Claims, contested: Collection[str]
) -> Packing:
    """The packing with numbers for rows and episodes, and those that come next."""
    packing, options = contents.packing, contents.options
    was, before = (old.packing, old.options) if old else (Packing(), options)
    unchanged = unchanged_episodes(contents, old)
    is_same_place = before.files_per_chunk == options.files_per_chunk
    first = {
        folder: max(
            next_number(was, folder, before, options),
            claims.next_number(folder, options.files_per_chunk),
        )
        for folder in (DATA, EPISODES, *map(folder_of, packing.videos))
    }
    taken = {
        folder: sorted({*numbers_in(contested, folder, options.files_per_chunk)})
        for folder in (DATA, EPISODES)
    }
    data_ends = list(itertools.accumulate(packing.data))

    def keeps_rows(position: int, number: int) -> bool:
        if old is None or not is_same_place or claims.hold(_path(DATA_PATH, number, options)):
            return False
        if data_ends[position] <= unchanged:
            return True
        start = data_ends[position] - packing.data[position]
        run = slice(start, data_ends[position])
        return rows_identity(contents, contents.episodes[run]) == rows_identity(
            old, old.episodes[run]
        )

    data = ordered_numbers(
        packing.data,
        list(zip(was.data_numbers, was.data, strict=True)),
        keeps_rows,
        first[DATA],
        taken[DATA],
    )
    packing = packing.model_copy(update={"data_numbers": data})
    unmoved = min(unchanged, _unmoved(packing, was, with_episodes=False)) if is_same_place else 0
    episode_ends = list(itertools.accumulate(packing.episodes))

    def keeps_descriptions(position: int, number: int) -> bool:
        is_free = not claims.hold(_path(EPISODES_PATH, number, options))
        return old is not None and is_free and episode_ends[position] <= unmoved

    episodes = ordered_numbers(
        packing.episodes,
        list(zip(was.episodes_numbers, was.episodes, strict=True)),
        keeps_descriptions,
        first[EPISODES],
        taken[EPISODES],
    )
    given = {DATA: data, EPISODES: episodes} | {
        folder_of(camera): tuple(file.number for file in files)
        for camera, files in packing.videos.items()
    }
    for numbers in given.values():
        refuse_too_many(numbers, options)
    upto = {
        folder: max(first[folder], max(numbers, default=-1) + 1)
        for folder, numbers in given.items()
    }
    return packing.model_copy(
        update={"episodes_numbers": episodes, "next_numbers": was.next_numbers | upto}
    )


def unmoved_episodes(contents: Contents, before: Contents) -> int:
    """How many leading episodes lie where they lay, in files that hold no others now."""
    return _unmoved(contents.packing, before.packing, with_episodes=True)


def _unmoved(new: Packing, old: Packing, *, with_episodes: bool) -> int:
    def files(packing: Packing, kind: str) -> list[tuple[int, int]]:
        numbers, counts = getattr(packing, f"{kind}_numbers"), getattr(packing, kind)
        return list(zip(numbers, counts, strict=True))

    kinds = ("data", "episodes") if with_episodes else ("data",)
    found = [sum(count for _, count in _common(files(new, one), files(old, one))) for one in kinds]
    for camera, kept in new.videos.items():
        found.append(sum(file.episodes for file in _common(kept, old.videos.get(camera, ()))))
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
    for at, run in later_runs(episodes, packing.data, first_episode):
        number = packing.data_numbers[at]
        path = _path(DATA_PATH, number, contents.options)
        files.append(LargeFile(path, rows_identity(contents, run), FileKind.DATA, number, run))
    described = list(later_runs(episodes, packing.episodes, first_episode))
    places = episode_places(contents, described[0][1][0].index) if described else {}
    for at, run in described:
        number = packing.episodes_numbers[at]
        path = _path(EPISODES_PATH, number, contents.options)
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
        TASKS_PATH: tasks_parquet(contents.tasks, contents.stamp),
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


def _video_numbers(
    contents: Contents,
    runs: Sequence[Sequence[Episode]],
    old: Contents | None,
    files: Sequence[VideoFile],
    camera: str,
    unchanged: int,
    claims: Claims,
) -> tuple[VideoFile, ...]:
    """Unchanged files keep their number; the others get numbers that no file had."""
    options, folder = contents.options, folder_of(camera)
    was, before = (old.packing, old.options) if old else (Packing(), options)

    def is_allowed(number: int, identity: str) -> bool:
        path = _path(VIDEO_PATH, number, options, camera)
        return claims.allow(path, identity)

    is_same_place = before.files_per_chunk == options.files_per_chunk
    kept: list[VideoFile] = []
    end = 0
    for new, file in zip(runs, files if is_same_place else (), strict=False):
        end += len(new)
        if len(new) != file.episodes or end > unchanged:
            break
        # Who takes it away again is not known by what it wants there.
        if claims.hold(_path(VIDEO_PATH, file.number, options, camera)):
            break
        kept.append(file)
    episodes = old.episodes if old else ()
    known: dict[str, list[int]] = {}  # episodes of equal pictures make files of equal identity
    if is_same_place:
        later = runs_of(episodes, [file.episodes for file in files])[len(kept) :]
        for run, file in zip(later, files[len(kept) :], strict=True):
            known.setdefault(video_identity(run, camera), []).append(file.number)
    rest = runs[len(kept) :]
    return video_numbers(
        [video_identity(run, camera) for run in rest],
        [len(run) for run in rest],
        kept,
        known,
        next_number(was, folder, before, options),
        is_allowed,
    )


def _common(ones: Sequence[T], others: Sequence[T]) -> Sequence[T]:
    """The longest common beginning."""
    for count, (one, other) in enumerate(zip(ones, others, strict=False)):
        if one != other:
            return ones[:count]
    return ones[: len(others)]


def _ids(episodes: Sequence[Episode], counts: Sequence[int]) -> list[list[EpisodeId]]:
    return [[episode.id for episode in run] for run in runs_of(episodes, counts)]


def _path(template: str, number: int, options: Options, camera: str = "") -> str:
    return template.format(video_key=camera, **_place(number, options.files_per_chunk))


def _place(number: int, files_per_chunk: int) -> dict[str, int]:
    chunk, file = divmod(number, files_per_chunk)
    return {"chunk_index": chunk, "file_index": file}
