"""The Markdown documents of the repository, cut into what can be checked."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
DOCUMENTS = tuple(
    sorted(
        path.relative_to(ROOT).as_posix()
        for pattern in ("*.md", "deploy/*.md", "benchmarks/*.md", "lerobot_pipelines/docs/*.md")
        for path in ROOT.glob(pattern)
    )
)

_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
PROGRAM = "lerobot-pipelines"


class Block(NamedTuple):
    document: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


def read(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def blocks(document: str, *languages: str) -> list[Block]:
    """The fenced blocks, those of the given languages only where any is given."""
    text = read(document)
    found = [
        Block(
            document,
            text[: match.start()].count("\n") + 1,
            match[2],
            textwrap.dedent(match[3]),
        )
        for match in _FENCE.finditer(text)
    ]
    return [block for block in found if not languages or block.language in languages]


def prose(document: str) -> str:
    """The document without its fenced blocks, and without what a table calls ``old``."""
    text = _FENCE.sub("", read(document))
    return "\n".join(_without_old(text.splitlines()))


def _without_old(lines: list[str]) -> Iterator[str]:
    inside = False
    for line in lines:
        inside = line.startswith("| old |") or (inside and line.startswith("|"))
        yield re.sub(r"^\|.*?(?<!\\)\|", "| |", line) if inside else line


def spans(document: str) -> list[str]:
    """What stands in single back quotes, in order."""
    return _SPAN.findall(prose(document))


def tables(document: str) -> list[list[list[str]]]:
    """Every table as its rows of cells; the first row is the heading."""
    found: list[list[list[str]]] = []
    before = ""
    for line in prose(document).splitlines():
        if line.startswith("|"):
            if not before.startswith("|"):
                found.append([])
            cells = re.split(r"(?<!\\)\|", line.strip().strip("|"))
            if not set(line) <= set("|-: "):
                found[-1].append([cell.strip().replace("\\|", "|") for cell in cells])
        before = line
    return found


def table(document: str, *heading: str) -> list[list[str]]:
    """The rows below the one heading that begins with these cells."""
    (found,) = (rows for rows in tables(document) if tuple(rows[0][: len(heading)]) == heading)
    return found[1:]


def code_words(cell: str) -> list[str]:
    return _SPAN.findall(cell)


def command_lines(document: str, program: str = PROGRAM) -> list[list[str]]:
    """The arguments of every line in a block of shell that calls the program."""
    found = []
    for block in blocks(document, "bash", "sh", ""):
        for line in block.text.replace("\\\n", " ").splitlines():
            for part in re.split(r" && | \| | > \S+", line.partition("  #")[0]):
                # So that `for x in ...; do` and variables before the program are passed over.
                try:
                    words = shlex.split(part)
                except ValueError:
                    continue
                places = [i for i, word in enumerate(words) if Path(word).name == program]
                if places and all("=" in word for word in words[: places[0]]):
                    found.append(words[places[0] + 1 :])
    return found
