"""What the steps leave in the bucket for one another, and under which keys.

Below ``<work_prefix>/<dataset>/``, for the encoded key ``K`` of an episode::

    episodes/K/manifest.json            members, fingerprint, streams        (raw_episodes)
    episodes/K/aligned-<sha256>.parquet the rows                             (aligned_frames)
    episodes/K/aligned.json             what the rows were made from, last
    episodes/K/videos/<feature>/segment_000-<sha256>.mp4                     (encoded_videos)
    episodes/K/videos.json              what the videos were made from, last
    records/K.json                      the verdict: ready for the dataset   (episode_metadata)
    failures/K.json                     why the episode was refused
    retries/K.json                      an operator wants it tried again
    lifecycle_clock                     written to learn the store's own time (see lifecycle)

Objects are written whole or not at all, and each index names the content it belongs to by hash, so
artifacts of two attempts are never taken for one. Rows and videos have their content in their name
(its first twelve digits): an attempt never overwrites what another one, a record or the dataset
names. None deletes anything either; what nobody names any more is the lifecycle's to remove.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from lerobot_pipelines.datasets.options import work_folder
from lerobot_pipelines.datasets.records import EpisodeRecord, VideoRecord
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.model import AlignmentReport, Manifest
from lerobot_pipelines.pipeline.keys import encode_key
from lerobot_pipelines.pipeline.workspace import Workspace


class Artifact(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AlignedIndex(Artifact):
    """Written after the rows; holds their hash."""

    key: str
    fingerprint: str
    config_hash: str
    frames_key: str
    frames_sha256: str
    report: AlignmentReport
    segments: tuple[tuple[int, int], ...]  # (first row, rows) of each segment


class VideosIndex(Artifact):
    """Written after the mp4 files; holds their hashes, and that of the rows they show."""

    key: str
    fingerprint: str
    config_hash: str
    frames_sha256: str
    segments: tuple[dict[str, VideoRecord], ...]  # per segment, by camera feature
    details: Mapping[str, Mapping[str, Any]]  # by camera feature: encoder speed, GOP, ...


class FailureRecord(Artifact):
    """Why an episode is not in the dataset; ``reason`` is a code of ``errors.Reason``."""

    key: str
    stage: str
    reason: str
    message: str
    fingerprint: str | None = None
    config_hash: str | None = None


@dataclass(frozen=True, slots=True)
class EpisodeKeys:
    """The object keys of one episode's artifacts."""

    manifest: str
    folder: str
    aligned: str
    videos: str
    video_folder: str
    record: str
    failure: str
    retry: str

    def rows(self, sha256: str) -> str:
        return f"{self.folder}/aligned-{sha256[:12]}.parquet"

    def is_rows(self, key: str) -> bool:
        """Whether an object of the episode holds rows, also ``aligned.parquet`` as it was once."""
        return key.startswith(f"{self.folder}/aligned") and key.endswith(".parquet")

    def video(self, feature: str, segment: int, sha256: str) -> str:
        """The content is part of the name, so a new attempt never overwrites what is in use."""
        return f"{self.video_folder}/{feature}/segment_{segment:03d}-{sha256[:12]}.mp4"


def episodes_folder(workspace: Workspace) -> str:
    return f"{work_folder(workspace.config)}/episodes"


def records_folder(workspace: Workspace) -> str:
    return f"{work_folder(workspace.config)}/records"


def failures_folder(workspace: Workspace) -> str:
    return f"{work_folder(workspace.config)}/failures"


def retries_folder(workspace: Workspace) -> str:
    return f"{work_folder(workspace.config)}/retries"


def episode_keys(workspace: Workspace, key: str) -> EpisodeKeys:
    encoded = encode_key(key)
    folder = f"{episodes_folder(workspace)}/{encoded}"
    return EpisodeKeys(
        manifest=f"{folder}/manifest.json",
        folder=folder,
        aligned=f"{folder}/aligned.json",
        videos=f"{folder}/videos.json",
        video_folder=f"{folder}/videos",
        record=f"{records_folder(workspace)}/{encoded}.json",
        failure=f"{failures_folder(workspace)}/{encoded}.json",
        retry=f"{retries_folder(workspace)}/{encoded}.json",
    )


# In place of a step's name and its configuration's hash: a person took the episode out of the
# dataset, whatever the configuration.
REMOVED_STAGE = "removed"
# The same for a refusal that a person has cleared from the list of those that failed.
CLEARED_STAGE = "cleared"
ANY_CONFIGURATION = ""

T = TypeVar("T", Manifest, AlignedIndex, VideosIndex, EpisodeRecord, FailureRecord)


def write_artifact(workspace: Workspace, key: str, artifact: T) -> None:
    workspace.storage.write(key, TypeAdapter(type(artifact)).dump_json(artifact, indent=1))


def read_artifact(workspace: Workspace, key: str, kind: type[T]) -> T:
    """Raises ``ObjectNotFound``, or ``Refused`` if the object is not such an artifact."""
    data = workspace.storage.read(key)
    try:
        return TypeAdapter(kind).validate_json(data)
    except ValidationError as error:
        raise Refused(
            Reason.CORRUPT_ARTIFACT,
            f"{key} is not a {kind.__name__} of this version "
            f"({error.error_count()} faults); materialise the episode again",
        ) from error
