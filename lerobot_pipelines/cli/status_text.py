"""A dataset's status for people (tables), programs (JSON) and Prometheus (its text format)."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from lerobot_pipelines.cli.text import counted, safe

if TYPE_CHECKING:
    from rich.console import RenderableType

    from lerobot_pipelines.pipeline.status import Status

# A fleet with a broken camera refuses thousands; the newest of them are no more telling.
MOST_SHOWN = 20
STATES = ("pending", "converted", "stale", "damaged", "refused", "cleared")
# Named only where there are some: they ask for a person, or for a repair, or were answered.
UNUSUAL = ("stale", "damaged", "cleared")


def shown_states(status: Status) -> tuple[str, ...]:
    """The columns of a table; nobody needs one for what was never done."""
    return STATES if status.cleared else tuple(state for state in STATES if state != "cleared")


LOST = "run lost, will be requested again"

Runs = Mapping[str, int]


def status_json(status: Status, runs: Runs | None) -> dict[str, Any]:
    shown = replace(status, pending_keys=())  # counted; a large bucket has many
    document = asdict(shown) | {"reasons": dict(status.reasons), "episodes": status.episodes}
    del document["pending_keys"]
    return document | {"runs": None if runs is None else dict(runs)}


def headline(status: Status, runs: Runs | None) -> str:
    """One line: where it stands, how fast it goes, how long it will take."""
    parts = [
        f"{getattr(status, state)} {state}"
        for state in STATES
        if state not in UNUSUAL or getattr(status, state)
    ]
    if runs is not None:
        parts += [f"{count} runs {state}" for state, count in runs.items()]
    if status.lost:
        parts.append(f"{len(status.lost)} {LOST}")
    parts.append(f"{status.per_minute:.1f} a minute")
    if status.seconds_left is not None:
        parts.append(f"about {duration(status.seconds_left)} left")
    sizes = [f"{size.format}: {size.episodes} episodes" for size in status.datasets]
    behind = "" if status.is_up_to_date else " (an update is due)"
    if sizes:
        parts.append(f"dataset {', '.join(sizes)}{behind}")
    return f"{status.dataset}: {', '.join(parts)}"


def source_rows(status: Status) -> list[list[object]]:
    return [
        [
            one.source or "(all)",
            *(getattr(one, state) for state in shown_states(status)),
            _when(one.last_update_s),
        ]
        for one in status.sources
    ]


def warning_line(status: Status) -> str | None:
    """``converted with warnings: clock_offset (3 episodes), ...``; None where there are none."""
    told = [f"{code} ({counted(count, 'episode')})" for code, count in status.warnings.items()]
    return safe(f"converted with warnings: {', '.join(told)}") if told else None


def cleared_line(status: Status) -> str | None:
    """That failed episodes were set aside, and how they come back; None where none was."""
    if not status.cleared:
        return None
    these = counted(status.cleared, "failed episode")
    return (
        f"{these} cleared: not tried again until the content changes (see scan); "
        "retry CONFIG EPISODE tries one now"
    )


def refusal_rows(status: Status) -> list[list[object]]:
    return [[one.key, one.reason, one.message] for one in status.refusals[:MOST_SHOWN]]


def named_rows(status: Status) -> list[list[object]]:
    """Every episode that is not converted, for ``-v``."""
    lost = {one.key: f"{LOST}, not before {_when(one.due_s)}" for one in status.lost}
    rows: list[list[object]] = []
    rows += [[key, "pending", lost.get(key, "")] for key in status.pending_keys]
    for state, ones in (("refused", status.refusals), ("cleared", status.cleared_ones)):
        rows += [[one.key, state, f"{one.reason}: {one.message}"] for one in ones]
    return rows


def lost_rows(status: Status) -> list[list[object]]:
    return [[one.key, LOST, _when(one.due_s)] for one in status.lost[:MOST_SHOWN]]


def drawn(status: Status, runs: Runs | None, *, verbose: bool = False) -> RenderableType:
    """Everything at once, for a terminal that is drawn again and again."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    sources = Table("source", *shown_states(status), "last update", header_style="bold")
    for row in source_rows(status):
        sources.add_row(*(Text(safe(str(cell))) for cell in row))
    parts: list[RenderableType] = [Text(headline(status, runs)), sources]
    if (warned := warning_line(status)) is not None:
        parts.append(Text(warned))
    if (told := cleared_line(status)) is not None:
        parts.append(Text(told))
    if verbose and (rows := named_rows(status)):
        named = Table("episode", "state", "why", header_style="bold")
        for row in rows:
            named.add_row(*(Text(safe(str(cell)), overflow="fold") for cell in row))
        return Group(*parts, named)
    if status.lost:
        lost = Table("pending", "why", "not before", header_style="bold")
        for row in lost_rows(status):
            lost.add_row(*(Text(safe(str(cell))) for cell in row))
        parts.append(lost)
    if status.refusals:
        refused = Table("refused", "reason", "message", header_style="bold")
        for row in refusal_rows(status):
            refused.add_row(*(Text(safe(str(cell)), overflow="fold") for cell in row))
        parts.append(refused)
        if len(status.refusals) > MOST_SHOWN:
            parts.append(Text(f"and {len(status.refusals) - MOST_SHOWN} more (see scan)"))
    return Group(*parts)


