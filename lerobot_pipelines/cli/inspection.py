"""What ``inspect`` says of a recording, as one JSON document."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from lerobot_pipelines.cli.intake_text import intake_json, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lerobot_pipelines.intake import IntakeEntry
    from lerobot_pipelines.model import Recording


def describe(recording: Recording, entries: Sequence[IntakeEntry], gap_ms: float) -> dict[str, Any]:
    """Streams, holes longer than ``gap_ms``, faults and the intake report, as JSON holds them."""
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
        "metadata": plain(dict(recording.metadata)),
        "streams": plain(streams),
        "gap_ms": gap_ms,
        "gaps": [gap for name in recording.streams for gap in _gaps(recording, name, gap_ms)],
        "other_topics": _other_topics(recording),
        "faults": [asdict(fault) for fault in recording.faults],
        "intake": intake_json(entries),
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
