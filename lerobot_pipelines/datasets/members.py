"""What a dataset remembers of the episodes it holds; part of the ledger's state.

A member is a converted recording; each of its segments is one LeRobot episode. The order of the
members is the order of the episodes.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from lerobot_pipelines.datasets.intake_summary import IntakeSummary, summary_of
from lerobot_pipelines.datasets.records import (
    EpisodeRecord,
    FeatureRecord,
    Record,
    SegmentRecord,
)
from lerobot_pipelines.model import DepthCoding


class VideoFormat(Record):
    """What all videos of one camera feature must share: info.json states it once."""

    codec: str
    pix_fmt: str
    width: int
    height: int
    depth: DepthCoding | None = None


class DatasetSchema(Record):
    """What all episodes must share."""

    fps: int
    features: dict[str, FeatureRecord]  # the five defaults are not in it
    videos: dict[str, VideoFormat]

    @property
    def cameras(self) -> tuple[str, ...]:
        return tuple(self.videos)

    @property
    def vectors(self) -> dict[str, FeatureRecord]:
        return {name: one for name, one in self.features.items() if one.dtype != "video"}


class VideoPart(Record):
    """One episode's mp4, as its record names it."""

    key: str
    etag: str = ""
    sha256: str
    bytes: int
    frames: int
    parameters: str = ""


class Segment(Record):
    segment: int
    first_row: int
    length: int
    tasks: tuple[str, ...]
    videos: dict[str, VideoPart]


class Member(Record):
    record_key: str
    etag: str  # of the record when it was read
    digest: str  # of what the record says
    key: str
    source: str | None
    uri: str
    fingerprint: str
    config_hash: str
    code_version: str
    frames_key: str
    frames_sha256: str
    frames_etag: str = ""
    frames_bytes: int = 0
    segments: tuple[Segment, ...]
    intake: IntakeSummary | None = None  # None: converted before there was a report


@dataclass(frozen=True)
class Episode:
    """A segment with the numbers that the dataset gives it."""

    index: int
    first_index: int  # of its first row, over the whole dataset
    task_index: int
    member: Member
    segment: Segment

    @property
    def id(self) -> tuple[str, int]:
        return self.member.record_key, self.segment.segment

    @property
    def length(self) -> int:
        return self.segment.length

    @cached_property
    def rows_identity(self) -> str:
        """Equal exactly when the episode's rows in the data files are."""
        return (
            f"{self.member.frames_sha256}:{self.segment.first_row}:{self.length}"
            f":{self.index}:{self.first_index}:{self.task_index}"
        )

    @property
    def description_identity(self) -> str:
        """Equal exactly when tasks, length, numbers and statistics are."""
        return f"{self.member.digest}:{self.segment.segment}:{self.rows_identity}"


# An ETag tells one upload of the same content from another, which changes no dataset.
_NOT_IN_DIGEST: Any = {
    "segments": {"__all__": {"videos": {"__all__": {"etag"}}}},
    "frames_etag": True,
    "frames_bytes": True,
}


def record_digest(record: EpisodeRecord) -> str:
    # Without entries as before there were any: ledgers hold digests of such records.
    unset = {} if record.intake else {"intake": True}
    text = record.model_dump_json(exclude=_NOT_IN_DIGEST | unset)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Candidate:
    """What deciding about a record needs; records themselves are too large to keep by hundreds."""

    member: Member
    schemas: tuple[DatasetSchema, ...]  # one per segment
    broken_checks: tuple[str, ...]


def candidate_of(record: EpisodeRecord, record_key: str, etag: str) -> Candidate:
    member = Member(
        record_key=record_key,
        etag=etag,
        digest=record_digest(record),
        key=record.key,
        source=record.source,
        uri=record.uri,
        fingerprint=record.fingerprint,
        config_hash=record.config_hash,
        code_version=record.code_version,
        frames_key=record.frames_key,
        frames_sha256=record.frames_sha256,
        frames_etag=record.frames_etag,
        frames_bytes=record.frames_bytes,
        segments=tuple(_segment(segment) for segment in record.segments),
        intake=summary_of(record),
    )
    return Candidate(
        member,
        tuple(
            DatasetSchema(fps=record.fps, features=record.features, videos=_formats(segment))
            for segment in record.segments
        ),
        tuple(_broken_checks(record)),
    )


def schema_difference(found: DatasetSchema, wanted: DatasetSchema) -> str | None:
    """What keeps an episode out of a dataset of the schema ``wanted``, as a clause, or None."""
    if found.fps != wanted.fps:
        return f"its rate is {found.fps} fps, the dataset's is {wanted.fps}"
    for name in sorted(found.features.keys() | wanted.features.keys()):
        one, other = found.features.get(name), wanted.features.get(name)
        if _apart_from_recorded(one) != _apart_from_recorded(other):
            return f'feature "{name}" is {_told(one)}, in the dataset {_told(other)}'
        if moved := _moved(one, other):
            return f'feature "{name}": {moved}'
    for name in sorted(found.videos.keys() | wanted.videos.keys()):
        video, expected = found.videos.get(name), wanted.videos.get(name)
        if video != expected:
            return f'video "{name}" is {_shown(video)}, in the dataset {_shown(expected)}'
    return None


