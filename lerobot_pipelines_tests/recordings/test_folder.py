"""Pictures, missing parts and stray files of folder recordings."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from lerobot_pipelines.errors import ContentChanged, Reason, Refused
from lerobot_pipelines.model import StreamKind
from lerobot_pipelines.recordings import report_streams
from lerobot_pipelines_tests.recordings.folders import (
    KEY,
    START_US,
    Folder,
    config,
    jpeg,
    png,
    stamps_us,
)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path)
    folder.arm("left")
    return folder


def _faults(folder: Folder) -> dict[str, int]:
    return {fault.reason: fault.count for fault in folder.open(config()).faults}


def test_pictures_of_all_cameras_come_in_the_order_of_time(folder: Folder) -> None:
    folder.camera("cam", 10, 25.0)
    folder.camera("cam_fast", 12, 30.0)
    recording = folder.open(config(cameras=("cam", "cam_fast")))
    wanted = {"cam_fast": np.array([0, 3, 11]), "cam": np.array([1, 2, 9])}
    pictures = list(recording.pictures(wanted))
    assert {(p.stream, p.id) for p in pictures} == {
        *(("cam_fast", 0), ("cam_fast", 3), ("cam_fast", 11), ("cam", 1), ("cam", 2), ("cam", 9))
    }
    assert all(a.stamp_ns <= b.stamp_ns for a, b in pairwise(pictures))
    assert all(p.stamp_ns == recording.timestamps(p.stream)[p.id] for p in pictures)
    assert list(recording.pictures({})) == []
    assert list(recording.pictures({"cam": np.array([], np.int64)})) == []


def test_pictures_are_sorted_by_number_not_by_name(folder: Folder) -> None:
    for shade, stem in enumerate(["999999999.9", "1000000000.1", "1764167571"]):
        folder.picture("cam", f"{stem}.jpg", jpeg(shade))
    recording = folder.open(config())
    assert recording.timestamps("cam").tolist() == [
        *(999_999_999_900_000_000, 1_000_000_000_100_000_000, 1_764_167_571_000_000_000)
    ]
    shades = [picture.data for picture in recording.pictures({"cam": np.arange(3)})]
    assert shades == [jpeg(0), jpeg(1), jpeg(2)]


def test_pictures_that_share_a_moment_count_once(folder: Folder) -> None:
    folder.camera("cam", 30)
    folder.picture("cam", f"{START_US}.jpeg")
    folder.picture("cam", f"000{START_US}.jpg")
    recording = folder.open(config())
    assert recording.streams["cam"].count == 30
    assert _faults(folder) == {"duplicate_stamp": 2}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (jpeg()[:-20], "truncated"),
        (jpeg()[:-20] + b"\0" * 4096, "truncated"),
        (png()[:-8], "truncated"),
        (b"<html>404 not found</html>", "not_a_picture"),
        (b"\0" * 2000, "not_a_picture"),
        (b"\xff", "not_a_picture"),
    ],
)
def test_a_damaged_picture_is_left_out(folder: Folder, data: bytes, reason: str) -> None:
    paths = folder.camera("cam", 40)
    paths[7].write_bytes(data)
    recording = folder.open(config())
    assert recording.streams["cam"].count == 39
    assert stamps_us(40)[7] * 1000 not in recording.timestamps("cam")
    fault = recording.faults[0]
    assert (fault.stream, fault.reason, fault.count) == ("cam", reason, 1)
    assert fault.where.endswith(paths[7].name)


def test_too_many_damaged_pictures_are_refused(folder: Folder) -> None:
    for path in folder.camera("cam", 40)[:3]:
        path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(Refused, match="3 of 40 pictures are damaged") as refusal:
        folder.open(config())
    assert refusal.value.reason is Reason.CORRUPT_PICTURE
    lenient = config(filtering={"max_corrupt_fraction": 0.1})
    assert folder.open(lenient).streams["cam"].count == 37


def test_the_content_says_what_a_picture_is_not_its_name(folder: Folder) -> None:
    folder.picture("cam", f"{START_US}.jpg", png())
    folder.picture("cam", f"{START_US + 1}.png", jpeg())
    folder.picture("cam", f"{START_US + 2}.JPG", jpeg() + b"\0" * 100_000)
    recording = folder.open(config())
    encodings = [picture.encoding for picture in recording.pictures({"cam": np.arange(3)})]
    assert encodings == ["png", "jpeg", "jpeg"]
    details = recording.streams["cam"].details
    assert details["encodings"] == {"png": 1, "jpeg": 2}
    assert (details["width"], details["height"]) == (32, 24)


def test_whatever_lies_behind_a_picture_does_not_matter(folder: Folder) -> None:
    folder.picture("cam", f"{START_US}.jpg", jpeg() + bytes(range(256)) * 20)
    thumbnail = b"\xff\xe1" + (len(jpeg()) + 2).to_bytes(2, "big") + jpeg()
    folder.picture("cam", f"{START_US + 1}.jpg", jpeg()[:2] + thumbnail + jpeg()[2:-30])
    recording = folder.open()
    assert recording.streams["cam"].count == 1
    assert [fault.reason for fault in recording.faults] == ["truncated"]


def test_an_arm_and_a_camera_of_one_name_are_both_shown(folder: Folder) -> None:
    folder.camera("left", 3)
    recording = folder.open()
    assert list(recording.streams) == ["left", f"images/{KEY}/left"]


def test_unfinished_hidden_and_foreign_files_are_left_out_and_reported(folder: Folder) -> None:
    folder.camera("cam", 40)
    names = [".hidden.jpg", "1764167571999999.jpg.part", "x.tmp", "Thumbs.db", "thumbnail.jpg"]
    for name in names:
        folder.picture("cam", name)
    assert _faults(folder) == {"unfinished_or_hidden": 3, "not_data": 1, "bad_name": 1}
    assert folder.open(config()).streams["cam"].count == 40


def test_names_without_any_time_are_refused(folder: Folder) -> None:
    for name in ("first.jpg", "second.jpg"):
        folder.picture("cam", name)
    with pytest.raises(Refused, match="time as its name") as refusal:
        folder.open(config())
    assert refusal.value.reason is Reason.BAD_STAMPS


def test_frame_numbers_are_no_moments(folder: Folder) -> None:
    for number in range(3):
        folder.picture("cam", f"{number:06d}.jpg")
    with pytest.raises(Refused, match=r"numbered.*rate_hz.*stamps\.csv") as refusal:
        folder.open(config())
    assert refusal.value.reason is Reason.BAD_STAMPS
    relative = folder.open(config(cameras=[{"name": "cam", "time_unit": "ms"}]))
    assert relative.timestamps("cam").tolist() == [0, 1_000_000, 2_000_000]


@pytest.mark.parametrize("empty_folder", [True, False])
def test_a_missing_camera_is_refused_only_where_it_is_required(
    folder: Folder, empty_folder: bool
) -> None:
    folder.camera("cam", 5)
    if empty_folder:
        (folder.root / "images" / KEY / "cam_left").mkdir()
    with pytest.raises(Refused, match=r"cam_left.*there are cam") as refusal:
        folder.open(config(cameras=("cam", "cam_left")))
    assert refusal.value.reason is Reason.MISSING_CAMERA
    optional = {"name": "cam_left", "required": False}
    for lenient in (
        config(cameras=("cam", optional)),
        config(cameras=("cam", "cam_left"), filtering={"require_all_cameras": False}),
    ):
        recording = folder.open(lenient)
        assert list(recording.streams) == ["left", "cam"]
        assert [(f.stream, f.reason) for f in recording.faults] == [("cam_left", "missing_camera")]


def test_a_missing_arm_is_refused_only_where_it_is_required(folder: Folder) -> None:
    folder.camera("cam", 5)
    with pytest.raises(Refused, match=r"right.parquet; there are left.parquet") as refusal:
        folder.open(config(streams=("left", "right")))
    assert refusal.value.reason is Reason.MISSING_STREAM
    recording = folder.open(config(streams=("left", {"name": "right", "required": False})))
    assert list(recording.streams) == ["left", "cam"]
    assert [(f.stream, f.reason) for f in recording.faults] == [("right", "missing_stream")]


def test_without_a_configuration_everything_is_shown(folder: Folder) -> None:
    folder.arm("right")
    folder.camera("cam", 11, 25.0)
    folder.camera("cam_fast", 13, 30.0)
    recording = folder.open()
    assert list(recording.streams) == ["left", "right", "cam", "cam_fast"]
    reports = {report.name: report for report in report_streams(recording)}
    assert reports["cam"].kind is StreamKind.PICTURE
    assert reports["cam"].median_rate_hz == pytest.approx(25.0)
    assert reports["cam_fast"].longest_gap_ms == pytest.approx(33.334)
    assert reports["left"].dimension == 3
    assert reports["left"].details["time_unit"] == "us"


def test_a_single_sample_has_no_rate(folder: Folder) -> None:
    folder.picture("cam", f"{START_US}.jpg")
    report = report_streams(folder.open())[-1]
    assert (report.count, report.median_rate_hz, report.longest_gap_ms) == (1, None, None)


def test_metadata_of_episode_and_sections_is_merged(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.arm("left")
    sections = {
        f"joints/{KEY}/metadata.json": {"task": "of the joints", "operator": "Ann"},
        f"{KEY}/metadata.json": {"task": "of the episode"},
    }
    for path, content in sections.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(json.dumps(content))
    assert folder.open().metadata == {"task": "of the episode", "operator": "Ann"}


@pytest.mark.parametrize("text", ["{", "[1]", "\xff\xfe", "[" * 100_000])
def test_unreadable_metadata_is_a_fault_and_no_more(folder: Folder, text: str) -> None:
    path = folder.root / "joints" / KEY / "metadata.json"
    path.write_text(text, encoding="latin-1")
    recording = folder.open()
    assert dict(recording.metadata) == {}
    assert [fault.reason for fault in recording.faults] == ["bad_metadata"]
    assert recording.streams["left"].count == 40


def test_the_same_file_in_both_layouts_is_taken_once(folder: Folder) -> None:
    twin = folder.root / KEY / "joints" / "left.parquet"
    twin.parent.mkdir(parents=True)
    twin.write_bytes((folder.root / "joints" / KEY / "left.parquet").read_bytes())
    recording = folder.open()
    assert list(recording.streams) == ["left"]
    assert [fault.reason for fault in recording.faults] == ["second_layout"]


@pytest.mark.parametrize("change", [Path.unlink, lambda path: path.write_bytes(b"\xff\xd8\xff")])
def test_pictures_that_change_meanwhile_are_worth_another_attempt(
    folder: Folder, change: object
) -> None:
    paths = folder.camera("cam", 5)
    recording = folder.open(config())
    source = folder.source()
    change(paths[2])  # type: ignore[operator]
    with pytest.raises(ContentChanged, match=paths[2].name):
        list(recording.pictures({"cam": np.arange(5)}))
    folder.source = lambda: source  # type: ignore[method-assign]
    with pytest.raises(ContentChanged, match=paths[2].name):
        folder.open(config())
