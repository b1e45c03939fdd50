from __future__ import annotations

import json
import os
import subprocess
import sys

import click
import pytest

from lerobot_pipelines.cli import exits
from lerobot_pipelines.cli.program import COMMANDS, LazyCommands, program
from lerobot_pipelines.config.schema import Format, Strategy
from lerobot_pipelines_tests.cli.calling import call

HEAVY = {"numpy", "pandas", "pyarrow", "av", "rosbags", "matplotlib", "dagster", "pydantic", "rich"}


def leaves() -> list[list[str]]:
    """Every command and subcommand as the words that name it."""
    assert isinstance(program, LazyCommands)
    words: list[list[str]] = []
    for name in COMMANDS:
        command = program.get_command(click.Context(program), name)
        subcommands = list(command.commands) if isinstance(command, click.Group) else []
        words += [[name], *([name, subcommand] for subcommand in subcommands)]
    return words


@pytest.mark.parametrize("words", leaves(), ids=" ".join)
def test_help_teaches_with_an_example(words: list[str]) -> None:
    outcome = call(*words, "--help")
    assert outcome.code == 0
    assert "Example" in outcome.stdout
    assert outcome.stderr == ""


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom lerobot_pipelines.cli.program import run\n"
        "run(['--help']); run(['convert', '--help'])\n"
        f"print(sorted({HEAVY!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_help_of_convert_names_every_strategy_and_format() -> None:
    text = call("convert", "--help").stdout
    assert [s for s in (*Strategy, *Format) if str(s) not in text] == []


@pytest.mark.parametrize(
    "words",
    [["nonsense"], ["convert"], ["convert", "--nonsense"], ["synth", "x", "--episodes", "0"]],
    ids=" ".join,
)
def test_wrong_usage_is_exit_code_2_and_one_clear_message(words: list[str]) -> None:
    outcome = call(*words)
    assert outcome.code == 2
    assert "Error: " in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_a_reader_that_goes_away_ends_the_program_quietly() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "lerobot_pipelines.cli", "config", "list"],
        stdout=writer,
        stderr=subprocess.PIPE,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (exits.BROKEN_PIPE, b"")


def test_log_lines_may_be_json() -> None:
    code = (
        "import logging, warnings\nfrom lerobot_pipelines.cli.logs import set_up_logging\n"
        "set_up_logging('info', 'json')\n"
        "logger = logging.getLogger('lerobot_pipelines.x')\n"
        "logger.info('a\\nb', extra={'episode': 'k'}); logger.debug('unseen')\n"
        "warnings.warn('careful')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(line["level"], line["message"]) for line in lines] == [
        ("info", "a\nb"),
        ("warning", "careful"),
    ]
    assert lines[0]["episode"] == "k"
    assert done.stdout == ""
