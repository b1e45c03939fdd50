"""The rows that a text asks for, found slowly from the recorded files and the text alone.

Neither the configuration loader nor the readers nor the alignment of the package take part: the
text is read by PyYAML, the recording by pyarrow and Pillow, rows come from the loops of
``alignment.reference``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.recordings.synth import read_barcode
from lerobot_pipelines_tests.alignment import fakes
from lerobot_pipelines_tests.alignment.reference import align_slowly


@dataclass(frozen=True)
class Rows:
    """``values``: feature -> one array per row; ``barcodes``: camera -> the picture of each row."""

    values: Mapping[str, list[Any]]
    barcodes: Mapping[str, list[int]]


def expected_rows(
    recording: Path, robot: Mapping[str, Any], strategy: str | None = None, **alignment: Any
) -> Rows:
    """What ``robot`` (a strategy file's content) makes of a recording of the flat layout.

    ``strategy`` and ``alignment`` replace those of the file, as options of a command line do.
    """
    cameras = {one["name"]: _pictures(recording / one["name"]) for one in robot["cameras"]}
    arms = {one["name"]: _samples(recording / one["file"]) for one in robot["robot"]["arms"]}
    memory = fakes.MemoryRecording(
        {name: stamps for name, (stamps, _) in cameras.items()},
        {name: (stamps, values) for name, (stamps, values) in arms.items()},
    )
    found = align_slowly(memory, _config(robot, strategy, alignment))
    return Rows(
        found.features,
        {
            name: [codes[picture] for picture in found.pictures[f"observation.images.{name}"]]
            for name, (_, codes) in cameras.items()
        },
    )


def _config(
    robot: Mapping[str, Any], strategy: str | None, changes: Mapping[str, Any]
) -> DatasetConfig:
    base = next(one for one in robot["cameras"] if one["role"] == "base")
    alignment = {**robot["alignment"], **changes}
    if strategy is not None:
        alignment["strategy"] = strategy
    names = [arm["name"] for arm in robot["robot"]["arms"]]
    slaves = [name for name in names if name.endswith("_slave")]
    masters = [name for name in names if name.endswith("_master")]
    filtering = {key: value for key, value in robot["filtering"].items() if key.startswith("min")}
    return fakes.config(
        cameras=tuple(
            fakes.camera(one["name"], role=one["role"], target_fps=one["target_fps"])
            for one in robot["cameras"]
        ),
        streams=tuple(fakes.stream(name) for name in names),
        features={
            "observation.state": fakes.feature(*slaves),
            "action": fakes.feature(*masters, chunk=True),
        },
        fps=base["target_fps"],
        filtering=filtering,
        **alignment,
    )


def _pictures(folder: Path) -> tuple[list[int], list[int]]:
    """Stamps in ns, and what the picture of each shows."""
    files = sorted(folder.glob("*.jpg"), key=lambda path: int(path.stem))
    codes = [read_barcode(np.asarray(Image.open(path).convert("RGB"))) for path in files]
    return [int(path.stem) * 1000 for path in files], codes


def _samples(file: Path) -> tuple[list[int], list[list[float]]]:
    rows = pq.read_table(file).to_pylist()
    stamp, *joints = rows[0]
    return [row[stamp] * 1000 for row in rows], [[row[name] for name in joints] for row in rows]


def dataset_rows(root: Path, cameras: list[str]) -> Rows:
    """Every row of a written dataset of either format, its pictures decoded."""
    rows = [
        row
        for file in sorted(root.glob("data/*/*.parquet"))
        for row in pq.read_table(file).to_pylist()
    ]
    values: dict[str, list[Any]] = {}
    for row in rows:
        for key, value in row.items():
            values.setdefault(key, []).append(value)
    return Rows(values, {name: _decoded(root, name) for name in cameras})


def _decoded(root: Path, camera: str) -> list[int]:
    codes = []
    for file in sorted(root.glob(f"videos/**/observation.images.{camera}/**/*.mp4")):
        with av.open(str(file)) as container:
            codes += [read_barcode(f.to_ndarray(format="rgb24")) for f in container.decode(video=0)]
    return codes


def assert_equal(written: Rows, wanted: Rows) -> None:
    """The same rows: every number (to float32, which is what is stored) and every picture."""
    for name, codes in wanted.barcodes.items():
        assert written.barcodes[name] == codes, name
    for key, values in wanted.values.items():
        expected = np.asarray(values)
        expected = expected if expected.dtype == bool else expected.astype(np.float32)
        got = np.asarray(written.values[key]).reshape(expected.shape)
        np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-7, err_msg=key)
    assert len(next(iter(wanted.values.values()))) > 20
