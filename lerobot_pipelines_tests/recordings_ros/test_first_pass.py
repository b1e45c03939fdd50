"""The first pass is made once for all steps, and nothing hangs on its being kept."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lerobot_pipelines.config.schema import StreamConfig
from lerobot_pipelines.errors import Refused
from lerobot_pipelines.model import Clock
from lerobot_pipelines.recordings.ros import first_pass, open_bag, recording
from lerobot_pipelines.recordings.ros.recording import BagRecording
from lerobot_pipelines_tests.recordings_ros.bags import (
    Types,
    camera,
    config_of,
    session,
    source_of,
    write_ros1,
)

CONFIG = config_of(
    StreamConfig(name="joints", topic="/joints", clock=Clock.HEADER),
    StreamConfig(name="twist", topic="/twist", clock=Clock.HEADER),
    camera(clock=Clock.HEADER),
)


@pytest.fixture
def bag(tmp_path: Path) -> Path:
    types = Types(1)
    return write_ros1(tmp_path / "a.bag", [*session(types), *session(types, 4)], types, "lz4")


@pytest.fixture
def walks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many streams each walk over a bag was for."""
    made: list[int] = []

    def counted(file: Any, surveys: Any) -> None:
        made.append(len(surveys))
        walk(file, surveys)

    walk = recording.walk
    monkeypatch.setattr(recording, "walk", counted)
    return made


def told(found: BagRecording) -> dict[str, Any]:
    assert len(found.streams) == 3
    wanted = {"cam": np.arange(found.streams["cam"].count)}
    both = {
        "streams": dict(found.streams),
        "stamps": {name: found.timestamps(name).tolist() for name in found.streams},
        "vectors": {name: found.vectors(name).tolist() for name in ("joints", "twist")},
        "pictures": list(found.pictures(wanted)),
        "faults": list(found.faults),
    }
    found.close()
    return both


def test_the_next_step_finds_what_the_first_pass_found(
    bag: Path, walks: list[int], tmp_path: Path
) -> None:
    notes = tmp_path / "notes"
    first = told(open_bag(source_of(bag), CONFIG, notes))
    assert first["faults"]
    assert walks == [3]
    assert told(open_bag(source_of(bag), CONFIG, notes)) == first
    assert walks == [3]
    assert told(open_bag(source_of(bag), CONFIG)) == first


def test_other_content_or_another_configuration_is_read_again(
    bag: Path, walks: list[int], tmp_path: Path
) -> None:
    notes = tmp_path / "notes"
    told(open_bag(source_of(bag), CONFIG, notes))
    receive = StreamConfig(name="joints", topic="/joints")
    other = CONFIG.model_copy(update={"streams": (receive, CONFIG.streams[1])})
    assert told(open_bag(source_of(bag), other, notes))["streams"]["joints"].clock == "receive"
    types = Types(1)
    bag.unlink()
    write_ros1(bag, session(types, 12), types)
    assert len(told(open_bag(source_of(bag), CONFIG, notes))["stamps"]["joints"]) == 12
    assert walks == [3, 3, 3]


@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_a_damaged_note_is_no_note(
    damage: str, bag: Path, walks: list[int], tmp_path: Path
) -> None:
    notes = tmp_path / "notes"
    first = told(open_bag(source_of(bag), CONFIG, notes))
    (note,) = notes.iterdir()
    content = bytearray(note.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 16
    note.write_bytes(content[: {"cut": -400, "flip": None, "empty": 0}[damage]])
    assert told(open_bag(source_of(bag), CONFIG, notes)) == first
    assert walks == [3, 3]
    assert told(open_bag(source_of(bag), CONFIG, notes)) == first  # it was written anew
    assert walks == [3, 3]


def test_a_refusal_is_not_kept(bag: Path, tmp_path: Path) -> None:
    config = config_of(StreamConfig(name="joints", topic="/joints", field="position[9]"), camera())
    strict = config.model_copy(
        update={"filtering": config.filtering.model_copy(update={"max_corrupt_fraction": 0.0})}
    )
    for _ in range(2):
        with pytest.raises(Refused):
            dict(open_bag(source_of(bag), strict, tmp_path / "notes").streams)
    assert not (tmp_path / "notes").exists()


def test_notes_that_cannot_be_written_are_done_without(bag: Path, tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("a file is in the way")
    assert told(open_bag(source_of(bag), CONFIG, tmp_path / "notes"))["streams"]


def test_old_notes_make_room(bag: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notes = tmp_path / "notes"
    told(open_bag(source_of(bag), CONFIG, notes))
    (old,) = notes.iterdir()
    os.utime(old, (1, 1))
    monkeypatch.setattr(first_pass, "_MOST_BYTES", old.stat().st_size * 3 // 2)
    only_cameras = CONFIG.model_copy(update={"streams": CONFIG.streams[:1], "features": {}})
    open_bag(source_of(bag), only_cameras, notes).faults  # noqa: B018
    (kept,) = notes.iterdir()
    assert kept != old


def test_numbers_are_let_go_of_when_pictures_are_read_and_come_again_the_same(bag: Path) -> None:
    found = open_bag(source_of(bag), CONFIG)
    before = {name: found.vectors(name).copy() for name in ("joints", "twist")}
    assert len(list(found.pictures({"cam": np.array([1, 3])}))) == 2
    for name, values in before.items():
        assert np.array_equal(found.vectors(name), values)
    found.close()
