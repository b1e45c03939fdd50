"""Numeric streams from a parquet file: only the columns asked for are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lerobot_pipelines.config.schema import DEFAULT_LIMITS, LimitsConfig, StreamConfig
from lerobot_pipelines.errors import ContentChanged, Reason, Refused
from lerobot_pipelines.model import Stamps, Vectors
from lerobot_pipelines.recordings.arrow_values import (
    columns_of,
    numbers_of,
    side_by_side,
    stamps_of_moments,
)
from lerobot_pipelines.recordings.chronology import Chronology, put_in_order
from lerobot_pipelines.recordings.columns import (
    ColumnKind,
    Selection,
    stamp_column,
    value_columns,
)
from lerobot_pipelines.recordings.layout import CSV_SUFFIX
from lerobot_pipelines.recordings.lfs import pointer_fault
from lerobot_pipelines.recordings.limits import require_table
from lerobot_pipelines.recordings.stamps import stamps_of_numbers

if TYPE_CHECKING:
    import pyarrow as pa


_BATCH_ROWS = 1 << 16
_VALUE_BYTES = 8


@dataclass(frozen=True, slots=True)
class Samples:
    """A stream's usable samples in the order of time: stamps (n,), finite values (n, d).

    ``dropped`` counts the rows left out by reason: bad_stamp, non_finite, wrong_length,
    duplicate_stamp, stray_stamp. ``chronology`` is that of the usable rows, whose order is that of
    recording.
    """

    stamps: Stamps
    values: Vectors
    element_names: tuple[str, ...]
    columns: tuple[str, ...]  # that the values are from
    rows: int
    dropped: dict[str, int]
    time_column: str
    time_unit: str  # "s", "ms", "us", "ns" or "datetime"
    chronology: Chronology


class ParquetFile:
    """A file opened once for any number of streams. ``shown`` is its name in messages."""

    def __init__(self, path: Path, shown: str, limits: LimitsConfig = DEFAULT_LIMITS) -> None:
        import pyarrow.parquet as pq

        self.shown = shown
        self._limits = limits
        self.lost_rows = 0  # of the last table read, which could not be
        self._path = path
        with self._intact():
            self._file = pq.ParquetFile(path)
            self.columns = tuple(columns_of(self._file.schema_arrow))

    def samples(
        self,
        stream: StreamConfig | None,
        unit: str = "auto",
        columns: Sequence[str] | None = None,
    ) -> Samples:
        """The samples of a stream, in the file's units. None: what the file seems to hold.

        ``unit`` is that of the stamps; "auto" detects it by magnitude. ``columns`` says which
        hold the values, else the configuration or their names do. Raises ``Refused`` for
        missing columns (missing_field), stamps without a meaning (bad_stamps) and damaged content
        (corrupt_container).
        """
        time, named_unit = stamp_column(self.columns, self.shown)
        selection = (
            value_columns(self.columns, stream, self.shown)
            if columns is None
            else Selection(tuple(columns))
        )
        table = self._table([time.name, *selection.names])
        if time.kind is ColumnKind.MOMENT:
            stamps, usable = stamps_of_moments(table.column(time.name))
            unit = "datetime"
        else:
            moments = numbers_of(table.column(time.name))
            what = f'{self.shown}, column "{time.name}"'
            stamps, unit, usable = stamps_of_numbers(moments, unit, what, fallback=named_unit)
        values, names, regular = side_by_side(table, selection)
        finite = np.isfinite(values).all(axis=1)
        kept = np.flatnonzero(usable & regular & finite)
        in_time = put_in_order(stamps[kept])
        rows = kept[in_time.order]
        dropped = {
            "bad_stamp": int(np.count_nonzero(~usable)),
            "wrong_length": int(np.count_nonzero(usable & ~regular)) + self.lost_rows,
            "non_finite": int(np.count_nonzero(usable & regular & ~finite)),
            "duplicate_stamp": in_time.repeated,
            "stray_stamp": len(in_time.strays),
        }
        return Samples(
            stamps=stamps[rows],
            values=np.ascontiguousarray(values[rows]),
            element_names=names,
            columns=_used(selection, names),
            rows=len(stamps) + self.lost_rows,
            dropped={reason: count for reason, count in dropped.items() if count},
            time_column=time.name,
            time_unit=unit,
            chronology=in_time,
        )

    def stamps(self, unit: str = "auto") -> tuple[Stamps, str]:
        """The stamps of all rows in the order of the file, and their unit. Raises ``Refused`` as
        ``samples`` does, and (bad_stamps) for a row without a usable one."""
        time, named_unit = stamp_column(self.columns, self.shown)
        column = self._table([time.name]).column(time.name)
        if self.lost_rows:
            raise Refused(
                Reason.BAD_STAMPS,
                f"{self.shown} has {self.lost_rows} rows that are cut off or have another number "
                "of columns, or its last line has no end; write it again",
            )
        if time.kind is ColumnKind.MOMENT:
            stamps, usable = stamps_of_moments(column)
            unit = "datetime"
        else:
            what = f'{self.shown}, column "{time.name}"'
            stamps, unit, usable = stamps_of_numbers(
                numbers_of(column), unit, what, fallback=named_unit
            )
        if not usable.all():
            raise Refused(Reason.BAD_STAMPS, f"{self.shown} has rows without a moment")
        return stamps, unit

    def values(self, name: str) -> list[Any]:
        """The values of one column as they are, e.g. texts; None where there is none."""
        return list(self._table([name]).column(name).to_pylist())

    def close(self) -> None:
        self._file.close()

    def _table(self, names: list[str]) -> pa.Table:
        import pyarrow as pa

        # A nested column is read as a whole and then taken apart.
        outer = set(self._file.schema_arrow.names)
        wanted = list(dict.fromkeys(n if n in outer else n.split(".")[0] for n in names))
        with self._intact():
            self._require_room(wanted)
            batches = list(self._batches_of(wanted))
            schema = batches[0].schema if batches else self._schema_of(wanted)
            table = pa.Table.from_batches(batches, schema)
            while any(pa.types.is_struct(field.type) for field in table.schema):
                table = table.flatten()
        return table

    def _schema_of(self, wanted: Sequence[str]) -> pa.Schema:
        import pyarrow as pa

        schema = self._file.schema_arrow
        return pa.schema([field for field in schema if field.name in wanted])

    def _require_room(self, wanted: Sequence[str]) -> None:
        """Raises ``Refused`` (too_large) before anything is read: a few bytes of a file may stand
        for any number of equal values."""
        meta = self._file.metadata
        chosen = [
            column
            for column in range(meta.num_columns)
            if meta.schema.column(column).path.split(".")[0] in wanted
        ]
        values = sum(
            meta.row_group(group).column(column).num_values
            for group in range(meta.num_row_groups)
            for column in chosen
        )
        require_table(self.shown, meta.num_rows, values, self._limits)

    def _batches_of(self, wanted: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Batch by batch, so that lists and texts that are longer than the file says are noticed.

        Raises ``Refused`` (too_large)."""
        held = rows = 0
        for batch in self._file.iter_batches(_BATCH_ROWS, columns=wanted, use_threads=False):
            rows, held = rows + batch.num_rows, held + batch.nbytes
            # Of numbers, lists included; texts take as much room as so many numbers may.
            require_table(self.shown, rows, held // _VALUE_BYTES // 2, self._limits)
            yield batch

    @contextmanager
    def _intact(self) -> Iterator[None]:
        """Turns what pyarrow raises for damaged content into a refusal."""
        import pyarrow as pa

        try:
            yield
        except FileNotFoundError as error:
            raise ContentChanged(f"{self.shown} disappeared while the episode was read") from error
        except (pa.ArrowException, UnicodeDecodeError) as error:
            raise _corrupt(self._path, self.shown, error) from error
        except OSError as error:
            # Damage has no error number; a disk or a network that fails has.
            if error.errno is not None:
                raise
            raise _corrupt(self._path, self.shown, error) from error


def _used(selection: Selection, elements: tuple[str, ...]) -> tuple[str, ...]:
    """The columns that a slice leaves any element of."""
    left = {*elements, *(name.rpartition("_")[0] for name in elements)}
    return tuple(name for name in selection.names if name in left)


def _corrupt(path: Path, shown: str, error: Exception) -> Refused:
    with path.open("rb") as stream:
        head = stream.read(4)
        size = stream.seek(0, 2)
    if pointer := pointer_fault(path):
        return Refused(Reason.CORRUPT_CONTAINER, f"{shown} {pointer}")
    if shown.lower().endswith(CSV_SUFFIX):
        cause = " ".join(str(error).split())[:100]
        fault = f"cannot be read as CSV ({cause})"
    elif size == 0:
        fault = "is empty (0 bytes)"
    elif head == b"PAR1":
        cause = " ".join(str(error).split())[:100]
        fault = f"is a damaged or truncated parquet file of {size} bytes ({cause})"
    else:
        fault = "is no parquet file"
    return Refused(Reason.CORRUPT_CONTAINER, f"{shown} {fault}; upload it again")
