"""Pictures that are numbered: the rate or the stamps file that gives them their moments."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.intake import IntakeCode, IntakeEntry, Severity
from lerobot_pipelines.recordings.numbered_pictures import numbers_of, stamps_by_rate
from lerobot_pipelines_tests.recordings.folders import KEY, Folder, config, jpeg

START_NS = 1_764_167_571_000_000_000
PERIOD_NS = 40_000_000


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path)
    folder.arm("left")  # 40 samples at 25 Hz
    return folder


def _numbered(folder: Folder, numbers: Sequence[int]) -> None:
    for number in numbers:
        folder.picture("cam", f"frame_{number:06d}.jpg", jpeg(number))


def _told(folder: Folder, **camera: object) -> list[IntakeEntry]:
    recording = folder.open(config(cameras=[{"name": "cam", **camera}]))
    return [entry for entry in recording.intake if entry.code is IntakeCode.NAME_FORM]


def _stamps(folder: Folder, **camera: object) -> list[int]:
    recording = folder.open(config(cameras=[{"name": "cam", **camera}]))
    pictures = list(recording.pictures({"cam": np.arange(recording.streams["cam"].count)}))
    assert [p.stamp_ns for p in pictures] == recording.timestamps("cam").tolist()
    return recording.timestamps("cam").tolist()


def test_a_rate_and_a_start_give_each_number_its_moment(folder: Folder) -> None:
    _numbered(folder, [0, 1, 2, 5])
    found = _stamps(folder, rate_hz=25, start_s=START_NS / 1e9)
    assert found == [START_NS + k * PERIOD_NS for k in (0, 1, 2, 5)]
    (entry,) = _told(folder, rate_hz=25, start_s=START_NS / 1e9)
    assert entry.severity is Severity.NOTE


def test_without_a_start_they_begin_with_the_joints_and_that_is_a_warning(folder: Folder) -> None:
    _numbered(folder, range(1, 41))
    assert _stamps(folder, rate_hz=25) == [START_NS + k * PERIOD_NS for k in range(40)]
    (entry,) = _told(folder, rate_hz=25)
    assert entry.severity is Severity.WARNING
    assert "start_s" in entry.message and "left" in entry.message


@pytest.mark.parametrize("rate", [5, 20, 30])
def test_joints_that_last_longer_or_shorter_did_not_begin_together(
    folder: Folder, rate: int
) -> None:
    _numbered(folder, range(40))
    with pytest.raises(Refused, match=r"40 pictures.*left lasts 1\.560 s.*start_s") as refusal:
        folder.open(config(cameras=[{"name": "cam", "rate_hz": rate}]))
    assert refusal.value.reason is Reason.COUNT_MISMATCH


def test_numbers_that_begin_anywhere_have_no_beginning(folder: Folder) -> None:
    _numbered(folder, range(37, 77))
    with pytest.raises(Refused, match="lowest number of its pictures is 37") as refusal:
        folder.open(config(cameras=[{"name": "cam", "rate_hz": 25}]))
    assert refusal.value.reason is Reason.BAD_STAMPS


def test_a_rate_is_not_used_where_names_are_moments(folder: Folder) -> None:
    folder.camera("cam", 10)
    assert _stamps(folder, rate_hz=25, start_s=0.0) == [START_NS + k * PERIOD_NS for k in range(10)]


def _rows(numbers: Sequence[int]) -> list[int]:
    return [START_NS + k * PERIOD_NS for k in numbers]


def _write(folder: Folder, columns: dict[str, object], suffix: str) -> None:
    path = folder.root / "images" / KEY / "cam" / f"stamps{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    if suffix == ".parquet":
        pq.write_table(pa.table(columns), path)
    else:
        pa.csv.write_csv(pa.table(columns), path)


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
@pytest.mark.parametrize(
    ("numbers", "columns", "expected"),
    [
        ([0, 1, 2], {"timestamp": _rows([0, 1, 2])}, [0, 1, 2]),
        ([0, 1, 3], {"timestamp": _rows([0, 1, 2, 3])}, [0, 1, 3]),  # a row per number
        ([0, 1, 3, 4], {"timestamp": _rows([0, 1, 3, 4])}, [0, 1, 3, 4]),  # a row per picture
        ([7, 8, 9], {"timestamp": _rows([4, 5, 6])}, [4, 5, 6]),
        ([1, 2, 3], {"frame": [3, 1, 2], "timestamp": _rows([6, 4, 5])}, [4, 5, 6]),
        (
            [1, 2, 3],
            {
                "file": ["cam/frame_000003.jpg", "frame_000001.jpg", "frame_000002"],
                "timestamp": _rows([6, 4, 5]),
            },
            [4, 5, 6],
        ),
    ],
)
def test_a_stamps_file_gives_each_picture_its_row(
    folder: Folder, numbers: list[int], columns: dict[str, object], expected: list[int], suffix: str
) -> None:
    _numbered(folder, numbers)
    _write(folder, columns, suffix)
    assert _stamps(folder) == _rows(expected)
    assert folder.open().timestamps("cam").tolist() == _rows(expected)


@pytest.mark.parametrize(
    ("numbers", "columns", "reason"),
    [
        ([0, 1, 2], {"timestamp": _rows([0, 1])}, Reason.COUNT_MISMATCH),
        ([5, 6, 8], {"timestamp": _rows([5, 6, 7, 8])}, Reason.COUNT_MISMATCH),
        ([0, 1, 3, 4, 5], {"timestamp": _rows([0, 1, 2, 4, 5])}, Reason.COUNT_MISMATCH),
        ([0, 1, 2], {"timestamp": _rows([0, 2, 1])}, Reason.BAD_STAMPS),
        (
            [0, 1],
            {"file": ["frame_000000.jpg", "x"], "timestamp": _rows([0, 1])},
            Reason.COUNT_MISMATCH,
        ),
    ],
)
def test_a_stamps_file_that_does_not_fit_is_refused_with_both_counts(
    folder: Folder, numbers: list[int], columns: dict[str, object], reason: Reason
) -> None:
    _numbered(folder, numbers)
    _write(folder, columns, ".csv")
    with pytest.raises(Refused, match=r"camera cam.*stamps\.csv") as refusal:
        folder.open(config())
    assert refusal.value.reason is reason


def test_a_stamps_file_that_was_cut_off_is_refused(folder: Folder) -> None:
    _numbered(folder, range(3))
    _write(folder, {"timestamp": _rows(range(3))}, ".csv")
    path = folder.root / "images" / KEY / "cam" / "stamps.csv"
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(Refused, match="cut off") as refusal:
        folder.open(config())
    assert refusal.value.reason is Reason.BAD_STAMPS


def test_names_that_are_no_numbers_need_a_column_of_names(folder: Folder) -> None:
    for name in ("a.jpg", "b.jpg"):
        folder.picture("cam", name)
    _write(folder, {"timestamp": _rows([0, 1])}, ".csv")
    with pytest.raises(Refused, match="neither moments nor numbers"):
        folder.open(config())
    _write(folder, {"timestamp": _rows([1, 0]), "name": ["b", "a"]}, ".csv")
    recording = folder.open(config())
    files = [member.path[-5:] for member in recording._cameras["cam"].members]
    assert files == ["a.jpg", "b.jpg"]


def test_a_stamps_file_beside_moments_is_not_used_and_said(folder: Folder) -> None:
    folder.camera("cam", 5)
    _write(folder, {"timestamp": _rows(range(3))}, ".csv")
    recording = folder.open(config())
    assert recording.streams["cam"].count == 5
    assert any(e.code is IntakeCode.UNUSED and "stamps.csv" in e.message for e in recording.intake)


@given(
    st.sets(st.integers(0, 10_000), min_size=1, max_size=50),
    st.sampled_from(["{}", "cam2_{:06d}", "{:04d}_left"]),
)
def test_numbers_are_found_in_any_name(numbers: set[int], form: str) -> None:
    found = numbers_of([form.format(number) for number in numbers])
    if len(numbers) == 1 and form == "cam2_{:06d}":
        assert found is None  # either of both could be it
    else:
        assert found is not None and found.values.tolist() == list(numbers)


@given(st.integers(1, 10**6), st.floats(0.5, 1000), st.integers(0, 4 * 10**18))
def test_rates_are_exact_to_the_nanosecond(number: int, rate: float, start: int) -> None:
    from fractions import Fraction

    found = numbers_of(["f_0", f"f_{number}"])
    assert found is not None
    stamps = stamps_by_rate(found, rate, start, "x")
    exact = start + Fraction(number) * 10**9 / Fraction(rate)
    assert abs(int(stamps[1]) - exact) <= max(1, number // 10**5)
