"""The numbers of a dataset: all in memory, or those of a bounded number of episodes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.datasets.verify.rows import column_values
from lerobot_pipelines.datasets.verify.view import Feature
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.loading.forks import ForkLock, PerProcess

Columns = dict[str, NDArray[Any]]  # feature -> (rows, *shape); text and pictures: (rows,) objects


@dataclass(frozen=True, slots=True)
class RowSpan:
    """An episode's rows within a data file."""

    file: str
    first: int
    length: int


class RowStore(PerProcess):
    """Columns of episodes, read when first asked for.

    ``limit_bytes`` bounds what is kept, the longest unused episode given up first; None keeps all.
    """

    SETTINGS = ("_locate", "_features", "_spans", "_limit")

    def __init__(
        self,
        locate: Callable[[str], Path],
        features: Mapping[str, Feature],
        spans: Sequence[RowSpan],
        limit_bytes: int | None,
    ) -> None:
        self._locate = locate
        self._features = dict(features)
        self._spans = list(spans)
        self._limit = limit_bytes
        self._start()

    def _start(self) -> None:
        self._lock = ForkLock()
        self._kept: OrderedDict[int, Columns] = OrderedDict()
        self.bytes = 0

    def read_all(self) -> None:
        """Read every episode now, each file once; one that cannot be read is left for later."""
        episodes: dict[str, list[int]] = {}
        for number, span in enumerate(self._spans):
            episodes.setdefault(span.file, []).append(number)
        for file, numbers in episodes.items():
            spans = [self._spans[number] for number in numbers]
            first = min(span.first for span in spans)
            rows = max(span.first + span.length for span in spans) - first
            try:
                columns = read_columns(self._locate(file), self._features, first, rows)
            except Refused:
                continue  # the check before training tells, or the first item that needs it
            for number, span in zip(numbers, spans, strict=True):
                part = slice(span.first - first, span.first - first + span.length)
                self._keep(number, {key: values[part] for key, values in columns.items()})

    def columns(self, episode: int) -> Columns:
        """All columns of an episode. Raises ``Refused`` naming a file that cannot be read."""
        with self._lock:
            kept = self._kept.get(episode)
            if kept is not None:
                if self._limit is not None:
                    self._kept.move_to_end(episode)
                return kept
        span = self._spans[episode]
        columns = read_columns(self._locate(span.file), self._features, span.first, span.length)
        self._keep(episode, columns)
        return columns

    def _keep(self, episode: int, columns: Columns) -> None:
        with self._lock:
            if episode in self._kept:
                return
            self._kept[episode] = columns
            self.bytes += _size(columns)
            while self._limit is not None and self.bytes > self._limit and len(self._kept) > 1:
                _, dropped = self._kept.popitem(last=False)
                self.bytes -= _size(dropped)


def read_columns(path: Path, features: Mapping[str, Feature], first: int, rows: int) -> Columns:
    """Rows ``first`` to ``first + rows`` of a data file, by feature."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            groups, before = _groups(file, first, rows)
            table = file.read_row_groups(groups, columns=list(features), use_threads=False)
        table = table.slice(first - before, rows).combine_chunks()
    except (OSError, pa.ArrowException) as error:
        raise Refused(Reason.CORRUPT_ARTIFACT, f"{path} cannot be read: {error}") from error
    if table.num_rows != rows:
        raise Refused(
            Reason.CORRUPT_ARTIFACT,
            f"{path} holds {table.num_rows} of the {rows} rows that its episodes name",
        )
    return {key: _column(path, table, key, feature) for key, feature in features.items()}


def _groups(file: Any, first: int, rows: int) -> tuple[list[int], int]:
    """The row groups that hold the rows, and how many rows come before the first of them."""
    groups: list[int] = []
    before, row = 0, 0
    for number in range(file.metadata.num_row_groups):
        length = file.metadata.row_group(number).num_rows
        if row < first + rows and row + length > first:
            if not groups:
                before = row
            groups.append(number)
        row += length
    return groups, before


def _column(path: Path, table: Any, key: str, feature: Feature) -> NDArray[Any]:
    index = table.schema.get_field_index(key)
    if index < 0:
        raise Refused(Reason.CORRUPT_ARTIFACT, f"{path} has no column {key}")
    column = table.column(index)
    column = column.chunk(0) if column.num_chunks else column.combine_chunks()
    if feature.dtype == "string":
        return np.asarray(column.to_pylist(), dtype=object)
    if feature.dtype == "image":
        values = np.empty(len(column), dtype=object)
        values[:] = [cell["bytes"] for cell in column.to_pylist()]
        return values
    numbers = column_values(column, feature, len(column))
    if numbers is None or column.null_count:
        raise Refused(
            Reason.CORRUPT_ARTIFACT,
            f"{path}: column {key} does not hold {list(feature.shape)} numbers in every row",
        )
    # A copy: slices of Arrow's memory would keep whole files alive.
    return np.array(numbers)


def _size(columns: Columns) -> int:
    return sum(
        sum(len(cell) for cell in values) if values.dtype == object else values.nbytes
        for values in columns.values()
    )
