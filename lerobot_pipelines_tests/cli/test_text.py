from __future__ import annotations

import pytest

from lerobot_pipelines.cli.text import safe


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[2Jgone", r"\x1b[2Jgone"),
        ("two\nlines", r"two\nlines"),
        ("bell\a\x9b31m", r"bell\x07\x9b31m"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        ("\ud800", r"\ud800"),
        ("zero\u200bwidth", r"zero\u200bwidth"),
    ],
)
def test_what_could_steer_a_terminal_is_written_out(hostile: str, shown: str) -> None:
    assert safe(hostile) == shown


@pytest.mark.parametrize("name", ["épisode 1", "机器人/瓶子", "[bold]x[/bold]", "a,b'c\"", ""])
def test_names_of_every_script_stay_as_they_are(name: str) -> None:
    assert safe(name) == name


def test_own_messages_keep_their_line_feeds_only() -> None:
    assert safe("a:\n  b\r\x1b", lines=True) == "a:\n  b\\r\\x1b"
