"""What is printed of episodes that left a dataset, or stay in it against appearances."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import click

from lerobot_pipelines.cli.text import counted, safe

if TYPE_CHECKING:
    from lerobot_pipelines.datasets import DatasetUpdate


def print_departures(updates: Iterable[DatasetUpdate]) -> None:
    """One line for each episode, whatever the formats; on stderr, as other warnings."""
    removed: dict[str, str] = {}
    withheld: dict[str, str] = {}
    lost: dict[str, str] = {}
    for update in updates:
        removed |= {key: update.why_removed.get(key, "") for key in update.removed}
        withheld |= update.withheld
        lost |= dict.fromkeys(update.lost, "its record is missing, and its recording too")
    _print(removed, "left the dataset")
    _print(withheld, "should leave and stay as they were (--allow-removal lets them go)")
    _print(lost, "stay in the dataset as they were")


def _print(episodes: Mapping[str, str], what: str) -> None:
    if episodes:
        click.echo(f"{counted(len(episodes), 'episode')} {what}:", err=True)
    for key, why in sorted(episodes.items()):
        click.echo(f"  {safe(key)}: {safe(why)}" if why else f"  {safe(key)}", err=True)
