from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lerobot_pipelines.alignment import align, files, read_frames, write_frames
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.model import AlignedFrames
from lerobot_pipelines_tests.alignment.fakes import (
    MS,
    MemoryRecording,
    camera,
    clock,
    config,
    feature,
)


def some_frames() -> AlignedFrames:
    """Two segments, chunks, masks, two cameras, a name that is not ASCII."""
    arm = clock(100, 3)
    arm = arm[(arm <= 1000 * MS) | (arm >= 1800 * MS)]
    samples = np.random.default_rng(0).normal(size=(len(arm), 3))
    recording = MemoryRecording(
        {"cam": clock(10, 3), "side": clock(25, 3)}, {"arm": (arm, samples)}
    )
    names = {"stream": "arm", "names": ("schulter", "ellenbögen", "手腕")}
    return align(
        recording,
        config(
            cameras=(camera(), camera("side")),
            features={"observation.state": feature(names), "action": feature("arm", chunk=True)},
            strategy="chunking",
            chunk_size=5,
            filtering={"gap_policy": "split"},
        ),
    )


def assert_equal(one: AlignedFrames, other: AlignedFrames) -> None:
    assert one.fps == other.fps
    assert one.report == other.report
    assert one.picture_streams == other.picture_streams
    assert {k: tuple(v) for k, v in one.feature_names.items()} == {
        k: tuple(v) for k, v in other.feature_names.items()
    }
    for a, b in (
        ({"times": one.row_times_ns}, {"times": other.row_times_ns}),
        ({"segments": one.segments}, {"segments": other.segments}),
        (one.features, other.features),
        (one.pictures, other.pictures),
        (one.picture_ages_ns, other.picture_ages_ns),
    ):
        assert list(a) == list(b)
        for key, values in a.items():
            assert values.dtype == b[key].dtype
            np.testing.assert_array_equal(values, b[key])


def test_frames_come_back_as_they_were_written(tmp_path: Path) -> None:
    frames = some_frames()
    assert frames.segments.max() == 1
    write_frames(frames, tmp_path / "aligned.parquet")
    assert_equal(read_frames(tmp_path / "aligned.parquet"), frames)


def test_equal_frames_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_frames(some_frames(), tmp_path / name)
    write_frames(read_frames(tmp_path / "one"), tmp_path / "three")
    assert len({(tmp_path / name).read_bytes() for name in ("one", "two", "three")}) == 1


def test_row_groups_are_bounded_and_seamless(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "ROW_GROUP_BYTES", 1000)
    frames, path = some_frames(), tmp_path / "aligned.parquet"
    write_frames(frames, path)
    assert pq.ParquetFile(path).num_row_groups == 3
    assert_equal(read_frames(path), frames)


def test_any_parquet_reader_sees_the_columns(tmp_path: Path) -> None:
    frames, path = some_frames(), tmp_path / "aligned.parquet"
    write_frames(frames, path)
    table = pq.read_table(path)
    assert table.num_rows == len(frames.row_times_ns)
    assert table["row.time_ns"].to_pylist() == frames.row_times_ns.tolist()
    assert table["observation.state"][0].as_py() == frames.features["observation.state"][0].tolist()
    assert "observation.images.side.picture_id" in table.column_names


@pytest.mark.parametrize("content", [b"", b"no parquet", b"PAR1PAR1"])
def test_what_is_no_such_file_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "aligned.parquet"
    path.write_bytes(content)
    with pytest.raises(Refused, match=r"aligned\.parquet") as refusal:
        read_frames(path)
    assert refusal.value.reason is Reason.CORRUPT_ARTIFACT


def test_another_parquet_or_a_truncated_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "aligned.parquet"
    pq.write_table(pa.table({"x": [1]}), path)
    with pytest.raises(Refused):
        read_frames(path)
    write_frames(some_frames(), path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(Refused):
        read_frames(path)
