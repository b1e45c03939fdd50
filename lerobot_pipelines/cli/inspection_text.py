"""``inspect`` for people: tables and lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from lerobot_pipelines.cli.intake_text import by_severity
from lerobot_pipelines.cli.text import counted, safe
from lerobot_pipelines.intake import IntakeEntry

MOST_GAPS = 20
MOST_FAULTS = 50
MOST_TOPICS = 200


def print_inspection(document: dict[str, Any], entries: Sequence[IntakeEntry]) -> None:
    """For people; ``document`` is that of ``inspection.describe``, ``entries`` its report."""
    from lerobot_pipelines.cli.tables import left, right, show_table

    click.echo(
        f"{safe(document['key'])}: {document['container']}, {counted(document['files'], 'file')}, "
        f"{document['bytes'] / 1e6:.1f} MB"
    )
    typed = any("type" in stream["details"] for stream in document["streams"])
    kinds = {
        str(s["details"]["compression"])
        for s in document["streams"]
        if "compression" in s["details"]
    }
    if kinds:
        click.echo(f"compression: {safe(', '.join(sorted(kinds)))}")
    for name, value in document["metadata"].items():
        if name != "marks":
            click.echo(f"{safe(name)}: {safe(str(value))}")
    click.echo()
    show_table(
        [
            *left("stream", "kind", "origin"),
            *right("count", "rate Hz", "longest gap ms", "duration s", "dim"),
            *left("clock"),
            *(left("type") if typed else ()),
            *(right("skew ms") if typed else ()),
        ],
        [
            [
                stream["name"],
                stream["kind"],
                stream["origin"],
                stream["count"],
                _rounded(stream["median_rate_hz"], 2),
                _rounded(stream["longest_gap_ms"], 1),
                _rounded(stream["duration_s"], 2),
                stream["dimension"],
                stream["clock"],
                *(_of_topic(stream["details"]) if typed else ()),
            ]
            for stream in document["streams"]
        ],
    )
    _print_list(
        f"gaps longer than {document['gap_ms']:g} ms",
        [
            f"{gap['stream']} at {gap['at_s']:.3f} s: {gap['length_ms']:.1f} ms"
            for gap in document["gaps"]
        ],
        MOST_GAPS,
    )
    _print_marks(document["metadata"])
    if peculiar := [text for stream in document["streams"] for text in _peculiarities(stream)]:
        _print_list("peculiarities of stamps and messages", peculiar, MOST_FAULTS)
    if others := document["other_topics"]:
        _print_list(
            "topics that are no stream here",
            [
                f"{one['topic']}: {one['type']}, {counted(one['count'], 'message')}"
                for one in others
            ],
            MOST_TOPICS,
        )
    _print_intake(document, entries)


def _print_intake(document: dict[str, Any], entries: Sequence[IntakeEntry]) -> None:
    """What was assumed, passed over, repaired or left out: warnings, then notes."""
    start_ns = min((one["start_ns"] for one in document["streams"] if one["count"]), default=None)
    groups = dict(by_severity(entries, start_ns))
    for title, lines in {"warnings": [], **groups}.items():
        _print_list(title, lines, MOST_FAULTS)


def _print_marks(metadata: dict[str, Any]) -> None:
    from lerobot_pipelines.recordings.marks import marks_of

    marks, others = marks_of(metadata)
    if marks or others:
        lines = [f"{mark.start:.1%} to {mark.end:.1%}: {mark.text}" for mark in marks]
        lines += [f"{counted(others, 'mark')} without text or place"] if others else []
        _print_list("marks (shares of the recording)", lines, MOST_FAULTS)


def _peculiarities(stream: dict[str, Any]) -> list[str]:
    """What is not wrong, but good to know before the stream is used."""
    details = stream["details"]
    known = {
        "non_monotonic": "stamps that went backwards, put in order",
        "joint_order_changed": "messages that list the same joints in another order",
        "other_messages": "messages about other joints, passed over",
    }
    found = [
        f"{stream['name']}: {details[key]} {text}" for key, text in known.items() if key in details
    ]
    if "clock_fallback" in details:
        found.append(f"{stream['name']}: recorder's stamps, because {details['clock_fallback']}")
    return found


def _print_list(title: str, lines: list[str], most: int) -> None:
    click.echo(f"\n{title}: {len(lines) or 'none'}")
    for line in lines[:most]:
        click.echo(f"  {safe(line)}")
    if len(lines) > most:
        click.echo(f"  ... and {len(lines) - most} more (--json lists all)")


def _of_topic(details: dict[str, Any]) -> tuple[str | None, str | None]:
    """Message type, and how much later than the sensor the recorder stamped: median and range."""
    skew = details.get("skew_ms")
    told = f"{skew['p50']:.1f} ({skew['min']:.1f}..{skew['max']:.1f})" if skew else None
    encoding = f" ({details['encoding']})" if "encoding" in details else ""
    return f"{details.get('type', '-')}{encoding}", told


def _rounded(value: float | None, digits: int) -> str | None:
    return None if value is None else f"{value:.{digits}f}"
