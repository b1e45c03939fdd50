"""Commands in the documents exist, with the options that are given and the values they take."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from lerobot_pipelines.cli.program import COMMANDS, program
from lerobot_pipelines_tests.documents.texts import (
    DOCUMENTS,
    PROGRAM,
    ROOT,
    blocks,
    command_lines,
    spans,
)


def find(arguments: list[str]) -> tuple[click.Command, click.Context, list[str]]:
    """The command that the arguments name, below groups as well, and what follows its name."""
    command: click.Command = program
    context = click.Context(program, info_name=PROGRAM)
    rest = list(arguments)
    while isinstance(command, click.Group):
        parser = command.make_parser(context)
        parser.allow_interspersed_args = False
        _, rest, _ = parser.parse_args(rest)
        if not rest:
            return command, context, []
        name, *rest = rest
        found = command.get_command(context, name)
        if found is None:
            raise click.UsageError(f"{name} is no command of {PROGRAM}")
        command, context = found, click.Context(found, context, name)
    return command, context, rest


def parse(arguments: list[str], *, whole: bool) -> None:
    """Raise ``click.UsageError`` where the program would.

    Files need not exist. ``whole``: what is required is there; a command in the middle of a
    sentence may leave it out.
    """
    command, context, rest = find(arguments)
    if isinstance(command, click.Group):
        if rest or whole:
            raise click.UsageError(f"{command.name} needs a command")
        return
    values, _, _ = command.make_parser(context).parse_args(rest)
    for parameter in command.get_params(context):
        value = values.get(parameter.name or "")
        given = value not in (None, (), []) and type(value).__name__ != "Sentinel"
        if whole and parameter.required and not given:
            raise click.UsageError(f"{parameter.name} is missing in: {shlex.join(arguments)}")
        numbers_or_words = (click.Choice, click.IntRange, click.FloatRange)
        if given and isinstance(parameter.type, numbers_or_words):
            for one in value if isinstance(value, (list, tuple)) else (value,):
                if not str(one).isupper():  # a placeholder
                    parameter.type.convert(one, parameter, context)


def in_sentences(document: str) -> Iterator[list[str]]:
    """``retry robot.yaml --failed`` and the like: the name of a command and what follows."""
    for span in spans(document):
        if re.search(r"[{}()=]", span) or "..." in span:
            continue
        words = shlex.split(span.replace("'", '"') if span.count("'") % 2 else span)
        if words[:1] == [PROGRAM]:
            yield words[1:]
        elif len(words) > 1 and words[0] in COMMANDS and not words[0].endswith(":"):
            yield words


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_in_blocks_are_accepted(document: str) -> None:
    for arguments in command_lines(document):
        parse(arguments, whole=True)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_in_sentences_are_accepted(document: str) -> None:
    for arguments in in_sentences(document):
        parse(arguments, whole=False)


def test_the_readme_names_every_command() -> None:
    named = {words[0] for words in command_lines("README.md")}
    named |= {words[0] for words in in_sentences("README.md") if words}
    named |= set(spans("README.md"))
    assert named >= set(COMMANDS)


def all_commands(command: click.Command = program) -> Iterator[click.Command]:
    yield command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from all_commands(child)


def all_options() -> set[str]:
    return {"--help"}.union(
        *(
            (*parameter.opts, *parameter.secondary_opts)
            for command in all_commands()
            for parameter in command.params
        )
    )


@pytest.mark.parametrize("command", list(all_commands()), ids=lambda one: one.callback.__module__)
def test_examples_of_the_help_are_accepted(command: click.Command) -> None:
    text = re.sub(r"\\\n\s*", " ", command.help or "")
    for line in re.findall(rf"^ *(?:\w+=\S+ )?{PROGRAM} (.+?)(?:   .*)?$", text, re.MULTILINE):
        parse(shlex.split(re.split(r" [|>] ", line)[0]), whole=True)


def test_options_that_stand_alone_are_options_of_a_command() -> None:
    known = all_options()
    recorder = ROOT / "lerobot_pipelines/recorder"
    example = (recorder / "example.py").read_text()
    lerobots = (recorder / "lerobot_options.py").read_text()
    for span in spans("README.md"):
        if span.startswith("--"):
            option = span.split()[0].partition("=")[0]
            if option.startswith("--dataset."):
                assert option.removeprefix("--dataset.") in lerobots, span
            else:
                assert option in known or f'"{option}"' in example, span


def test_options_of_benchmarks_are_theirs() -> None:
    seen = 0
    assert not blocks("benchmarks/README.md")  # command lines are indented there
    text = (ROOT / "benchmarks/README.md").read_text()
    for line in re.findall(r"^    python (.+?)(?:  +#.*)?$", text, re.MULTILINE):
        words = shlex.split(line)
        script = words[1].replace(".", "/") + ".py" if words[0] == "-m" else words[0]
        source = (ROOT / script).read_text()
        for word in words[1:]:
            if word.startswith("--"):
                assert f'"{word}"' in source, f"{script} has no option {word}"
                seen += 1
    assert seen > 10


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["convrt", "a.yaml"], "no command"),
        (["convert", "a.yaml", "--stratgy", "window"], "--stratgy"),
        (["synth"], "missing"),
        (["demo", "--port", "99999999"], "range"),
    ],
)
def test_what_is_wrong_would_be_found(wrong: list[str], said: str) -> None:
    with pytest.raises(click.UsageError, match=said):
        parse(wrong, whole=True)


def test_the_documents_are_all_there() -> None:
    assert {Path(name).parts[0] for name in DOCUMENTS} >= {"README.md", "deploy", "benchmarks"}
    assert len(command_lines("README.md")) >= 6
