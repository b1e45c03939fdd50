"""Which pictures to ask of the recording, and which rows each of them becomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.model import AlignedFrames, Recording
from lerobot_pipelines.video.statistics import sample_rows

# Pictures that only make sense after the ones before them; see ``wanted_pictures``.
PACKET_ENCODINGS = frozenset({"h264", "hevc"})


@dataclass(frozen=True, slots=True)
class Track:
    """One camera feature's way through the rows. ``ids`` are the distinct pictures it shows.

    Picture ``ids[i]`` is shown by the rows ``first_rows[i]`` to ``first_rows[i] + repeats[i] - 1``.
    """

    feature: str
    stream: str
    ids: NDArray[np.int64]
    first_rows: NDArray[np.int64]
    repeats: NDArray[np.int64]
    segments: NDArray[np.int32]  # (rows,)
    sampled: NDArray[np.bool_]  # (rows,): counts for the statistics

    def repeated(self, segment: int) -> int:
        """How many rows of the segment show the picture of the row before."""
        rows = self.segments == segment
        shown = np.repeat(self.ids, self.repeats)[rows]
        return int(np.count_nonzero(np.diff(shown) == 0))


def plan_tracks(frames: AlignedFrames) -> list[Track]:
    """A track per camera feature. Refuses rows that go back in time."""
    sampled = _sampled_rows(frames.segments)
    return [
        _track(feature, frames.picture_streams[feature], ids, frames.segments, sampled)
        for feature, ids in frames.pictures.items()
    ]


def wanted_pictures(
    recording: Recording, tracks: Sequence[Track]
) -> Mapping[str, NDArray[np.int64]]:
    """The ids to ask of ``recording.pictures``, per stream, for all tracks in one pass.

    A stream whose ``details["encoding"]`` is "h264" or "hevc" holds packets that need the ones
    before them: it is asked for everything from its first picture on.
    """
    wanted: dict[str, NDArray[np.int64]] = {}
    for track in tracks:
        before = wanted.get(track.stream)
        wanted[track.stream] = track.ids if before is None else np.union1d(before, track.ids)
    for name, ids in wanted.items():
        if recording.streams[name].details.get("encoding") in PACKET_ENCODINGS:
            wanted[name] = np.arange(int(ids[-1]) + 1, dtype=np.int64)
    return wanted


def _track(
    feature: str,
    stream: str,
    ids: NDArray[np.int64],
    segments: NDArray[np.int32],
    sampled: NDArray[np.bool_],
) -> Track:
    if ids.size != segments.size or not ids.size or ids[0] < 0 or np.any(np.diff(ids) < 0):
        raise Refused(
            Reason.CORRUPT_ARTIFACT,
            f"the rows do not name the pictures of {feature} in the order of time; "
            "materialise aligned_frames again",
        )
    distinct, first_rows, repeats = np.unique(ids, return_index=True, return_counts=True)
    return Track(feature, stream, distinct, first_rows, repeats, segments, sampled)


def _sampled_rows(segments: NDArray[np.int32]) -> NDArray[np.bool_]:
    sampled = np.zeros(segments.size, dtype=np.bool_)
    for segment in np.unique(segments):
        rows = np.flatnonzero(segments == segment)
        sampled[rows[sample_rows(rows.size)]] = True
    return sampled
