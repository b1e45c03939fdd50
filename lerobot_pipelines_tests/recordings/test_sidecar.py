"""What is taken over from the JSON file beside a recording, and what is said about it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lerobot_pipelines.config.schema import DEFAULT_LIMITS
from lerobot_pipelines.intake import IntakeCode, Severity
from lerobot_pipelines.recordings.sidecar import Sidecar, read_metadata


def _read(tmp_path: Path, content: object, encoding: str = "utf-8") -> Sidecar:
    data = (
        content
        if isinstance(content, bytes)
        else json.dumps(content, ensure_ascii=False).encode(encoding, "surrogatepass")
    )
    (tmp_path / "metadata.json").write_bytes(data)
    return read_metadata(tmp_path, ["metadata.json"])


def _said(sidecar: Sidecar) -> list[tuple[IntakeCode, Severity]]:
    return [(entry.code, entry.severity) for entry in sidecar.intake]


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ("utf-8", []),
        ("utf-8-sig", []),
        ("utf-16", [(IntakeCode.TEXT, Severity.NOTE)]),
        ("gbk", [(IntakeCode.TEXT, Severity.WARNING)]),
    ],
)
def test_a_label_is_read_in_whatever_encoding_and_that_is_said(
    tmp_path: Path, encoding: str, said: list[Any]
) -> None:
    found = _read(tmp_path, {"task": "把杯子放进盒子"}, encoding)
    assert found.metadata == {"task": "把杯子放进盒子"}
    assert _said(found) == said
    assert not found.faults


@pytest.mark.parametrize("data", [b"\xff\xfe{", b"{'task': 'x'}", b"[1]", b"\x93\xfa\x96\xff\xff"])
def test_a_label_that_cannot_be_read_is_a_warning_with_a_remedy(
    tmp_path: Path, data: bytes
) -> None:
    found = _read(tmp_path, data)
    assert found.metadata == {}
    assert _said(found) == [(IntakeCode.LABEL_FALLBACK, Severity.WARNING)]
    assert "UTF-8" in found.intake[0].message and "metadata.json" in found.intake[0].message
    assert [fault.reason for fault in found.faults] == ["bad_metadata"]


def test_a_list_of_tasks_is_a_list(tmp_path: Path) -> None:
    found = _read(tmp_path, {"task": ["pick", "place", "pick"]})
    assert found.metadata == {"task": "pick", "tasks": ["pick", "place"]}
    assert _said(found) == [(IntakeCode.TEXT, Severity.WARNING)]
    assert found.intake[0].count == 2
    one = _read(tmp_path, {"tasks": ["pick"]})
    assert one.metadata["task"] == "pick"
    assert not one.intake


@pytest.mark.parametrize("task", [7, {"a": 1}, ["a", 1], True])
def test_a_task_that_is_no_text_is_said_and_not_spelled_out(tmp_path: Path, task: object) -> None:
    found = _read(tmp_path, {"task": task})
    assert "task" not in found.metadata
    assert _said(found) == [(IntakeCode.LABEL_FALLBACK, Severity.WARNING)]


def test_what_cannot_be_shown_is_left_out_and_counted(tmp_path: Path) -> None:
    nasty = "put\x00 the \x1b[31mcup\ud83d\u202e away\r\nnow"
    found = _read(tmp_path, json.dumps({"task": nasty, "operator\x07": ["A\x1bnn"]}).encode())
    assert found.metadata == {"task": "put the [31mcup away\nnow", "operator": ["Ann"]}
    assert _said(found) == [(IntakeCode.TEXT, Severity.WARNING)]
    assert found.intake[0].count == 6
    json.dumps(found.metadata, ensure_ascii=False).encode()


def test_joined_emoji_and_line_feeds_stay(tmp_path: Path) -> None:
    text = 'first line\nsecond "line" \U0001f468\u200d\U0001f373'
    assert _read(tmp_path, {"task": text}).metadata["task"] == text


def test_a_text_without_end_is_cut_and_said(tmp_path: Path) -> None:
    found = _read(tmp_path, {"task": "x" * 15_000_000})
    assert len(found.metadata["task"]) == DEFAULT_LIMITS.text_characters
    assert _said(found) == [(IntakeCode.TEXT, Severity.WARNING)]
    assert "15000000" in found.intake[0].message


def test_metadata_without_end_keeps_its_small_values(tmp_path: Path) -> None:
    found = _read(tmp_path, {"task": "pick", "log": ["line"] * 400_000, "operator": "Ann"})
    assert found.metadata == {"task": "pick", "operator": "Ann"}
    assert _said(found) == [(IntakeCode.LIMIT, Severity.WARNING)]
    assert '"log"' in found.intake[0].message


def test_numbers_that_json_does_not_have_become_text(tmp_path: Path) -> None:
    found = _read(tmp_path, b'{"task": "pick", "score": NaN}')
    assert found.metadata["score"] == "NaN"
