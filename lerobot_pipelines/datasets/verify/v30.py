"""The metadata of format v3.0: parquet files of episodes and tasks, statistics as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lerobot_pipelines.datasets.verify.report import Findings
from lerobot_pipelines.datasets.verify.strays import check_strays
from lerobot_pipelines.datasets.verify.totals import check_splits, check_totals
from lerobot_pipelines.datasets.verify.view import DatasetView, Episode, Info, VideoSpan

if TYPE_CHECKING:
    import pyarrow as pa

STATISTICS_PREFIX = "stats/"


def read_v30(root: Path, info: Info, findings: Findings) -> DatasetView:
    tasks = _read_tasks(root, findings)
    episodes: list[Episode] = []
    next_row = 0
    names = sorted(_names(root, "meta/episodes/*/*.parquet"))
    if not names:
        findings.error("missing_file", "meta/episodes", "no parquet file of episodes")
    without_rows = ""
    for name in names:
        rows = _rows(root, name, findings)
        if rows and without_rows:
            findings.error("empty_file", without_rows, "it has no rows, and files come after it")
        without_rows = "" if rows else without_rows or name
        for row in rows:
            where = f"{name}: episode {len(episodes)}"
            episode = _episode(info, row, where, findings)
            if episode is None:
                continue
            if episode.index != len(episodes):
                # Loaders take the row's position for the episode's number.
                findings.error(
                    "episode_order", where, f"row {len(episodes)} holds episode {episode.index}"
                )
            span = (row.get("dataset_from_index"), row.get("dataset_to_index"))
            if span != (next_row, next_row + episode.length):
                findings.error(
                    "bad_row_range",
                    where,
                    f"rows {span[0]} to {span[1]}, expected {next_row} to "
                    f"{next_row + episode.length}",
                )
            next_row += episode.length
            for task in set(episode.tasks) - set(tasks):
                findings.error("unknown_task", where, f"task {task!r} is not in tasks.parquet")
            episodes.append(episode)
    check_totals(info, episodes, tasks, findings)
    check_splits(info, findings)
    data_files = sorted(_names(root, "data/*/*.parquet"))
    _check_data_files(root, data_files, episodes, findings)
    return DatasetView(
        root, info, tasks, episodes, data_files, statistics=_read_statistics(root, findings)
    )


def _names(root: Path, pattern: str) -> list[str]:
    return [path.relative_to(root).as_posix() for path in root.glob(pattern)]


def _check_data_files(
    root: Path, data_files: list[str], episodes: list[Episode], findings: Findings
) -> None:
    named = {episode.data_path for episode in episodes}
    for name in sorted(named - set(data_files)):
        findings.error("missing_file", name, "episodes refer to it, but it is not there")
    check_strays(root, set(data_files) - named, findings, last=max(named, default=""))


def _read_tasks(root: Path, findings: Findings) -> list[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    name = "meta/tasks.parquet"
    try:
        table = pq.read_table(root / name)
    except (OSError, pa.ArrowException) as error:
        findings.error("missing_file", name, str(error))
        return []
    metadata = json.loads((table.schema.metadata or {}).get(b"pandas", b"{}"))
    index = [column for column in metadata.get("index_columns", []) if isinstance(column, str)]
    if not index or index[0] not in table.column_names:
        findings.error(
            "task_index", name, "the task is not the pandas index: item['task'] becomes a number"
        )
        index = [column for column in table.column_names if column != "task_index"]
    if not index or "task_index" not in table.column_names:
        findings.error("bad_tasks", name, f"columns are {table.column_names}")
        return []
    numbers = table.column("task_index").to_pylist()
    if numbers != list(range(len(numbers))):
        findings.error("task_order", name, f"task_index is {numbers[:10]}, must count from 0")
    return [str(task) for task in table.column(index[0]).to_pylist()]


def _rows(root: Path, name: str, findings: Findings) -> list[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table: pa.Table = pq.read_table(root / name)
    except (OSError, pa.ArrowException) as error:
        findings.error("unreadable", name, str(error))
        return []
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def _episode(info: Info, row: Mapping[str, Any], where: str, findings: Findings) -> Episode | None:
    try:
        return Episode(
            index=int(row["episode_index"]),
            length=int(row["length"]),
            tasks=tuple(row["tasks"]),
            data_path=info.data_path.format(
                chunk_index=row["data/chunk_index"], file_index=row["data/file_index"]
            ),
            videos={key: _span(info, row, key) for key in info.cameras},
            statistics=_statistics_of(row),
        )
    except (KeyError, TypeError, ValueError) as error:
        findings.error("bad_episode", where, f"not an episode: {error!r}")
        return None


def _span(info: Info, row: Mapping[str, Any], key: str) -> VideoSpan:
    prefix = f"videos/{key}"
    return VideoSpan(
        path=(info.video_path or "").format(
            video_key=key,
            chunk_index=row[f"{prefix}/chunk_index"],
            file_index=row[f"{prefix}/file_index"],
        ),
        from_timestamp=float(row[f"{prefix}/from_timestamp"]),
        to_timestamp=float(row[f"{prefix}/to_timestamp"]),
    )


def _statistics_of(row: Mapping[str, Any]) -> dict[str, dict[str, Any]] | None:
    found: dict[str, dict[str, Any]] = {}
    for column, value in row.items():
        if column.startswith(STATISTICS_PREFIX):
            feature, _, measure = column.removeprefix(STATISTICS_PREFIX).rpartition("/")
            found.setdefault(feature, {})[measure] = value
    return found or None


def _read_statistics(root: Path, findings: Findings) -> Mapping[str, Mapping[str, Any]] | None:
    name = "meta/stats.json"
    try:
        statistics = json.loads((root / name).read_bytes())
    except (OSError, ValueError) as error:
        findings.error("missing_statistics", name, f"training needs it: {error}")
        return None
    if isinstance(statistics, dict):
        return statistics
    findings.error("bad_statistics", name, "not an object")
    return None
