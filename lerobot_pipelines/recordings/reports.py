"""What is known of a recording's streams before anything is aligned."""

from __future__ import annotations

import numpy as np

from lerobot_pipelines.intake import IntakeEntry, entries_of_faults
from lerobot_pipelines.model import Recording, StreamReport
from lerobot_pipelines.periods import steady_rate_hz


def report_streams(recording: Recording) -> list[StreamReport]:
    """One report per stream, in the recording's order. Rates and gaps need two samples."""
    reports = []
    for name, stream in recording.streams.items():
        stamps = recording.timestamps(name)
        steps_ns = np.diff(stamps)
        reports.append(
            StreamReport(
                name=name,
                kind=stream.kind,
                origin=stream.origin,
                clock=stream.clock,
                count=stream.count,
                start_ns=stream.start_ns,
                end_ns=stream.end_ns,
                median_rate_hz=steady_rate_hz(stamps),
                longest_gap_ms=float(steps_ns.max()) / 1e6 if len(steps_ns) else None,
                dimension=stream.dimension,
                details=stream.details,
            )
        )
    return reports


def report_intake(recording: Recording) -> tuple[IntakeEntry, ...]:
    """All that the reader has to say of a recording: its own entries, then its faults.

    Reads what was not read yet.
    """
    faults = entries_of_faults(recording.faults)
    return (*recording.intake, *faults)
