"""The data parquet against the metadata: every row where it belongs, every value a number."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.datasets.verify.moments import Moments
from lerobot_pipelines.datasets.verify.report import Findings
from lerobot_pipelines.datasets.verify.view import DatasetView, Feature

if TYPE_CHECKING:
    import pyarrow as pa

# lerobot's tolerance_s: neighbours in time may differ from 1 / fps by no more.
TOLERANCE_S = 1e-4
ROWS_AT_ONCE = 1000

Measured = dict[int, dict[str, Moments]]


def check_rows(view: DatasetView, findings: Findings, progress: Callable[[str], None]) -> Measured:
    """Read every data file once; returns what was measured of each episode's features."""
    checker = _RowChecker(view, findings)
    for name in dict.fromkeys(view.data_files):
        progress(name)
        checker.read_file(name)
    checker.finish()
    return checker.measured


@dataclass(frozen=True, slots=True)
class _Block:
    """Some rows of one file, as they follow one another in the dataset."""

    name: str
    first: int  # global row
    columns: Mapping[str, NDArray[Any]]
    rows: int


class _RowChecker:
    """Goes through the rows in reading order, knowing what each must say of itself."""

    def __init__(self, view: DatasetView, findings: Findings) -> None:
        self.view = view
        self.findings = findings
        self.measured: Measured = {}
        lengths = [episode.length for episode in view.episodes]
        self.starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        self.next_row = 0

    def read_file(self, name: str) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            path = self.view.path(name)
            with pq.ParquetFile(path) as file:
                if not self._columns_fit(name, file.schema_arrow):
                    self.next_row += file.metadata.num_rows
                    return
                for batch in file.iter_batches(ROWS_AT_ONCE):
                    self._check(self._block(name, batch))
                    self.next_row += batch.num_rows
        except FileNotFoundError as error:
            self.findings.error("missing_file", name, str(error))
        except (OSError, pa.ArrowException) as error:
            self.findings.error("unreadable", name, str(error))

    def finish(self) -> None:
        if self.next_row != self.starts[-1]:
            self.findings.error(
                "row_count",
                "data",
                f"the data files hold {self.next_row} rows, the episodes {self.starts[-1]}",
            )

    def _columns_fit(self, name: str, schema: pa.Schema) -> bool:
        declared, found = set(self.view.info.columns), set(schema.names)
        for column in sorted(found - declared):
            self.findings.error(
                "undeclared_column", name, f"column {column} is not a feature; loading fails"
            )
        for column in sorted(declared - found):
            self.findings.error("missing_column", name, f"there is no column {column}")
        return declared <= found

    def _block(self, name: str, batch: pa.RecordBatch) -> _Block:
        columns: dict[str, NDArray[Any]] = {}
        for key in self.view.info.columns:
            feature = self.view.info.features[key]
            column = batch.column(batch.schema.get_field_index(key))
            if column.null_count:
                self.findings.error("null_value", name, f"column {key} has empty cells")
            elif feature.dtype not in ("image", "string"):
                values = column_values(column, feature, batch.num_rows)
                if values is None:
                    self.findings.error(
                        "bad_shape",
                        name,
                        f"column {key} ({column.type}) does not hold {list(feature.shape)} a row",
                    )
                else:
                    columns[key] = values
        return _Block(name, self.next_row, columns, batch.num_rows)

    def _check(self, block: _Block) -> None:
        rows = np.arange(block.first, block.first + block.rows)
        known = rows < self.starts[-1]
        if not known.any():
            return
        rows = rows[known]
        episodes = np.searchsorted(self.starts, rows, side="right") - 1
        frames = rows - self.starts[episodes]
        self._expect(block, "index", rows)
        self._expect(block, "episode_index", episodes)
        self._expect(block, "frame_index", frames)
        self._check_timestamps(block, frames)
        self._check_tasks(block, len(rows), episodes)
        for episode in np.unique(episodes):
            belongs = episodes == episode
            measured = self.measured.setdefault(int(episode), {})
            for key, values in block.columns.items():
                part = values[: len(rows)][belongs]
                if not np.isfinite(part.astype(np.float64)).all():
                    self.findings.error(
                        "non_finite", block.name, f"episode {episode}: {key} holds NaN or infinity"
                    )
                measured[key] = Moments.of(part).merged(measured.get(key))

    def _expect(self, block: _Block, key: str, expected: NDArray[np.int64]) -> None:
        values = block.columns.get(key)
        if values is None:
            return
        wrong = np.flatnonzero(values[: len(expected)].ravel() != expected)
        if len(wrong):
            row = int(wrong[0])
            self.findings.error(
                f"bad_{key}",
                f"{block.name}: row {block.first + row}",
                f"{key} is {values.ravel()[row]}, must be {expected[row]} "
                f"({len(wrong)} rows of this block)",
            )

    def _check_timestamps(self, block: _Block, frames: NDArray[np.int64]) -> None:
        stored = block.columns.get("timestamp")
        if stored is None:
            return
        stored = stored[: len(frames)].ravel()
        fps = self.view.info.fps
        wrong = np.flatnonzero(np.abs(stored - frames / fps) > TOLERANCE_S)
        if len(wrong):
            row = int(wrong[0])
            self.findings.error(
                "bad_timestamp",
                f"{block.name}: row {block.first + row}",
                f"timestamp is {stored[row]:.6f} s, must be {frames[row] / fps:.6f} s",
            )
        if self.view.info.codebase_version == "v2.1":
            # lerobot 0.3.3 takes these differences in float32 and refuses the whole dataset.
            single = (frames / fps).astype(np.float32)
            steps = np.abs(np.diff(single) - np.float32(1 / fps))[np.diff(frames) == 1]
            if (steps > TOLERANCE_S).any():
                self.findings.error(
                    "too_long",
                    block.name,
                    "the episode is too long for v2.1: its timestamps lose precision in float32",
                )

    def _check_tasks(self, block: _Block, rows: int, episodes: NDArray[np.int64]) -> None:
        numbers = block.columns.get("task_index")
        if numbers is None:
            return
        numbers = numbers[:rows].ravel()
        if ((numbers < 0) | (numbers >= len(self.view.tasks))).any():
            self.findings.error("unknown_task", block.name, "task_index names no task")
            return
        for episode in np.unique(episodes):
            stated = set(self.view.episodes[episode].tasks)
            used = {self.view.tasks[number] for number in np.unique(numbers[episodes == episode])}
            if not used <= stated:
                self.findings.error(
                    "task_mismatch",
                    block.name,
                    f"rows of episode {episode} say {sorted(used)}, the episode {sorted(stated)}",
                )


def column_values(column: pa.Array, feature: Feature, rows: int) -> NDArray[Any] | None:
    """The column as (rows, *shape), or None if it cannot be that."""
    import pyarrow as pa

    for _ in _levels(column):
        column = column.flatten()
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    values: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    if values.size != rows * int(np.prod(feature.shape)) or values.dtype == np.object_:
        return None
    return values.reshape(rows, *feature.shape)


def _levels(column: pa.Array) -> Iterator[None]:
    import pyarrow as pa

    kind = column.type
    while (
        pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind) or pa.types.is_large_list(kind)
    ):
        yield None
        kind = kind.value_type
