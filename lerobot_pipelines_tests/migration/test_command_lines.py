"""Every command line that owners have, each option alone and all together, is taken by the program.
What they do is in the tests beside this one."""

from __future__ import annotations

import re
import shlex

import click
import pytest

from lerobot_pipelines_tests.documents.test_commands import parse
from lerobot_pipelines_tests.documents.texts import read
from lerobot_pipelines_tests.migration.repository import TEXTS
from lerobot_pipelines_tests.migration.snippets import PAGE

LINES = (TEXTS / "commands.txt").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("line", LINES)
def test_a_command_line_is_taken(line: str) -> None:
    parse(shlex.split(line), whole=True)


@pytest.mark.parametrize("line", LINES)
def test_its_command_and_options_are_on_the_page(line: str) -> None:
    on_page = set(re.findall(r"[\w.-]+", " ".join(re.findall(r"`[^`\n]+`", read(PAGE)))))
    command, *rest = shlex.split(line)
    options = {word.partition("=")[0] for word in rest if word.startswith("-") and word != "--"}
    assert {command, *options} <= on_page


def test_a_line_that_is_not_taken_would_be_seen() -> None:
    with pytest.raises(click.UsageError):
        parse(["monitor", "--refresh-every", "10"], whole=True)
