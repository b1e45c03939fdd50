"""Columns and content of parquet files, through the reader as a whole."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from lerobot_pipelines.errors import ConfigError, Reason, Refused
from lerobot_pipelines_tests.recordings.folders import START_US, Folder, arm_columns, config


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def _only(folder: Folder, **stream: object) -> Any:
    return folder.open(config(streams=[{"name": "left", **stream}], cameras=()))


@pytest.mark.parametrize(
    ("column", "unit"),
    [
        (np.array([START_US, START_US + 4000]), "us"),
        (np.array([START_US, START_US + 4000]) * 1000, "ns"),
        (np.array([START_US, START_US + 4000]) // 1000, "ms"),
        (np.array([START_US, START_US + 4000]) / 1e6, "s"),
        (pa.array([START_US, START_US + 4000], pa.timestamp("us")), "datetime"),
        (pa.array([START_US, START_US + 4000], pa.timestamp("us", "Europe/Paris")), "datetime"),
        (pa.array([START_US, START_US + 4000], pa.uint64()), "us"),
    ],
)
def test_stamps_of_every_unit_and_type_are_read(folder: Folder, column: Any, unit: str) -> None:
    folder.arm("left", {"timestamp": column, "joint_0": [1.0, 2.0]})
    recording = folder.open()
    np.testing.assert_allclose(
        recording.timestamps("left"), [START_US * 1000, START_US * 1000 + 4_000_000], atol=120
    )
    assert recording.streams["left"].details["time_unit"] == unit


def test_a_data_frame_with_a_time_index_is_read(folder: Folder) -> None:
    path = folder.arm("left")
    index = pd.to_datetime([START_US, START_US + 4000], unit="us")
    pd.DataFrame({"joint_0": [1.0, 2.0]}, index=index).to_parquet(path)
    recording = folder.open()
    assert recording.timestamps("left").tolist() == [START_US * 1000, START_US * 1000 + 4_000_000]
    assert recording.vectors("left").tolist() == [[1.0], [2.0]]


def test_numbered_columns_come_in_the_order_of_their_numbers(folder: Folder) -> None:
    shuffled = {f"joint_{j}": [float(j)] for j in (10, 2, 0, 1, 11, 3)}
    folder.arm("left", {**shuffled, "timestamps": [START_US], "temperature": [40.0]})
    recording = folder.open()
    assert recording.vectors("left").tolist() == [[0.0, 1.0, 2.0, 3.0, 10.0, 11.0]]
    names = recording.streams["left"].element_names
    assert names == ("joint_0", "joint_1", "joint_2", "joint_3", "joint_10", "joint_11")


@pytest.mark.parametrize("kind", [pa.list_(pa.float32()), pa.list_(pa.float64(), 2)])
def test_list_columns_are_read(folder: Folder, kind: pa.DataType) -> None:
    column = pa.array([[1.0, 2.0], [3.0, 4.0]], kind)
    folder.arm("left", {"t": [START_US, START_US + 1], "qpos": column, "seq": [0, 1]})
    recording = folder.open()
    assert recording.vectors("left").tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert recording.streams["left"].element_names == ("qpos_0", "qpos_1")


def test_nested_columns_are_read(folder: Folder) -> None:
    state = pa.array([{"position": [1.0, 2.0], "effort": [0.0, 0.0]}])
    folder.arm("left", {"t": [START_US], "state": state})
    assert _only(folder, field="state.position").vectors("left").tolist() == [[1.0, 2.0]]


def test_rows_of_another_length_are_left_out(folder: Folder) -> None:
    rows = [[1.0, 2.0]] * 30 + [[3.0], None, [4.0, 5.0, 6.0]] + [[7.0, 8.0]]
    stamps = [START_US + k for k in range(len(rows))]
    folder.arm("left", {"t": stamps, "qpos": rows})
    recording = folder.open()
    assert len(recording.vectors("left")) == 31
    assert [(f.reason, f.count) for f in recording.faults] == [("wrong_length", 3)]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"columns": ("joint_2", "joint_0")}, [2.0, 0.0]),
        ({"field": "joint_"}, [0.0, 1.0, 2.0]),
        ({"field": "joint_[1:3]"}, [1.0, 2.0]),
        ({"field": "joint_[-1]"}, [2.0]),
        ({"field": "velocity"}, [9.0]),
        ({"joint_names": ("joint_1",)}, [1.0]),
        ({"field": "joint_data.joint_q[0:2]", "topic": "/states"}, [0.0, 1.0, 2.0]),
        ({"expected_dimension": 4}, [9.0, 0.0, 1.0, 2.0]),
        ({"columns": ("joint_1",), "scale": 2.0, "bias": -1.0}, [1.0]),
        ({"scale": (1.0, 2.0, 3.0), "bias": 1.0}, [1.0, 3.0, 7.0]),
        ({"columns": ("degrees",), "convert": "degrees_to_radians"}, [np.pi]),
    ],
)
def test_a_configuration_chooses_and_converts(
    folder: Folder, settings: dict[str, object], expected: list[float]
) -> None:
    columns: dict[str, object] = {"timestamps": [START_US], "velocity": [9.0]}
    columns |= {f"joint_{j}": [float(j)] for j in range(3)}
    if "degrees" in str(settings):
        columns["degrees"] = [180.0]
    folder.arm("left", columns)
    assert _only(folder, **settings).vectors("left").tolist() == [expected]


def test_offsets_are_added_to_stamps(folder: Folder) -> None:
    folder.arm("left")
    folder.camera("cam")
    recording = folder.open(
        config(
            streams=[{"name": "left", "offset_ms": -1.5}],
            cameras=[{"name": "cam", "offset_ms": 20}],
        )
    )
    assert recording.timestamps("left")[0] == START_US * 1000 - 1_500_000
    assert recording.streams["left"].start_ns == recording.timestamps("left")[0]
    assert recording.timestamps("cam")[0] == START_US * 1000 + 20_000_000
    assert next(recording.pictures({"cam": np.array([0])})).stamp_ns == (
        START_US * 1000 + 20_000_000
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"columns": ("joint_9",)}, "joint_9"),
        ({"field": "gripper"}, "gripper"),
        ({"field": "joint_[x]"}, "cannot read the field"),
        ({"joint_names": ("elbow",)}, "elbow"),
    ],
)
def test_columns_that_are_not_there_are_named(
    folder: Folder, settings: dict[str, object], message: str
) -> None:
    folder.arm("left")
    with pytest.raises(Refused, match=message) as refusal:
        _only(folder, **settings)
    assert refusal.value.reason is Reason.MISSING_FIELD
    assert "left.parquet" in refusal.value.message


@pytest.mark.parametrize(
    "columns",
    [
        {"joint_0": [1.0]},
        {"timestamps": ["noon"], "joint_0": [1.0]},
        {"timestamps": [START_US], "name": ["left"]},
        {"timestamps": [START_US]},
    ],
    ids=["no stamps", "stamps in words", "no numbers", "stamps only"],
)
def test_a_file_without_stamps_or_numbers_is_refused(
    folder: Folder, columns: dict[str, object]
) -> None:
    folder.arm("left", columns)
    with pytest.raises(Refused, match="it has") as refusal:
        _only(folder)
    assert refusal.value.reason is Reason.MISSING_FIELD


def test_a_scale_of_another_length_is_an_error_of_the_configuration(folder: Folder) -> None:
    folder.arm("left")
    with pytest.raises(ConfigError, match="scale has 2 numbers"):
        _only(folder, scale=(1.0, 2.0), required=False)


def test_unsorted_and_repeated_stamps_are_put_in_order(folder: Folder) -> None:
    stamps = np.array([3, 1, 2, 1, 3, 0]) + START_US
    folder.arm("left", {"timestamps": stamps, "joint_0": [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]})
    recording = _only(folder)
    assert ((recording.timestamps("left") // 1000) - START_US).tolist() == [0, 1, 2, 3]
    assert recording.vectors("left")[:, 0].tolist() == [5.0, 1.0, 2.0, 0.0]
    assert [(f.reason, f.count) for f in recording.faults] == [("duplicate_stamp", 2)]
    assert recording.streams["left"].details["backwards"] > 0


def test_of_a_repeated_stamp_the_first_usable_sample_counts(folder: Folder) -> None:
    columns = arm_columns(40, 1)
    columns["timestamps"] = np.append(np.array(columns["timestamps"]), START_US)
    columns["joint_0"] = np.append([np.nan, *range(1, 40)], 7.0)
    folder.arm("left", columns)
    assert _only(folder).vectors("left")[0, 0] == 7.0


def test_few_missing_numbers_are_left_out_and_many_refused(folder: Folder) -> None:
    columns = arm_columns(100)
    values = np.array(columns["joint_1"])
    values[[3, 50]] = np.nan, np.inf
    folder.arm("left", {**columns, "joint_1": values})
    recording = _only(folder)
    assert recording.streams["left"].count == 98
    assert np.isfinite(recording.vectors("left")).all()
    assert [(f.stream, f.reason, f.count) for f in recording.faults] == [("left", "non_finite", 2)]
    values[:6] = np.nan
    folder.arm("left", {**columns, "joint_1": values})
    with pytest.raises(Refused, match="7 of 100 rows") as refusal:
        _only(folder)
    assert refusal.value.reason is Reason.NON_FINITE


def test_missing_stamps_are_left_out(folder: Folder) -> None:
    columns = arm_columns(40)
    stamps = [*np.array(columns["timestamps"]).tolist()[:-1], None]
    folder.arm("left", {**columns, "timestamps": stamps})
    recording = _only(folder)
    assert recording.streams["left"].count == 39
    assert [(f.reason, f.count) for f in recording.faults] == [("bad_stamp", 1)]


def test_a_file_without_rows_is_refused_and_shown_without_a_configuration(folder: Folder) -> None:
    folder.arm("left", arm_columns(0))
    with pytest.raises(Refused, match="no rows") as refusal:
        _only(folder)
    assert refusal.value.reason is Reason.MISSING_STREAM
    stream = folder.open().streams["left"]
    assert (stream.count, stream.start_ns, stream.end_ns) == (0, 0, 0)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: b"", "0 bytes"),
        (lambda data: data[: len(data) // 2], "truncated"),
        (lambda data: b"timestamps,joint_0\n1,2\n", "no parquet"),
        (
            lambda data: data[:60] + b"\xff" * (len(data) // 3) + data[60 + len(data) // 3 :],
            "damaged",
        ),
    ],
    ids=["empty", "truncated", "text", "overwritten"],
)
def test_a_damaged_file_is_refused_and_costs_only_its_own_stream(
    folder: Folder, damage: Any, message: str
) -> None:
    folder.arm("right")
    path = folder.arm("left", arm_columns(2000))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(Refused, match=message) as refusal:
        _only(folder)
    assert refusal.value.reason is Reason.CORRUPT_CONTAINER
    assert "left.parquet" in refusal.value.message
    recording = folder.open()
    assert list(recording.streams) == ["right"]
    assert [(f.stream, f.reason) for f in recording.faults] == [("left", "corrupt_container")]


@pytest.mark.parametrize("seed", range(4))
def test_any_damage_is_refused_or_harmless(folder: Folder, seed: int) -> None:
    path = folder.arm("left", arm_columns(60))
    sound = path.read_bytes()
    random = np.random.default_rng(seed)
    for _ in range(60):
        damaged = bytearray(sound)
        for at in random.integers(len(sound) // 2, len(sound), random.integers(1, 4)):
            damaged[at] = random.integers(256)
        path.write_bytes(damaged)
        with suppress(Refused):
            recording = _only(folder)
            assert recording.vectors("left").shape[0] == len(recording.timestamps("left"))


def test_several_streams_share_one_file(folder: Folder) -> None:
    folder.arm("robot", {"timestamps": [START_US], "arm_0": [1.0], "arm_1": [2.0], "grip": [3.0]})
    streams: list[dict[str, object]] = [
        {"name": "arm", "file": "robot", "field": "arm_"},
        {"name": "gripper", "file": "robot.parquet", "columns": ("grip",)},
    ]
    recording = folder.open(config(streams=streams, cameras=()))
    assert recording.vectors("arm").tolist() == [[1.0, 2.0]]
    assert recording.vectors("gripper").tolist() == [[3.0]]
