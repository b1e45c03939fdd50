"""Where in the files of a v3.0 dataset each episode lies."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
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


def episode_places(contents: Contents, first_episode: int = 0) -> dict[int, EpisodePlace]:
    """The places of ``first_episode`` and the ones after it, by episode index."""
    episodes, packing = contents.episodes, contents.packing
    videos: dict[int, list[tuple[str, int, int]]] = {
        index: [] for index in range(first_episode, len(episodes))
    }
    for camera in contents.schema.cameras:
        files = packing.videos[camera]
        for number, run in later_runs(episodes, [file.episodes for file in files], first_episode):
            frames = 0
            for episode in run:
                if episode.index >= first_episode:
                    videos[episode.index].append((camera, files[number].number, frames))
                frames += episode.segment.videos[camera].frames
    data, descriptions = (
        {
            one.index: numbers[at]
            for at, run in later_runs(episodes, counts, first_episode)
            for one in run
        }
        for numbers, counts in (
            (packing.data_numbers, packing.data),
            (packing.episodes_numbers, packing.episodes),
        )
    )
    chunk_files = contents.options.files_per_chunk
    return {
        index: EpisodePlace(chunk_files, data[index], descriptions[index], tuple(cameras))
        for index, cameras in videos.items()
    }


def runs_of(episodes: Sequence[Episode], counts: Sequence[int]) -> list[tuple[Episode, ...]]:
    """Consecutive runs of that many episodes each."""
    return [run for _, run in later_runs(episodes, counts, 0)]


def later_runs(
    episodes: Sequence[Episode], counts: Sequence[int], first_episode: int
) -> Iterator[tuple[int, tuple[Episode, ...]]]:
    """The position of each run that holds ``first_episode`` or a later one, and the run."""
    for position, (count, end) in enumerate(zip(counts, itertools.accumulate(counts), strict=True)):
        if end > first_episode:
            yield position, tuple(episodes[end - count : end])
