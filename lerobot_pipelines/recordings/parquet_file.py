"""Numeric streams from a parquet file: only the columns asked for are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.config.schema import DEFAULT_LIMITS, LimitsConfig, StreamConfig
from lerobot_pipelines.errors import ContentChanged, Reason, Refused
from lerobot_pipelines.model import Stamps, Vectors
from lerobot_pipelines.recordings.chronology import Chronology, put_in_order
from lerobot_pipelines.recordings.columns import (
    Column,
    ColumnKind,
    Selection,
    stamp_column,
    value_columns,
)
from lerobot_pipelines.recordings.layout import CSV_SUFFIX
from lerobot_pipelines.recordings.lfs import pointer_fault
from lerobot_pipelines.recordings.limits import require_table
from lerobot_pipelines.recordings.stamps import Numbers, stamps_of_numbers

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
            stamps, usable = _stamps_of_moments(table.column(time.name))
            unit = "datetime"
        else:
            numbers = _numbers(table.column(time.name))
            what = f'{self.shown}, column "{time.name}"'
            stamps, unit, usable = stamps_of_numbers(numbers, unit, what, fallback=named_unit)
        values, names, regular = _side_by_side(table, selection)
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
            stamps, usable = _stamps_of_moments(column)
            unit = "datetime"
        else:
            what = f'{self.shown}, column "{time.name}"'
            stamps, unit, usable = stamps_of_numbers(
                _numbers(column), unit, what, fallback=named_unit
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


def columns_of(schema: pa.Schema) -> Iterator[Column]:
    import pyarrow.types as types

    numeric = (types.is_integer, types.is_floating, types.is_decimal, types.is_boolean)

    def leaves(name: str, kind: Any) -> Iterator[Column]:
        if types.is_struct(kind):
            for field in kind:
                yield from leaves(f"{name}.{field.name}", field.type)
        elif any(is_kind(kind) for is_kind in numeric):
            yield Column(name, ColumnKind.NUMBER)
        elif types.is_timestamp(kind):
            yield Column(name, ColumnKind.MOMENT)
        elif _is_list(kind) and (
            types.is_integer(kind.value_type) or types.is_floating(kind.value_type)
        ):
            yield Column(name, ColumnKind.LIST)
        else:
            yield Column(name, ColumnKind.OTHER)

    for field in schema:
        yield from leaves(field.name, field.type)


def _is_list(kind: Any) -> bool:
    import pyarrow.types as types

    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _numbers(column: pa.ChunkedArray) -> Numbers:
    """Integers stay integers (float64 would lose nanoseconds) unless some are missing."""
    import pyarrow as pa
    import pyarrow.types as types

    if types.is_integer(column.type) and column.null_count == 0:
        return cast(Numbers, column.cast(pa.int64(), safe=False).to_numpy())
    if types.is_integer(column.type):
        # 0 is no moment of this century, nor is the smallest integer with a unit given.
        filled = column.cast(pa.int64(), safe=False).fill_null(np.iinfo(np.int64).min)
        return cast(Numbers, filled.to_numpy())
    if types.is_float32(column.type) or types.is_float16(column.type):
        return cast(Numbers, column.cast(pa.float32()).to_numpy())
    return cast(Numbers, column.cast(pa.float64(), safe=False).to_numpy())


def _stamps_of_moments(column: pa.ChunkedArray) -> tuple[Stamps, NDArray[np.bool_]]:
    import pyarrow as pa
    import pyarrow.compute as pc

    usable = pc.is_valid(column).to_numpy().astype(np.bool_)
    moments = column.cast(pa.timestamp("ns", column.type.tz), safe=False)
    return moments.cast(pa.int64()).fill_null(0).to_numpy(), usable


def _side_by_side(
    table: pa.Table, selection: Selection
) -> tuple[Vectors, tuple[str, ...], NDArray[np.bool_]]:
    """The selected values (n, d), their names, and which rows have the usual length."""
    blocks: list[Vectors] = []
    names: list[str] = []
    regular = np.ones(table.num_rows, np.bool_)
    for name in selection.names:
        column = table.column(name)
        block, has_usual_length = _block(column)
        blocks.append(block)
        regular &= has_usual_length
        elements = range(block.shape[1])
        names += [f"{name}_{i}" for i in elements] if _is_list(column.type) else [name]
    values = np.concatenate(blocks, axis=1)[:, selection.elements]
    return values, tuple(names[selection.elements]), regular


def _block(column: pa.ChunkedArray) -> tuple[Vectors, NDArray[np.bool_]]:
    """A column as (n, d) float64, and which rows have the usual length. Nulls are NaN."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not _is_list(column.type):
        values = column.cast(pa.float64(), safe=False).to_numpy()
        return values.reshape(-1, 1), np.ones(len(values), np.bool_)
    lengths = pc.list_value_length(column).fill_null(-1).to_numpy()
    there = lengths[lengths >= 0]
    width = int(np.bincount(there).argmax()) if len(there) else 0
    regular = lengths == width
    flat = pc.list_flatten(column.filter(pa.array(regular)))
    block = np.full((len(lengths), width), np.nan)
    block[regular] = flat.cast(pa.float64(), safe=False).to_numpy().reshape(-1, width)
    return block, regular


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
