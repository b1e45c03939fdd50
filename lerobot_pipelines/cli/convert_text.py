"""What ``convert`` did, for people and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lerobot_pipelines.config.schema import DatasetConfig
    from lerobot_pipelines.pipeline.convert import ConvertSummary

MAX_WARNED = 50  # episodes told of

LeftOut = dict[str, tuple[str, str]]  # episode key -> reason code, sentence


def nothing_found(config: DatasetConfig) -> str:
    """What was looked for, and where."""
    from lerobot_pipelines.cli.text import safe

    storage = config.storage
    sources = f" (sources: {', '.join(storage.sources)})" if storage.sources else ""
    return safe(
        f"no recording found below {storage.url.rstrip('/')}/{storage.raw_prefix}{sources}; "
        f'expected are bags, or folders "{config.layout.joints}" and "{config.layout.images}"'
    )


def left_out_of(summary: ConvertSummary) -> LeftOut:
    """What should be in a dataset and is not; what a person took out should not."""
    from lerobot_pipelines.errors import Reason

    set_aside = (Reason.REMOVED, Reason.CLEARED)
    left_out = {
        outcome.key: (outcome.reason or outcome.status, outcome.message)
        for outcome in summary.episodes
        if outcome.status in ("refused", "failed") and outcome.reason not in set_aside
    }
    # Verdicts of earlier runs count too: their episodes are "unchanged" now.
    for update in summary.datasets:
        for key, reason in update.skipped.items():
            left_out.setdefault(key, ("left_out", reason))
    return left_out


def print_summary(
    config: DatasetConfig, summary: ConvertSummary, left_out: LeftOut, remarks: Sequence[str]
) -> None:
    """Counts and places on stdout; warnings and what is not in the dataset on stderr."""
    from lerobot_pipelines.cli.departures import print_departures
    from lerobot_pipelines.cli.text import counted, safe

    counts: dict[str, int] = {}
    for outcome in summary.episodes:
        counts[outcome.status] = counts.get(outcome.status, 0) + 1
    click.echo(", ".join(f"{count} {status}" for status, count in sorted(counts.items())))
    for update, place in zip(summary.datasets, _places(config, summary), strict=True):
        size = f"{counted(update.episodes, 'episode')}, {counted(update.frames, 'frame')}"
        what = f"{size} in {safe(place)}" if update.episodes else "none"
        click.echo(f"dataset {update.format}: {what}")
    print_departures(summary.datasets)
    for remark in remarks:
        click.echo(f"note: {safe(remark)}", err=True)
    _print_warnings(summary)
    if left_out:
        click.echo(f"{len(left_out)} not in the dataset:", err=True)
    for key, (reason, message) in sorted(left_out.items()):
        click.echo(f"  {safe(key)}: {safe(reason)}: {safe(message)}", err=True)


def passed_over(bags: Sequence[str]) -> list[str]:
    """What to say of bags beside folders that a configuration without topics converts."""
    if not bags:
        return []
    which = f"the bag {bags[0]} is" if len(bags) == 1 else f"{len(bags)} bags are"
    first = "" if len(bags) == 1 else f" (the first is {bags[0]})"
    return [f"{which} passed over{first}: no stream or camera of the configuration has a topic"]


def remarks_on(config: DatasetConfig) -> list[str]:
    """What a policy trained on such datasets would miss, whatever the recordings hold."""
    state, action = (config.features.get(key) for key in ("observation.state", "action"))
    if action is None:
        return ["the configuration makes no action: the dataset tells of no command"]
    if state is not None and action.parts == state.parts:
        return ["action repeats observation.state: the configuration names no command"]
    return []


def _print_warnings(summary: ConvertSummary) -> None:
    """A line for each episode that is in the dataset with warnings."""
    from lerobot_pipelines.cli.intake_text import warning_line
    from lerobot_pipelines.cli.text import safe

    lines = [
        f"  {safe(outcome.key)}: {safe(line)}"
        for outcome in summary.episodes
        if outcome.status in ("converted", "unchanged")
        and (line := warning_line(outcome.intake, outcome.weak_checks)) is not None
    ]
    if lines:
        click.echo(f"{len(lines)} converted with warnings (--strict refuses them):", err=True)
    for line in lines[:MAX_WARNED]:
        click.echo(line, err=True)
    if len(lines) > MAX_WARNED:
        click.echo(f"  ... and {len(lines) - MAX_WARNED} more (--json lists all)", err=True)


def print_json(
    config: DatasetConfig, summary: ConvertSummary, left_out: LeftOut, remarks: Sequence[str]
) -> None:
    """Everything, with every entry of the intake reports."""
    from lerobot_pipelines.cli.intake_text import plain
    from lerobot_pipelines.cli.tables import show_json

    places = _places(config, summary)
    datasets: list[dict[str, Any]] = [
        {
            "format": str(update.format),
            "location": place,
            "changed": update.changed,
            "kind": update.kind,
            "added": list(update.added),
            "replaced": list(update.replaced),
            "removed": list(update.removed),
            "why_removed": dict(update.why_removed),
            "withheld": dict(update.withheld),
            "lost": list(update.lost),
            "skipped": dict(update.skipped),
            "stale": list(update.stale),
            "episodes": update.episodes,
            "frames": update.frames,
        }
        for update, place in zip(summary.datasets, places, strict=True)
    ]
    show_json(
        {
            "dataset": config.dataset.name,
            "ok": not left_out and not any(update.withheld for update in summary.datasets),
            "remarks": list(remarks),
            "episodes": plain([asdict(outcome) for outcome in summary.episodes]),
            "left_out": [
                {"key": key, "reason": reason, "message": message}
                for key, (reason, message) in sorted(left_out.items())
            ],
            "datasets": datasets,
        }
    )


def _places(config: DatasetConfig, summary: ConvertSummary) -> Sequence[str]:
    """Where each dataset is: a path on this machine, else a URL."""
    from lerobot_pipelines.storage import open_storage

    storage = open_storage(config.storage)
    return [
        str(storage.local_path(update.root) or f"{storage.url.rstrip('/')}/{update.root}")
        for update in summary.datasets
    ]
