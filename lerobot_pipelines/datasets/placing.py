"""Where in the files of a v3.0 dataset each episode lies."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from lerobot_pipelines.datasets.contents import Contents
from lerobot_pipelines.datasets.members import Episode


@dataclass(frozen=True, slots=True)
class EpisodePlace:
    """In which files an episode lies, and behind how many frames of each camera's file."""

    files_per_chunk: int
    data: int
    description: int
    videos: tuple[tuple[str, int, int], ...]  # camera, file number, frames before


def episode_places(contents: Contents) -> list[EpisodePlace]:
    videos: list[list[tuple[str, int, int]]] = [[] for _ in contents.episodes]
    for camera in contents.schema.cameras:
        files = contents.packing.videos[camera]
        runs = runs_of(contents.episodes, [file.episodes for file in files])
        for file, run in zip(files, runs, strict=True):
            frames = 0
            for episode in run:
                videos[episode.index].append((camera, file.number, frames))
                frames += episode.segment.videos[camera].frames
    numbers = (
        [number for number, count in enumerate(counts) for _ in range(count)]
        for counts in (contents.packing.data, contents.packing.episodes)
    )
    return [
        EpisodePlace(contents.options.files_per_chunk, data, description, tuple(cameras))
        for data, description, cameras in zip(*numbers, videos, strict=True)
    ]


def runs_of(episodes: Sequence[Episode], counts: Sequence[int]) -> list[tuple[Episode, ...]]:
    """Consecutive runs of that many episodes each."""
    ends = list(itertools.accumulate(counts))
    return [tuple(episodes[end - count : end]) for end, count in zip(ends, counts, strict=True)]