def joint_names_remedy(found: DatasetSchema, wanted: DatasetSchema) -> str | None:
    """What to do where the first difference is the names of a feature's elements alone."""
    for name in sorted(found.features.keys() | wanted.features.keys()):
        one, other = found.features.get(name), wanted.features.get(name)
        moved = _moved(one, other)
        if _apart_from_recorded(one) == _apart_from_recorded(other) and moved is None:
            continue
        if one is None or other is None or (one.dtype, one.shape) != (other.dtype, other.shape):
            return None
        remedy = (
            f'in joint_names (bags) or columns (files) of the streams of "{name}", in the order of '
            "the dataset, and convert it again"
        )
        if moved or sorted(_listed(one.names)) == sorted(_listed(other.names)):
            return f"its joints come in another order: list them {remedy}"
        return (
            f"it names other joints: list those of the dataset {remedy}; episodes made before "
            "joints had names are to be converted again as well"
        )
    return None


def number_episodes(
    members: Iterable[Member], tasks: Sequence[str], known: Sequence[Episode] = ()
) -> list[Episode]:
    """The episodes with their indices; every member's tasks must be in ``tasks``.

    ``known`` are those of an earlier state, whose tasks had the same indices: as far as the members
    are the very same objects, so are the episodes, with all that was worked out of them.
    """
    task_indices = {task: index for index, task in enumerate(tasks)}
    episodes: list[Episode] = []
    first_index = 0
    segments = _segments(members)
    for old, (member, segment) in zip(known, segments, strict=False):
        if old.member is not member or old.segment is not segment:
            segments = itertools.chain([(member, segment)], segments)
            break
        episodes.append(old)
        first_index += old.length
    for member, segment in segments:
        task_index = task_indices[segment.tasks[0]]
        episodes.append(Episode(len(episodes), first_index, task_index, member, segment))
        first_index += segment.length
    return episodes


def all_tasks(known: Sequence[str], members: Iterable[Member]) -> list[str]:
    """The known tasks, then new ones in order of appearance: a task never changes its index."""
    tasks = dict.fromkeys(known)
    for _, segment in _segments(members):
        tasks.update(dict.fromkeys(segment.tasks))
    return list(tasks)


def _broken_checks(record: EpisodeRecord) -> Iterator[str]:
    for check in record.checks:
        if not check.passed and check.severity == "error":
            yield " ".join(filter(None, (check.name, check.description)))
    for segment in record.segments:
        for name, statistics in segment.statistics.items():
            # The one thing that the dataset's own statistics cannot do without.
            if "histogram" not in statistics:
                yield f"{name} holds values that are not finite"


def _segments(members: Iterable[Member]) -> Iterator[tuple[Member, Segment]]:
    return ((member, segment) for member in members for segment in member.segments)


def _formats(segment: SegmentRecord) -> dict[str, VideoFormat]:
    return {
        camera: VideoFormat(
            codec=video.codec,
            pix_fmt=video.pix_fmt,
            width=video.width,
            height=video.height,
            depth=video.depth,
        )
        for camera, video in segment.videos.items()
    }


def _segment(record: SegmentRecord) -> Segment:
    return Segment(
        segment=record.segment,
        first_row=record.first_row,
        length=record.length,
        tasks=record.tasks,
        videos={
            camera: VideoPart(
                key=video.key,
                etag=video.etag,
                sha256=video.sha256,
                bytes=video.bytes,
                frames=video.frames,
                parameters=video.parameters,
            )
            for camera, video in record.videos.items()
        },
    )


def _shown(video: VideoFormat | None) -> str:
    if video is None:
        return "missing"
    shown = f"{video.codec} {video.pix_fmt} {video.width}x{video.height}"
    if (depth := video.depth) is None:
        return shown
    return f"{shown} of {depth.nearest_m:g} to {depth.farthest_m:g} m in {depth.unit}"


def _apart_from_recorded(feature: FeatureRecord | None) -> FeatureRecord | None:
    return None if feature is None else feature.model_copy(update={"recorded_names": None})


def _moved(one: FeatureRecord | None, other: FeatureRecord | None) -> str | None:
    """Which joint, as recordings call it, is another element here than in the dataset.

    Names that only one of them has say nothing: two robots may call the same joint otherwise.
    """
    ours = one.recorded_names or [] if one is not None else []
    theirs = other.recorded_names or [] if other is not None else []
    for at, name in enumerate(ours):
        if name and ours.count(name) == theirs.count(name) == 1 and theirs.index(name) != at:
            return f"joint {name} is its element {at}, in the dataset element {theirs.index(name)}"
    return None


def _listed(names: list[str] | dict[str, list[str]] | None) -> list[str]:
    groups = names.values() if isinstance(names, dict) else [names or []]
    return [name for group in groups for name in group]


def _told(feature: FeatureRecord | None) -> str:
    if feature is None:
        return "missing"
    return f"{feature.dtype} {list(feature.shape)} {feature.names or ''}".strip()
