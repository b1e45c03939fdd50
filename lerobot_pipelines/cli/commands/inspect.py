"""``inspect``: what is in one recording."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lerobot_pipelines.cli import exits
from lerobot_pipelines.cli.configuration import json_option, read_config
from lerobot_pipelines.cli.text import counted, safe

if TYPE_CHECKING:
    from lerobot_pipelines.model import Recording

MOST_GAPS = 20
MOST_FAULTS = 50
MOST_TOPICS = 200


@click.command(short_help="Show what is in a recording: streams, rates, gaps, faults.")
@click.argument("recording", metavar="RECORDING", type=click.Path(exists=True, path_type=Path))
@click.option("--config", metavar="CONFIG", help="Read it as this configuration does.")
@click.option(
    "--gap-ms",
    type=click.FloatRange(min=0.0, min_open=True),
    help="List holes longer than this. [default: the configuration's, else 500]",
)
@click.option("--suggest-config", is_flag=True, help="Print a configuration that converts it.")
@json_option
def command(
    recording: Path, config: str | None, gap_ms: float | None, suggest_config: bool, as_json: bool
) -> int:
    """Show what is in a recording: its streams, their rates and clocks, gaps and faults.

    RECORDING is a bag (.bag, .db3 or its folder, .mcap) or an episode's folder that holds "joints"
    and "images". Without --config every stream found is listed, named after its file or topic;
    with it those that the configuration names, as it reads them. No picture is decoded.

    --suggest-config prints a YAML that converts recordings like this one: every camera, and the
    vector streams that look like joints. Read it through before use: what is measured and what is
    commanded is guessed from the names.

    \b
    Examples:
      lerobot-pipelines inspect bucket/raw/bottle/episode_0001.bag
      lerobot-pipelines inspect recordings/bottle/episode_0001 --config my_robot.yaml
      lerobot-pipelines inspect episode_0001.bag --suggest-config > my_robot.yaml

    \b
    Exit codes:
      0  readable; what was left out is listed under faults
      1  cannot be read, or lacks what the configuration requires
      2  wrong usage or configuration
      3  no stream found
    """
    from lerobot_pipelines.cli.suggestion import suggest
    from lerobot_pipelines.config.schema import FilterConfig
    from lerobot_pipelines.recordings import open_recording, report_streams, source_from_path

    resolved = None if config is None else read_config(config, {})
    filtering = FilterConfig() if resolved is None else resolved.filtering
    source = source_from_path(recording)
    opened = open_recording(source, resolved)
    try:
        if not opened.streams:
            _print_nothing(recording, opened)
            return exits.NOTHING
        if suggest_config:
            click.echo(suggest(source, report_streams(opened)), nl=False)
            return exits.OK
        document = _describe(opened, gap_ms or filtering.max_timestamp_gap_ms or 500.0)
    finally:
        opened.close()
    if as_json:
        from lerobot_pipelines.cli.tables import show_json

        show_json(document)
    else:
        _print(document)
    return exits.OK


def _print_nothing(path: Path, opened: Recording) -> None:
    """What the recording holds instead of pictures and numbers."""
    click.echo(f"{safe(str(path))}: no stream of pictures or numbers found", err=True)
    for name, topic in getattr(opened, "topics", {}).items():
        problem = f", {topic.problem}" if topic.problem else ""
        messages = counted(topic.count, "message")
        click.echo(f"  {safe(name)}: {safe(topic.type_name)}, {messages}{safe(problem)}", err=True)
    for fault in opened.faults:
        click.echo(f"  {_told(fault.stream, fault.where, fault.reason, fault.count)}", err=True)


def _describe(recording: Recording, gap_ms: float) -> dict[str, Any]:
    from lerobot_pipelines.recordings import container_of, report_streams

    source = recording.source
    streams = [
        asdict(report)
        | {"duration_s": (report.end_ns - report.start_ns) / 1e9 if report.count else None}
        for report in report_streams(recording)
    ]
    return {
        "key": source.key,
        "uri": source.uri,
        "container": container_of(source.members),
        "files": len(source.members),
        "bytes": sum(member.size for member in source.members),
        "metadata": _plain(dict(recording.metadata)),
        "streams": _plain(streams),
        "gap_ms": gap_ms,
        "gaps": [gap for name in recording.streams for gap in _gaps(recording, name, gap_ms)],
        "other_topics": _other_topics(recording),
        "faults": [asdict(fault) for fault in recording.faults],
    }


def _other_topics(recording: Recording) -> list[dict[str, Any]]:
    """Topics of a bag that no stream is made of."""
    used = {stream.origin for stream in recording.streams.values()}
    return [
        {
            "topic": name,
            "type": topic.type_name,
            "count": topic.count,
        }
        for name, topic in getattr(recording, "topics", {}).items()
        if name not in used
    ]


def _gaps(recording: Recording, stream: str, gap_ms: float) -> list[dict[str, Any]]:
    """Every hole of the stream longer than ``gap_ms``, in time order."""
    import numpy as np

    stamps = recording.timestamps(stream)
    steps_ms = np.diff(stamps) / 1e6
    return [
        {
            "stream": stream,
            "at_s": float(stamps[index] - stamps[0]) / 1e9,
            "length_ms": float(steps_ms[index]),
        }
        for index in np.flatnonzero(steps_ms > gap_ms)
    ]


def _plain(value: object) -> Any:
    """Data that JSON holds: recordings carry numpy numbers, and ``NaN``, which becomes text."""
    return json.loads(json.dumps(value, default=_plain_leaf), parse_constant=str)


def _plain_leaf(value: Any) -> object:
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _print(document: dict[str, Any]) -> None:
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
    _print_list(
        "faults (left out of the recording)",
        [
            _told(fault["stream"], fault["where"], fault["reason"], fault["count"])
            for fault in document["faults"]
        ],
        MOST_FAULTS,
    )


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


def _told(stream: str, where: str, reason: str, count: int) -> str:
    return safe(f"{stream}: {where}: {reason}" + (f" ({count} times)" if count > 1 else ""))


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
