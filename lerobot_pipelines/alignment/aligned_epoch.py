"""The rows of one epoch (see ``epochs``), and what they become together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.alignment.epochs import Epoch
from lerobot_pipelines.alignment.report import Figures, report_of
from lerobot_pipelines.alignment.search import Indices
from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.intake import IntakeCode, IntakeEntry, Severity
from lerobot_pipelines.model import AlignedFrames, Recording, Stamps

#: For these an epoch is left out like a segment that is too short; others refuse the recording.
EPOCH_REFUSALS = frozenset(
    {Reason.NO_OVERLAP, Reason.TOO_FEW_FRAMES, Reason.TOO_SHORT, Reason.TOO_LONG}
    | {Reason.MISSING_STREAM, Reason.MISSING_CAMERA}
)


@dataclass(frozen=True, slots=True)
class AlignedEpoch:
    """As ``AlignedFrames``, before the report is made; segments are numbered from 0."""

    fps: int
    row_times_ns: Stamps
    segments: NDArray[np.int32]
    features: Mapping[str, NDArray[Any]]
    feature_names: Mapping[str, Sequence[str]]
    recorded_names: Mapping[str, Sequence[str]]
    pictures: Mapping[str, Indices]
    picture_ages_ns: Mapping[str, Stamps]
    picture_streams: Mapping[str, str]
    figures: Figures

    def frames(self) -> AlignedFrames:
        return merged([self], ())


def merged(epochs: Sequence[AlignedEpoch], intake: Sequence[IntakeEntry]) -> AlignedFrames:
    """All rows, epoch by epoch; each epoch's segments are its own.

    Raises ``Refused`` (clock_step) if not all of them have the same features.
    """
    first = epochs[0]
    for epoch in epochs[1:]:
        one = {*epoch.features, *epoch.pictures}
        if missing := one ^ {*first.features, *first.pictures}:
            raise Refused(
                Reason.CLOCK_STEP,
                "the sides of a step of the clock do not have the same features "
                f"({', '.join(sorted(missing))} is missing on one); leave out the optional "
                "streams and cameras",
            )
    counts = np.cumsum([0, *(int(epoch.segments[-1]) + 1 for epoch in epochs)])
    segments = [
        (epoch.segments + count).astype(np.int32)
        for epoch, count in zip(epochs, counts[:-1].tolist(), strict=True)
    ]
    return AlignedFrames(
        fps=first.fps,
        row_times_ns=_joined([epoch.row_times_ns for epoch in epochs]),
        segments=_joined(segments),
        features={key: _joined([e.features[key] for e in epochs]) for key in first.features},
        feature_names=first.feature_names,
        recorded_names=first.recorded_names,
        pictures={key: _joined([e.pictures[key] for e in epochs]) for key in first.pictures},
        picture_ages_ns={
            key: _joined([e.picture_ages_ns[key] for e in epochs]) for key in first.picture_ages_ns
        },
        picture_streams=first.picture_streams,
        report=report_of([epoch.figures for epoch in epochs], intake),
    )


def recording_ids(recording: Recording, stream: str, ids: Indices) -> Indices:
    """Positions of pictures in the recording, from those in one of its epochs."""
    return ids + recording.parts[stream].start if isinstance(recording, Epoch) else ids


def trimmed_outside(config: DatasetConfig, *, first: bool, last: bool) -> DatasetConfig:
    """The settings of one epoch: what is trimmed is trimmed at the recording's two ends."""
    kept = config.alignment
    trims = {
        "trim_start_frames": kept.trim_start_frames if first else 0,
        "trim_end_frames": kept.trim_end_frames if last else 0,
    }
    return config.model_copy(update={"alignment": kept.model_copy(update=trims)})


def left_out(epoch: Epoch, stream: str, refusal: Refused) -> IntakeEntry:
    """What is said of an epoch that gives no rows."""
    found = epoch.streams[stream]
    return IntakeEntry(
        IntakeCode.CLOCK_STEP,
        Severity.WARNING,
        "",
        f"one side of the step of the clock is left out: {refusal.message}",
        found.count,
        found.start_ns,
        found.end_ns,
        {"reason": str(refusal.reason)},
    )


def _joined(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """A copy only where there are several."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
