"""Columns of Arrow tables as arrays: what each holds, exact stamps, values side by side."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.model import Stamps, Vectors
from lerobot_pipelines.recordings.columns import Column, ColumnKind, Selection
from lerobot_pipelines.recordings.stamps import Numbers

if TYPE_CHECKING:
    import pyarrow as pa


def columns_of(schema: pa.Schema) -> Iterator[Column]:
    """What each column is for; those of structures by the names of their fields, with dots."""
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


def numbers_of(column: pa.ChunkedArray) -> Numbers:
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


def stamps_of_moments(column: pa.ChunkedArray) -> tuple[Stamps, NDArray[np.bool_]]:
    """Dates as stamps in ns (n,), 0 where there is none, and which there are."""
    import pyarrow as pa
    import pyarrow.compute as pc

    usable = pc.is_valid(column).to_numpy().astype(np.bool_)
    moments = column.cast(pa.timestamp("ns", column.type.tz), safe=False)
    return moments.cast(pa.int64()).fill_null(0).to_numpy(), usable


def side_by_side(
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
