"""Aligned rows as one parquet file, byte-identical for equal frames.

Columns: ``row.time_ns`` int64, ``row.segment`` int32, every feature under its own key
as a flat fixed-size list, ``<camera feature>.picture_id`` and ``<camera feature>.age_ns`` int64.
What is not per row (fps, shapes, names, camera streams, the report) is JSON in the schema's
metadata. Nothing in the file tells when or where it was written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.intake import IntakeCode, IntakeEntry, Severity
from lerobot_pipelines.model import AlignedFrames, AlignmentReport

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

FORMAT_VERSION = 1
METADATA_KEY = b"lerobot_pipelines.aligned_frames"
# Encoder and decoder hold a row group several times over; action chunks make wide rows.
ROW_GROUP_BYTES = 4 << 20


def write_frames(frames: AlignedFrames, path: Path) -> None:
    """Write the frames to a new file (or over an old one) at ``path``."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = _columns(frames)
    schema = pa.schema(
        [(name, _column_type(values)) for name, values in columns.items()],
        metadata={METADATA_KEY: _description(frames)},
    )
    rows = len(frames.row_times_ns)
    bytes_per_row = sum(values.nbytes for values in columns.values()) // max(1, rows)
    step = max(1, ROW_GROUP_BYTES // bytes_per_row) if bytes_per_row else 1
    with pq.ParquetWriter(
        path, schema, version="2.6", compression="zstd", use_dictionary=False
    ) as writer:
        for start in range(0, rows, step):
            group = [_column(values[start : start + step]) for values in columns.values()]
            writer.write_table(pa.table(group, schema=schema), row_group_size=step)


def read_frames(path: Path) -> AlignedFrames:
    """Read what ``write_frames`` wrote. Raises ``Refused`` (corrupt_artifact) for anything else."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            about = json.loads((file.schema_arrow.metadata or {})[METADATA_KEY])
            if about["version"] != FORMAT_VERSION:
                raise ValueError(f"format version {about['version']} is not {FORMAT_VERSION}")
            return _frames(file, about)
    except (pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise Refused(
            Reason.CORRUPT_ARTIFACT,
            f"{path.name} is no file of aligned rows ({type(error).__name__}: {error}); "
            "align the episode again",
        ) from error


def _columns(frames: AlignedFrames) -> dict[str, NDArray[Any]]:
    columns: dict[str, NDArray[Any]] = {
        "row.time_ns": frames.row_times_ns,
        "row.segment": frames.segments,
        **frames.features,
    }
    for key, ids in frames.pictures.items():
        columns[f"{key}.picture_id"] = ids
        columns[f"{key}.age_ns"] = frames.picture_ages_ns[key]
    return columns


def _description(frames: AlignedFrames) -> bytes:
    recorded = {key: list(names) for key, names in frames.recorded_names.items()}
    about = {
        "version": FORMAT_VERSION,
        "fps": frames.fps,
        "features": {
            key: {"dtype": values.dtype.name, "shape": values.shape[1:]}
            for key, values in frames.features.items()
        },
        "feature_names": {key: list(names) for key, names in frames.feature_names.items()},
        **({"recorded_names": recorded} if recorded else {}),
        "cameras": dict(frames.picture_streams),
        "report": asdict(frames.report),
    }
    return json.dumps(about, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()


def _frames(file: pq.ParquetFile, about: Mapping[str, Any]) -> AlignedFrames:
    rows = file.metadata.num_rows
    fixed = {"row.time_ns": np.empty(rows, np.int64), "row.segment": np.empty(rows, np.int32)}
    features = {
        key: np.empty((rows, *feature["shape"]), np.dtype(feature["dtype"]))
        for key, feature in about["features"].items()
    }
    ids = {key: np.empty(rows, np.int64) for key in about["cameras"]}
    ages = {key: np.empty(rows, np.int64) for key in about["cameras"]}
    columns: dict[str, NDArray[Any]] = {**fixed, **features}
    columns |= {f"{key}.picture_id": values for key, values in ids.items()}
    columns |= {f"{key}.age_ns": values for key, values in ages.items()}
    start = 0
    for group in range(file.num_row_groups):
        table = file.read_row_group(group)
        stop = start + table.num_rows
        for name, values in columns.items():
            target = values[start:stop]
            target[...] = _values(table.column(name)).reshape(target.shape)
        start = stop
    return AlignedFrames(
        fps=about["fps"],
        row_times_ns=fixed["row.time_ns"],
        segments=fixed["row.segment"],
        features=features,
        feature_names={key: tuple(names) for key, names in about["feature_names"].items()},
        pictures=ids,
        picture_ages_ns=ages,
        picture_streams=about["cameras"],
        report=_report(about["report"]),
        recorded_names={
            key: tuple(names) for key, names in about.get("recorded_names", {}).items()
        },
    )


def _report(about: Mapping[str, Any]) -> AlignmentReport:
    found = [
        IntakeEntry(
            **{
                **entry,
                "code": IntakeCode(entry["code"]),
                "severity": Severity(entry["severity"]),
            }
        )
        for entry in about.get("intake", ())
    ]
    return AlignmentReport(**{**about, "intake": tuple(found)})


def _column_type(values: NDArray[Any]) -> pa.DataType:
    import pyarrow as pa

    element = pa.from_numpy_dtype(values.dtype)
    return element if values.ndim == 1 else pa.list_(element, int(np.prod(values.shape[1:])))


def _column(values: NDArray[Any]) -> pa.Array:
    import pyarrow as pa

    flat = pa.array(np.ascontiguousarray(values).reshape(-1))
    if values.ndim == 1:
        return flat
    return pa.FixedSizeListArray.from_arrays(flat, int(np.prod(values.shape[1:])))


def _values(column: pa.ChunkedArray) -> NDArray[Any]:
    import pyarrow as pa

    array = column.combine_chunks()
    if pa.types.is_fixed_size_list(array.type):
        array = array.flatten()
    values: NDArray[Any] = array.to_numpy(zero_copy_only=False)
    return values
