"""Numeric streams from a CSV file, as PlotJuggler, ``rostopic echo -p`` and data frames write them.

The same rules as for parquet files hold; only the columns asked for are converted, block by block.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lerobot_pipelines.config.schema import DEFAULT_LIMITS, LimitsConfig
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.recordings.arrow_values import columns_of
from lerobot_pipelines.recordings.lfs import pointer_fault
from lerobot_pipelines.recordings.limits import require_table
from lerobot_pipelines.recordings.parquet_file import ParquetFile

if TYPE_CHECKING:
    import pyarrow as pa

_HEAD_BYTES = 1 << 20
_DELIMITERS = ",;\t"
_NUMBER_LIST = re.compile(r"\s*\[[\s\d.,eE+\-naif]*\]\s*")


@dataclass(frozen=True, slots=True)
class _Dialect:
    names: tuple[str, ...]
    delimiter: str
    decimal_point: str
    header_lines: int  # lines before the first row


class CsvFile(ParquetFile):
    """A file opened once for any number of streams. ``shown`` is its name in messages.

    Raises ``Refused``: corrupt_container for what is no CSV file with a line of names,
    missing_field for several columns of one name.
    """

    def __init__(self, path: Path, shown: str, limits: LimitsConfig = DEFAULT_LIMITS) -> None:
        import pyarrow as pa

        self.shown = shown
        self._path = path
        self._limits = limits
        self.lost_rows = 0
        with self._intact():
            self._dialect = _dialect_of(path, shown)
            first = next(self._batches({}), None)
        self._types, self._kinds = _types_of(first, self._dialect.names)
        self.columns = tuple(columns_of(pa.schema(list(self._kinds.items()))))

    def close(self) -> None:
        """Nothing stays open between calls."""

    def _table(self, names: list[str]) -> pa.Table:
        import pyarrow as pa

        names = list(dict.fromkeys(names))
        with self._intact():
            try:
                return self._read({name: self._types[name] for name in names})
            except pa.ArrowInvalid:
                # Other content further down: words among numbers, decimals after whole numbers.
                return self._read(dict.fromkeys(names, pa.string()))

    def _read(self, types: dict[str, pa.DataType]) -> pa.Table:
        """The columns as they were found to be; what is not such a value is missing."""
        import pyarrow as pa

        self.lost_rows = 0
        batches: list[pa.RecordBatch] = []
        rows = 0
        for batch in self._batches(types):
            rows += batch.num_rows
            require_table(self.shown, rows, rows * len(types), self._limits)
            batches.append(batch)
        table = pa.Table.from_batches(batches, pa.schema(list(types.items())))
        if not _ends_with_line(self._path) and table.num_rows:
            # Its last number may lack digits.
            self.lost_rows += 1
            table = table.slice(0, table.num_rows - 1)
        for at, name in enumerate(types):
            if types[name] == pa.string() != (kind := self._kinds[name]):
                found = _lists if pa.types.is_list(kind) else _numbers_in
                table = table.set_column(at, name, found(table.column(name)))
        return table

    def _batches(self, types: dict[str, pa.DataType]) -> Iterator[pa.RecordBatch]:
        """The file's rows, block by block; with no types all columns, their types inferred."""
        from pyarrow import csv as pa_csv

        def count(row: Any) -> str:
            self.lost_rows += 1
            return "skip"

        dialect = self._dialect
        with pa_csv.open_csv(
            self._path,
            read_options=pa_csv.ReadOptions(
                use_threads=False,
                column_names=list(dialect.names),
                skip_rows=dialect.header_lines,
                block_size=_HEAD_BYTES,
            ),
            parse_options=pa_csv.ParseOptions(
                delimiter=dialect.delimiter, invalid_row_handler=count, newlines_in_values=False
            ),
            convert_options=pa_csv.ConvertOptions(
                column_types=types,
                include_columns=list(types),
                decimal_point=dialect.decimal_point,
                check_utf8=False,
                null_values=["", "nan", "NaN", "NAN", "-nan", "null", "NULL", "None", "NA", "N/A"],
                strings_can_be_null=True,
            ),
        ) as reader:
            yield from reader


