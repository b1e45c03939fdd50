"""Failed episodes tried again or set aside, for ``retry`` and ``monitor`` alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from lerobot_pipelines.cli.text import counted, safe

if TYPE_CHECKING:
    from lerobot_pipelines.pipeline.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Changed:
    """``done``: episodes that are ``queued`` or ``cleared`` now; ``left``: left as they were."""

    dataset: str
    what: str
    done: tuple[str, ...]
    left: tuple[str, ...]


def retry_or_clear(workspace: Workspace, keys: Sequence[str], *, clear: bool) -> Changed:
    """Try failed episodes again, or set them aside; converted ones are left alone."""
    from lerobot_pipelines.pipeline import clearing
    from lerobot_pipelines.pipeline.retries import request_retry

    change = clearing.clear if clear else request_retry
    done = tuple(key for key in keys if change(workspace, key))
    left = tuple(key for key in keys if key not in set(done))
    return Changed(workspace.dataset, "cleared" if clear else "queued", done, left)


def print_changed(changed: Changed, *, as_json: bool = False) -> None:
    if as_json:
        from lerobot_pipelines.cli.tables import show_json

        left = "left" if changed.what == "cleared" else "converted"
        show_json({"dataset": changed.dataset, changed.what: changed.done, left: changed.left})
        return
    for key in changed.done:
        click.echo(safe(key))
    click.echo(f"{counted(len(changed.done), 'episode')} {changed.what}", err=True)
    for key in changed.left:
        why = "did not fail" if changed.what == "cleared" else "is converted"
        click.echo(f"{safe(key)} {why}; left alone", err=True)
