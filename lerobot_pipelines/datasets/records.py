"""The verdict on one converted episode, as stored in ``episode.json`` beside its artifacts.

It is all the dataset writers need to know of an episode besides the rows and the mp4 files it
names. It holds neither ``episode_index`` nor the global ``index``: the dataset assigns those.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

from lerobot_pipelines.intake import IntakeEntry
from lerobot_pipelines.model import DepthCoding, PictureProof

SCHEMA_VERSION = 1


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CheckResult(Record):
    """One named promise, kept or broken. A broken ``error`` keeps the episode out."""

    name: str
    passed: bool
    severity: Literal["error", "warn"] = "error"
    description: str = ""
    values: dict[str, Any] = {}


class FeatureRecord(Record):
    """A LeRobot feature: ``dtype`` "float32", "bool", ... or "video"; ``shape`` per row."""

    dtype: str
    shape: tuple[int, ...]
    names: list[str] | dict[str, list[str]] | None = None
    recorded_names: list[str] | None = None  # see ``AlignedFrames``

    @model_serializer(mode="wrap")
    def _without_unset(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """As before there were any: ledgers hold digests of such records."""
        values: dict[str, Any] = handler(self)
        if values.get("recorded_names") is None:
            values.pop("recorded_names", None)
        return values


class VideoRecord(Record):
    """One mp4 in the bucket."""

    key: str
    etag: str = ""  # of the object that was found to have this content; "": not known
    bytes: int
    sha256: str
    frames: int
    codec: str
    pix_fmt: str
    width: int
    height: int
    fps: int
    parameters: str = ""  # see video.VideoProbe; "": not known
    proof: PictureProof | None = None
    depth: DepthCoding | None = None  # None: colours
    sampled_frames: int
    histogram: list[list[int]]  # (channels, levels), see model.PictureStatistics


class SegmentRecord(Record):
    """A run of rows without a hole; becomes one LeRobot episode."""

    segment: int
    first_row: int  # position in the aligned parquet
    length: int
    tasks: tuple[str, ...]
    videos: dict[str, VideoRecord]  # by camera feature
    statistics: dict[str, Any]  # by vector feature, see datasets.statistics


class EpisodeRecord(Record):
    schema_version: int = SCHEMA_VERSION
    key: str
    uri: str
    source: str | None
    fingerprint: str
    config_hash: str
    code_version: str
    fps: int
    robot_type: str
    frames_key: str  # the aligned parquet in the bucket
    frames_sha256: str
    # As ``VideoRecord.etag`` and ``bytes``; "" and 0: not known.
    frames_etag: str = ""
    frames_bytes: int = 0
    features: dict[str, FeatureRecord]
    segments: tuple[SegmentRecord, ...]
    checks: tuple[CheckResult, ...]
    provenance: dict[str, Any] = {}
    intake: tuple[IntakeEntry, ...] = ()  # of reading and of aligning

    @property
    def passed(self) -> bool:
        return all(check.passed or check.severity == "warn" for check in self.checks)


class RecordSource(Protocol):
    """The verdicts in the bucket, so that only new and changed ones need be read."""

    def versions(self) -> Mapping[str, str]:
        """The ETag of every record by its object key, in key order; one listing."""
        ...

    def read(self, object_key: str) -> EpisodeRecord:
        """Raises ``ObjectNotFound`` if it went away, ``Refused`` if it is not a record."""
        ...
