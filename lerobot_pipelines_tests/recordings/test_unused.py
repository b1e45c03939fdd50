"""Columns, files and folders that nothing is made of are listed; grippers belong to their arm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lerobot_pipelines.intake import IntakeCode, IntakeEntry, Severity
from lerobot_pipelines.recordings.column_roles import Role, role_of, streams_of
from lerobot_pipelines.recordings.columns import Column, ColumnKind
from lerobot_pipelines.recordings.folder import FolderRecording
from lerobot_pipelines_tests.recordings.folders import START_US, Folder, config


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def _arm(folder: Folder, *names: str, **lists: list[list[float]]) -> None:
    numbers = {name: [float(at)] for at, name in enumerate(names)}
    folder.arm("left", {"timestamp": [START_US], **numbers, **lists})


def _unused(recording: FolderRecording) -> dict[Severity, list[str]]:
    found: dict[Severity, list[str]] = {}
    for entry in recording.intake:
        if entry.code is IntakeCode.UNUSED:
            found.setdefault(entry.severity, []).extend(_names(entry))
    return found


def _names(entry: IntakeEntry) -> list[str]:
    return list(entry.details.get("columns", [entry.details["where"]]))


def _elements(folder: Folder) -> dict[str, tuple[str, ...] | None]:
    return {name: one.element_names for name, one in folder.open().streams.items()}


@pytest.mark.parametrize(
    ("names", "streams"),
    [
        (
            ["joint_1", "joint_2", "gripper", "velocity_1", "temperature"],
            {"left": ("joint_1", "joint_2", "gripper")},
        ),
        (
            ["left_joint_2", "left_joint_1", "left_gripper", "right_joint_1", "right_gripper"],
            {
                "left": (
                    *("left_joint_1", "left_joint_2", "left_gripper"),
                    *("right_joint_1", "right_gripper"),
                )
            },
        ),
        (
            ["follower_joint_1", "leader_joint_1"],
            {"left": ("follower_joint_1",), "left.command": ("leader_joint_1",)},
        ),
        (
            ["shoulder_pan.pos", "gripper.pos", "shoulder_pan.vel"],
            {"left": ("shoulder_pan.pos", "gripper.pos")},
        ),
        (["m1", "m2", "gripper", "battery"], {"left": ("m1", "m2", "gripper")}),
        (["a", "b"], {"left": ("a", "b")}),
    ],
)
def test_without_a_configuration_all_that_moves_is_found(
    folder: Folder, names: list[str], streams: dict[str, tuple[str, ...]]
) -> None:
    _arm(folder, *names)
    assert _elements(folder) == streams
    used = {name for found in streams.values() for name in found}
    listed = _unused(folder.open()).get(Severity.NOTE, [])
    assert set(listed) == set(names) - used


def test_lists_and_numbers_of_one_file_stand_together(folder: Folder) -> None:
    _arm(folder, "gripper", joint_positions=[[1.0, 2.0]], joint_velocities=[[3.0, 4.0]])
    assert _elements(folder) == {"left": ("gripper", "joint_positions_0", "joint_positions_1")}
    assert _unused(folder.open()) == {Severity.NOTE: ["joint_velocities"]}


def test_state_and_action_of_one_file_are_two_streams(folder: Folder) -> None:
    _arm(folder, **{"observation.state": [[1.0, 2.0]], "action": [[3.0, 4.0]]})
    recording = folder.open()
    assert recording.vectors("left").tolist() == [[1.0, 2.0]]
    assert recording.vectors("left.command").tolist() == [[3.0, 4.0]]
    assert recording.streams["left.command"].details["columns"] == ["action"]


@pytest.mark.parametrize(
    ("stream", "severity", "dimension"),
    [
        ({}, Severity.WARNING, 2),
        ({"field": "joint_"}, Severity.WARNING, 2),
        ({"columns": ["joint_1", "joint_2"]}, Severity.NOTE, 2),  # a person has named them
    ],
)
def test_a_configuration_that_leaves_the_gripper_out_is_told(
    folder: Folder, stream: dict[str, Any], severity: Severity, dimension: int
) -> None:
    _arm(folder, "joint_1", "joint_2", "gripper", "temperature")
    recording = folder.open(config(streams=[{"name": "left", **stream}], cameras=()))
    assert recording.streams["left"].dimension == dimension
    found = _unused(recording)
    assert "gripper" in found[severity]
    assert "temperature" in found[Severity.NOTE]
    (entry,) = [e for e in recording.intake if "gripper" in e.message]
    assert "columns" in entry.message and "left.parquet" in entry.message


def test_columns_that_another_stream_takes_are_not_listed(folder: Folder) -> None:
    _arm(folder, "joint_1", "joint_2", "gripper")
    streams = [
        {"name": "arm", "file": "left", "field": "joint_"},
        {"name": "hand", "file": "left", "columns": ["gripper"]},
    ]
    assert _unused(folder.open(config(streams=streams, cameras=()))) == {}


def test_files_and_folders_without_a_stream_are_listed(folder: Folder) -> None:
    folder.arm("left")
    folder.arm("right")
    folder.camera("cam", 3)
    folder.camera("wrist", 3)
    found = _unused(folder.open(config()))
    assert found == {Severity.NOTE: [f"joints/{'block/episode_1'}/right.parquet", "wrist"]}
    without = _unused(folder.open(config(cameras=())))
    assert without[Severity.WARNING] == ["cam", "wrist"]


WORDS = st.sampled_from(
    [
        *("joint", "gripper", "left_arm_joint", "velocity", "effort", "temperature", "elbow.pos"),
        *("foo", "action", "target_joint", "battery", "seq", "q", "wrist"),
    ]
)
COLUMNS = st.lists(
    st.builds(
        lambda word, number, kind: Column(f"{word}{number}", kind),
        WORDS,
        st.one_of(st.just(""), st.integers(0, 20).map(str)),
        st.sampled_from(list(ColumnKind)),
    ),
    unique_by=lambda column: column.name,
    max_size=20,
)


@given(COLUMNS)
def test_every_joint_and_gripper_is_in_one_stream(columns: list[Column]) -> None:
    streams = streams_of(columns)
    taken = [name for stream in streams for name in stream.columns]
    assert len(set(taken)) == len(taken)
    assert len({stream.suffix for stream in streams}) == len(streams)
    for column in columns:
        role = role_of(column)
        if role in (Role.POSITION, Role.COMMAND):
            assert column.name in taken
        if role in (Role.OTHER, Role.NO_VALUE):
            assert column.name not in taken


@given(COLUMNS.filter(bool))
def test_what_is_read_and_what_is_listed_is_the_whole_file(
    tmp_path_factory: pytest.TempPathFactory, columns: list[Column]
) -> None:
    content = {
        ColumnKind.NUMBER: np.array([1.0]),
        ColumnKind.LIST: [[1.0, 2.0]],
        ColumnKind.MOMENT: np.array([START_US], "datetime64[us]"),
        ColumnKind.OTHER: ["x"],
    }
    folder = Folder(tmp_path_factory.mktemp("arm"))
    folder.arm("left", {"timestamp": [START_US], **{c.name: content[c.kind] for c in columns}})
    recording = folder.open()
    used = [name for one in recording.streams.values() for name in one.details["columns"]]
    listed = [name for names in _unused(recording).values() for name in names]
    if recording.streams:
        assert sorted(used + listed) == sorted(column.name for column in columns)
