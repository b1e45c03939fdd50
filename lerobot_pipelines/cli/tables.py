"""Tables: drawn on a terminal, aligned columns in a pipe or a file, where nothing is cut off."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import click

from lerobot_pipelines.cli.text import safe

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True, slots=True)
class Column:
    title: str
    align: Literal["left", "right"] = "left"


def left(*titles: str) -> tuple[Column, ...]:
    return tuple(Column(title) for title in titles)


def right(*titles: str) -> tuple[Column, ...]:
    return tuple(Column(title, "right") for title in titles)


def show_table(columns: Sequence[Column], rows: Sequence[Sequence[object]]) -> None:
    """Print rows to stdout; ``None`` becomes "-". Cells may hold untrusted names."""
    cells = [["-" if cell is None else safe(str(cell)) for cell in row] for row in rows]
    if sys.stdout.isatty():
        _draw(columns, cells)
    else:
        _align(columns, cells)


def show_json(document: object) -> None:
    """One JSON document on stdout. ``NaN`` never appears: JSON has none."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=True, allow_nan=False))


def console(*, stderr: bool = False) -> Console:
    """A console that takes no markup from the text it is given."""
    from rich.console import Console

    return Console(stderr=stderr, markup=False, highlight=False, emoji=False)


def _draw(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(header_style="bold")
    for column in columns:
        table.add_column(Text(column.title), justify=column.align, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console().print(table)


def _align(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    lines = [[column.title for column in columns], *rows]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    for line in lines:
        padded = (
            cell.rjust(width) if column.align == "right" else cell.ljust(width)
            for cell, width, column in zip(line, widths, columns, strict=True)
        )
        click.echo("  ".join(padded).rstrip())
