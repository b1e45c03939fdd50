"""The metadata of format v2.1: JSON lines, one data file and one mp4 per camera an episode."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from lerobot_pipelines.datasets.verify.report import Findings
from lerobot_pipelines.datasets.verify.strays import check_strays
from lerobot_pipelines.datasets.verify.totals import check_splits, check_totals
from lerobot_pipelines.datasets.verify.view import DatasetView, Episode, Info, VideoSpan


def read_v21(root: Path, info: Info, findings: Findings) -> DatasetView:
    tasks = _read_tasks(root, findings)
    statistics = _read_statistics(root, findings)
    episodes: list[Episode] = []
    for line, entry in _lines(root, "meta/episodes.jsonl", findings):
        where = f"meta/episodes.jsonl:{line}"
        try:
            index, length = int(entry["episode_index"]), int(entry["length"])
            named = tuple(str(task) for task in entry["tasks"])
        except (KeyError, TypeError, ValueError) as error:
            findings.error("bad_episode", where, f"not an episode: {error!r}")
            continue
        if index != len(episodes):
            findings.error(
                "episode_order", where, f"episode_index is {index}, expected {len(episodes)}"
            )
        if length < 1:
            findings.error("bad_episode", where, f"episode {index} has length {length}")
        for task in set(named) - set(tasks):
            findings.error("unknown_task", where, f"task {task!r} is not in meta/tasks.jsonl")
        if index not in statistics:
            findings.error(
                "missing_statistics", "meta/episodes_stats.jsonl", f"nothing on episode {index}"
            )
        episodes.append(_episode(info, index, length, named, statistics.get(index)))
    check_totals(info, episodes, tasks, findings)
    check_splits(info, findings)
    videos = len(episodes) * len(info.cameras)
    _check_count(info, "total_videos", videos, findings)
    _check_count(info, "total_chunks", -(-len(episodes) // info.chunks_size), findings)
    data_files = [episode.data_path for episode in episodes]
    # lerobot 0.3.3 reads all that lies below data/, whatever info.json says of places.
    there = {path.relative_to(root).as_posix() for path in root.glob("data/**/*.parquet")}
    check_strays(root, there - {*data_files}, findings)
    return DatasetView(root, info, tasks, episodes, data_files)


def _episode(
    info: Info,
    index: int,
    length: int,
    tasks: tuple[str, ...],
    statistics: Mapping[str, Mapping[str, Any]] | None,
) -> Episode:
    place = {"episode_chunk": index // info.chunks_size, "episode_index": index}
    return Episode(
        index=index,
        length=length,
        tasks=tasks,
        data_path=info.data_path.format(**place),
        videos={
            key: VideoSpan((info.video_path or "").format(**place, video_key=key))
            for key in info.cameras
        },
        statistics=statistics,
    )


def _check_count(info: Info, key: str, expected: int, findings: Findings) -> None:
    stated = getattr(info, key, None)
    if stated != expected:
        findings.error("bad_total", "meta/info.json", f"{key} is {stated}, counted {expected}")


def _read_tasks(root: Path, findings: Findings) -> list[str]:
    tasks: list[str] = []
    for line, entry in _lines(root, "meta/tasks.jsonl", findings):
        if entry.get("task_index") != len(tasks):
            findings.error(
                "task_order",
                f"meta/tasks.jsonl:{line}",
                f"task_index is {entry.get('task_index')}, expected {len(tasks)}",
            )
        tasks.append(str(entry.get("task")))
    return tasks


def _read_statistics(root: Path, findings: Findings) -> dict[int, Mapping[str, Any]]:
    found: dict[int, Mapping[str, Any]] = {}
    for line, entry in _lines(root, "meta/episodes_stats.jsonl", findings):
        index, statistics = entry.get("episode_index"), entry.get("stats")
        if not isinstance(index, int) or not isinstance(statistics, dict):
            findings.error(
                "bad_statistics", f"meta/episodes_stats.jsonl:{line}", "no episode_index and stats"
            )
            continue
        found[index] = statistics
    return found


def _lines(root: Path, name: str, findings: Findings) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        text = (root / name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        findings.error("missing_file", name, str(error))
        return
    # As JSON Lines says: a line separator inside a task's text (U+2028) ends no line.
    for number, line in enumerate(StringIO(text), start=1):
        try:
            entry = json.loads(line)
        except json.JSONDecodeError as error:
            findings.error("bad_json", f"{name}:{number}", str(error))
            continue
        if isinstance(entry, dict):
            yield number, entry
        else:
            findings.error("bad_json", f"{name}:{number}", "not an object")