def _dialect_of(path: Path, shown: str) -> _Dialect:
    with path.open("rb") as stream:
        head = stream.read(_HEAD_BYTES)
    if (fault := pointer_fault(path)) is not None:
        raise Refused(Reason.CORRUPT_CONTAINER, f"{shown} {fault}")
    if not head.strip():
        raise Refused(Reason.CORRUPT_CONTAINER, f"{shown} is empty")
    if b"\0" in head:
        raise Refused(
            Reason.CORRUPT_CONTAINER, f"{shown} is no CSV file in UTF-8; save it as CSV (UTF-8)"
        )
    lines = head.decode("utf-8-sig", "replace").splitlines()
    # The names may be the last of several lines of comment.
    comments = 0
    while comments < len(lines) and (not lines[comments].strip() or lines[comments][0] in "#%"):
        comments += 1
    first = comments
    if lines[0][:1] in ("#", "%") and (len(lines) <= comments or _is_row(lines[comments])):
        first = comments - 1
    header = lines[first].lstrip("#%")
    delimiter = max(_DELIMITERS, key=header.count)
    names = tuple(name.strip() for name in next(csv.reader([header], delimiter=delimiter)))
    if any(_is_number(name) for name in names):
        raise Refused(
            Reason.CORRUPT_CONTAINER,
            f"{shown} does not begin with the names of its columns, separated by commas; write "
            "them into its first line, such as timestamp,joint_1,joint_2",
        )
    names = tuple(name or f"column_{at}" for at, name in enumerate(names))
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise Refused(Reason.MISSING_FIELD, f'{shown} has several columns called "{twice}"')
    row = next((line for line in lines[first + 1 :] if line.strip()), "")
    decimal = "," if delimiter != "," and "," in row and "." not in row else "."
    return _Dialect(names, delimiter, decimal, first + 1)


_Types = dict[str, "pa.DataType"]


def _types_of(batch: pa.RecordBatch | None, names: tuple[str, ...]) -> tuple[_Types, _Types]:
    """The types to read the columns as, and those that their first rows stand for."""
    import pyarrow as pa

    if batch is None:
        empty = dict.fromkeys(names, pa.float64())
        return empty, empty
    types, kinds = {}, {}
    for field, column in zip(batch.schema, batch.columns, strict=True):
        # Nothing in the first rows: numbers, if anything follows.
        types[field.name] = pa.float64() if pa.types.is_null(field.type) else field.type
        is_text = pa.types.is_string(field.type)
        kinds[field.name] = _kind_of_text(column) if is_text else types[field.name]
    return types, kinds


def _kind_of_text(column: pa.Array) -> pa.DataType:
    """Lists of numbers as data frames write them, numbers with a word among them, or text."""
    import pyarrow as pa

    texts = column.drop_null()[:64].to_pylist()
    if texts and all(_NUMBER_LIST.fullmatch(text) for text in texts[:16]):
        return pa.list_(pa.float64())
    numbers = sum(map(_is_number, texts))
    return pa.float64() if numbers > len(texts) / 2 else pa.string()


def _numbers_in(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Text as numbers: whole ones if all are, so that stamps in ns keep their last digits."""
    import pyarrow as pa
    import pyarrow.compute as pc

    text = pc.utf8_trim_whitespace(column)
    is_number = pc.match_substring_regex(text, r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$")
    numbers = pc.if_else(is_number, text, pa.scalar(None, pa.string()))
    if pc.all(pc.match_substring_regex(numbers, r"^-?\d{1,19}$")).as_py():
        try:
            return numbers.cast(pa.int64())
        except pa.ArrowInvalid:
            pass  # more than 64 bits hold
    return numbers.cast(pa.float64())


def _lists(column: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow as pa

    def parsed(text: str | None) -> list[float] | None:
        if text is None or not _NUMBER_LIST.fullmatch(text):
            return None
        try:
            return [float(number) for number in re.split(r"[\s,]+", text.strip("[] \t")) if number]
        except ValueError:
            return None

    return pa.chunked_array(
        [pa.array([parsed(text) for text in chunk.to_pylist()]) for chunk in column.chunks],
        pa.list_(pa.float64()),
    )


def _is_row(line: str) -> bool:
    return _is_number(re.split(f"[{_DELIMITERS}]", line)[0])


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return bool(np.isfinite(float(text)))


def _ends_with_line(path: Path) -> bool:
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - 1))
        return stream.read(1) in (b"\n", b"\r")
