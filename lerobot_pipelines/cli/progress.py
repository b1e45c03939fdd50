"""What a conversion shows while it runs: a bar on a terminal, one line an episode otherwise."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from lerobot_pipelines.cli.text import safe

if TYPE_CHECKING:
    from lerobot_pipelines.pipeline.convert import ConvertEvent

OnEvent = Callable[["ConvertEvent"], None]

# The event that ends an episode, and the word for it.
_ENDINGS = {
    "finished": "converted",
    "unchanged": "unchanged",
    "refused": "refused",
    "failed": "failed",
}


@contextmanager
def watch(total: int, *, quiet: bool = False) -> Iterator[OnEvent]:
    """A receiver of events that shows them; ``total`` episodes are to come.

    ``quiet`` shows nothing, for output that a program reads.
    """
    if quiet:
        yield lambda event: None
    elif sys.stdout.isatty() and sys.stderr.isatty():
        with _bar(total) as on_event:
            yield on_event
    else:
        yield lambda event: _print_line(event, click.echo)


def _print_line(event: ConvertEvent, echo: Callable[[str], object]) -> None:
    if event.kind in _ENDINGS:
        echo(describe(event))


def describe(event: ConvertEvent) -> str:
    """The line of an episode that ended: key, outcome, and rows or the reason."""
    line = f"{safe(event.key)}  {_ENDINGS[event.kind]}"
    if event.kind == "finished":
        line += f"  {event.frames} rows"
    if event.reason is not None:
        line += f"  {safe(event.reason)}: {safe(event.message)}"
    return line


@contextmanager
def _bar(total: int) -> Iterator[OnEvent]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from lerobot_pipelines.cli.tables import console

    progress = Progress(
        TextColumn("episodes", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[frames]} pictures", markup=False),
        TextColumn("{task.fields[speed]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("{task.fields[current]}", markup=False),
        console=console(stderr=True),
    )
    task = progress.add_task("episodes", total=total, frames=0, speed="", current="")
    pictures = 0

    def on_event(event: ConvertEvent) -> None:
        nonlocal pictures
        if event.kind == "started":
            progress.update(task, current=safe(event.key))
        elif event.kind == "progress":
            pictures += event.frames
            elapsed = progress.tasks[0].elapsed or 0.0
            speed = f"{pictures / elapsed:.0f}/s" if elapsed > 1.0 else ""
            progress.update(task, frames=pictures, speed=speed)
        elif event.kind in _ENDINGS:
            progress.advance(task)
            _print_line(event, progress.console.print)
        elif event.kind == "dataset":
            progress.update(task, current="dataset")

    with progress:
        yield on_event
