"""The data parquet of both formats: columns, Arrow types and the schema metadata of ``datasets``.

Types are those that lerobot's own recorder leaves behind: a scalar for shape (1,), a fixed size
list for (n,), nested lists with the ``datasets`` extension metadata for more dimensions.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.config.schema import Format
from lerobot_pipelines.datasets.features import DEFAULT_FEATURES
from lerobot_pipelines.datasets.records import FeatureRecord
from lerobot_pipelines.datasets.stamping import parquet_stamp

if TYPE_CHECKING:
    import pyarrow as pa

Columns = Mapping[str, NDArray[Any]]

# How `datasets` calls a fixed size list: 4.0 renamed it; only the newer reads v3.0.
_LIST_TYPE = {Format.V21: "Sequence", Format.V30: "List"}

_ROW_GROUP_ROWS = 1000  # of v2.1; v3.0 has one row group per episode


def data_schema(features: Mapping[str, FeatureRecord], fmt: Format, stamp: int = 0) -> pa.Schema:
    """Of the features that are no videos, and the five defaults; ``stamp``: see ``stamping``."""
    import pyarrow as pa

    columns = {name: one for name, one in features.items() if one.dtype != "video"}
    columns |= DEFAULT_FEATURES
    described = {name: _described(one, fmt) for name, one in columns.items()}
    return pa.schema(
        [_field(name, one) for name, one in columns.items()],
        metadata={
            b"huggingface": json.dumps({"info": {"features": described}}).encode(),
            **parquet_stamp(stamp),
        },
    )


def write_data(path: Path, schema: pa.Schema, episodes: Iterable[Columns], fmt: Format) -> None:
    """Write the rows of consecutive episodes; each column is (rows, *shape) or (rows,)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetWriter(path, schema, compression="snappy", version="2.6") as writer:
        for columns in episodes:
            arrays = [_array(columns[field.name], field.type) for field in schema]
            table = pa.Table.from_arrays(arrays, schema=schema)
            rows = _ROW_GROUP_ROWS if fmt is Format.V21 else max(table.num_rows, 1)
            writer.write_table(table, row_group_size=rows)


def row_bytes(features: Mapping[str, FeatureRecord]) -> int:
    """Uncompressed size of one row: an upper bound of what it takes in a file."""
    columns = [one for one in features.values() if one.dtype != "video"]
    columns += DEFAULT_FEATURES.values()
    return sum(np.dtype(one.dtype).itemsize * int(np.prod(one.shape)) for one in columns)


def _field(name: str, feature: FeatureRecord) -> pa.Field:
    import pyarrow as pa

    value = pa.type_for_alias(feature.dtype)
    if feature.shape == (1,):
        return pa.field(name, value)
    if len(feature.shape) == 1:
        return pa.field(name, pa.list_(value, feature.shape[0]))
    type_ = value
    for _ in feature.shape:
        type_ = pa.list_(type_)
    extension = f"datasets.features.features.Array{len(feature.shape)}DExtensionType"
    metadata = {
        "ARROW:extension:name": extension,
        "ARROW:extension:metadata": json.dumps([list(feature.shape), feature.dtype]),
    }
    return pa.field(name, type_, metadata=metadata)


def _described(feature: FeatureRecord, fmt: Format) -> dict[str, Any]:
    value = {"dtype": feature.dtype, "_type": "Value"}
    if feature.shape == (1,):
        return value
    if len(feature.shape) == 1:
        return {"feature": value, "length": feature.shape[0], "_type": _LIST_TYPE[fmt]}
    return {
        "shape": list(feature.shape),
        "dtype": feature.dtype,
        "_type": f"Array{len(feature.shape)}D",
    }


def _array(values: NDArray[Any], type_: pa.DataType) -> pa.Array:
    import pyarrow as pa

    if pa.types.is_fixed_size_list(type_):
        flat = pa.array(np.ascontiguousarray(values).reshape(-1), type_.value_type)
        return pa.FixedSizeListArray.from_arrays(flat, type=type_)
    if not pa.types.is_list(type_):
        return pa.array(np.ascontiguousarray(values).reshape(-1), type_)
    levels = []
    while pa.types.is_list(type_):
        levels.append(type_)
        type_ = type_.value_type
    array = pa.array(np.ascontiguousarray(values).reshape(-1), type_)
    for axis, level in reversed(list(enumerate(levels, start=1))):
        width = values.shape[axis]
        offsets = np.arange(0, len(array) + 1, width, dtype=np.int32)
        array = pa.ListArray.from_arrays(pa.array(offsets), array, type=level)
    return array
