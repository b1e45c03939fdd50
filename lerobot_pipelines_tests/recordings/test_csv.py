"""Joints as CSV: read by the same rules as parquet, damage counted, other formats named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.intake import IntakeCode, Severity
from lerobot_pipelines.recordings.csv_file import CsvFile
from lerobot_pipelines_tests.recordings.folders import KEY, START_US, Folder, arm_columns, config

START_NS = START_US * 1000


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def _write(folder: Folder, text: str | bytes, name: str = "left.csv") -> Path:
    path = folder.root / "joints" / KEY / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def _rows(*values: str) -> str:
    return "".join(f"{START_NS + k * 10_000_000},{value}\n" for k, value in enumerate(values))


def test_the_same_numbers_come_out_of_csv_and_parquet(folder: Folder) -> None:
    columns = arm_columns(200)
    folder.arm("left", columns)
    expected = folder.open()
    other = Folder(folder.root / "csv")
    path = _write(other, "")
    pa.csv.write_csv(pa.table(columns), path)
    found = other.open()
    assert found.timestamps("left").tolist() == expected.timestamps("left").tolist()
    np.testing.assert_array_equal(found.vectors("left"), expected.vectors("left"))
    assert found.streams["left"].element_names == expected.streams["left"].element_names
    configured = other.open(config(cameras=()))
    np.testing.assert_array_equal(configured.vectors("left"), expected.vectors("left"))


@settings(max_examples=40)
@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False, width=64), min_size=1, max_size=30),
    st.sampled_from([",", ";", "\t"]),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["", "\ufeff", "# recorded by hand\n"]),
)
def test_numbers_are_read_exactly(
    tmp_path_factory: pytest.TempPathFactory,
    values: list[float],
    delimiter: str,
    newline: str,
    start: str,
) -> None:
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    lines = [f"timestamp{delimiter}joint_1"]
    lines += [f"{START_NS + k}{delimiter}{value!r}" for k, value in enumerate(values)]
    path.write_bytes((start + newline.join(lines) + newline).encode())
    samples = CsvFile(path, "a.csv").samples(None)
    assert samples.stamps.tolist() == [START_NS + k for k in range(len(values))]
    assert samples.values[:, 0].tolist() == values


def test_plotjuggler_and_rostopic_are_understood(folder: Folder) -> None:
    head = "%time,field.header.seq,field.header.stamp,field.name0,field.position0,field.velocity0\n"
    rows = "".join(f"{START_NS + k},{k},{START_NS + k},elbow,{k / 10},9\n" for k in range(5))
    _write(folder, head + rows)
    recording = folder.open()
    assert recording.vectors("left").tolist() == [[0.0], [0.1], [0.2], [0.3], [0.4]]
    assert recording.timestamps("left")[1] == START_NS + 1
    (entry,) = [e for e in recording.intake if e.code is IntakeCode.UNUSED]
    assert entry.severity is Severity.NOTE
    assert set(entry.details["columns"]) == {
        *("field.header.seq", "field.header.stamp", "field.name0", "field.velocity0")
    }
    _write(folder, f"__time,/arm/elbow/position\n{_rows('1', '2')}")
    assert folder.open().vectors("left").tolist() == [[1.0], [2.0]]


def test_lists_written_as_text_are_lists(folder: Folder) -> None:
    _write(folder, "timestamp,joint_positions,mode\n" + _rows('"[1, 2.5]",a', '"[3 4]",b', ",c"))
    recording = folder.open()
    assert recording.vectors("left").tolist() == [[1.0, 2.5], [3.0, 4.0]]
    assert [(f.reason, f.count) for f in recording.faults] == [("wrong_length", 1)]


def test_words_among_numbers_are_missing_values_wherever_they_stand(folder: Folder) -> None:
    for at in (3, 90_000):
        values = [str(k) for k in range(100_000)]
        values[at] = "error"
        _write(folder, "timestamp,joint_1\n" + _rows(*values))
        recording = folder.open()
        assert len(recording.vectors("left")) == 99_999
        assert [(f.reason, f.count) for f in recording.faults] == [("non_finite", 1)]
        # Whole stamps keep their last digits.
        assert recording.timestamps("left")[-1] == START_NS + 99_999 * 10_000_000


def test_rows_cut_off_are_left_out_and_counted(folder: Folder) -> None:
    text = "timestamp,joint_1,joint_2\n" + _rows("1,2", "3", "5,6", "7,8.1234")
    _write(folder, text[:-4])  # the last number lacks digits, and nothing but the end shows it
    recording = folder.open()
    assert recording.vectors("left").tolist() == [[1.0, 2.0], [5.0, 6.0]]
    assert [(f.reason, f.count) for f in recording.faults] == [("wrong_length", 2)]
    with pytest.raises(Refused, match="2 of 4 rows") as refusal:
        folder.open(config(cameras=()))
    assert refusal.value.reason is Reason.MISSING_FIELD


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"1764167571,0\n1764167572,1\n", "names of its columns"),
        (b"no columns at all\n1\n", "no column of numbers or dates named like a time"),
        ("timestamp,joint_1\n".encode("utf-16"), "UTF-8"),
        (b"timestamp,a,a\n1,2,3\n", 'several columns called "a"'),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 9\n", "git-lfs"),
    ],
)
def test_what_is_no_csv_file_is_refused_by_name(
    folder: Folder, content: bytes, message: str
) -> None:
    _write(folder, content)
    with pytest.raises(Refused, match=message) as refusal:
        folder.open(config(cameras=()))
    assert "left.csv" in refusal.value.message


def test_a_copy_as_csv_is_left_to_the_parquet_file(folder: Folder) -> None:
    folder.arm("left")
    _write(folder, "timestamp,joint_1\n" + _rows("1"))
    recording = folder.open()
    assert list(recording.streams) == ["left"]
    assert recording.streams["left"].dimension == 3
    assert [fault.reason for fault in recording.faults] == ["second_format"]


def test_other_formats_are_named_where_joints_are_looked_for(folder: Folder) -> None:
    folder.camera("cam", 5)
    _write(folder, b"\x89HDF\r\n\x1a\n", "left.hdf5")
    recording = folder.open()
    (entry,) = [e for e in recording.intake if e.code is IntakeCode.UNREAD]
    assert "left.hdf5 is HDF5" in entry.message
    assert entry.severity is Severity.WARNING
    with pytest.raises(Refused, match=r"no joints file left\.parquet.*left\.hdf5"):
        folder.open(config())