def prometheus(status: Status, runs: Runs | None) -> str:
    """The text format that Prometheus scrapes, such as by node_exporter's textfile collector."""
    lines: list[str] = []
    for name, help_text, samples in _metrics(status, runs):
        full = f"lerobot_pipelines_{name}"
        lines += [f"# HELP {full} {help_text}", f"# TYPE {full} gauge"]
        for labels, value in samples:
            labelled = {"dataset": status.dataset, **labels}
            text = ",".join(f'{key}="{_escaped(value)}"' for key, value in labelled.items())
            lines.append(
                f"{full}{{{text}}} {value:g}" if value < 1e6 else f"{full}{{{text}}} {value!r}"
            )
    return "\n".join(lines) + "\n"


Samples = list[tuple[dict[str, str], float]]


def _metrics(status: Status, runs: Runs | None) -> Iterator[tuple[str, str, Samples]]:
    yield (
        "episodes",
        "Episodes in the bucket by state.",
        [
            ({"source": one.source, "state": state}, getattr(one, state))
            for one in status.sources
            for state in STATES
        ],
    )
    yield (
        "refused_episodes",
        "Refused episodes by reason.",
        [({"reason": reason}, count) for reason, count in sorted(status.reasons.items())],
    )
    yield (
        "episodes_with_warnings",
        "Converted episodes by the code of a warning they have; one may have several.",
        [({"code": code}, count) for code, count in status.warnings.items()],
    )
    yield (
        "last_update_timestamp_seconds",
        "When an episode of the source was last converted or refused.",
        [
            ({"source": one.source}, one.last_update_s)
            for one in status.sources
            if one.last_update_s is not None
        ],
    )
    yield "episodes_per_minute", "Speed over the last hour.", [({}, status.per_minute)]
    if status.seconds_left is not None:
        yield (
            "seconds_left",
            "Estimated time until nothing is pending.",
            [({}, status.seconds_left)],
        )
    yield (
        "dataset_episodes",
        "Episodes in the dataset.",
        [({"format": size.format}, size.episodes) for size in status.datasets],
    )
    yield "dataset_up_to_date", "1 when it holds what is ready.", [({}, status.is_up_to_date)]
    if runs is not None:
        samples: Samples = [({"state": state}, count) for state, count in runs.items()]
        yield "runs", "Dagster runs of the dataset that are not finished.", samples


def duration(seconds: float) -> str:
    """``45 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _when(seconds: float | None) -> str | None:
    return None if seconds is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _escaped(label: str) -> str:
    return label.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
