"""What is known of a recording's streams before anything is aligned."""

from __future__ import annotations

import numpy as np

from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.intake import IntakeEntry, entries_of_faults
from lerobot_pipelines.model import Recording, StreamKind, StreamReport
from lerobot_pipelines.periods import steady_rate_hz
from lerobot_pipelines.recordings.clock_evidence import compare_clocks, shifts_of

_USUAL_RATE_HZ = 30.0


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


def report_intake(
    recording: Recording, config: DatasetConfig | None = None
) -> tuple[IntakeEntry, ...]:
    """All there is to say of a recording: the reader's entries, how its clocks compare, its faults.

    ``config`` is the one that it was opened with. Reads what was not read yet.
    """
    faults = entries_of_faults(recording.faults)
    streams = list(recording.streams.values())
    clocks = compare_clocks(
        streams,
        row_ms=1000 / (_frame_rate_hz(recording) if config is None else config.dataset.fps),
        offsets_ms=None if config is None else shifts_of(config),
    )
    return (*recording.intake, *clocks, *faults)


def _frame_rate_hz(recording: Recording) -> float:
    """Of the fastest camera: what the rows would be."""
    rates = [
        steady_rate_hz(recording.timestamps(name)) or 0.0
        for name, stream in recording.streams.items()
        if stream.kind is StreamKind.PICTURE
    ]
    return max(rates, default=0.0) or _USUAL_RATE_HZ
