"""Step four: check what was made, gather its statistics, and publish the verdict."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import lerobot_pipelines
from lerobot_pipelines.config.hashing import dataset_hash
from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.datasets.features import feature_records
from lerobot_pipelines.datasets.intake_summary import INTAKE_KEY
from lerobot_pipelines.datasets.records import EpisodeRecord, SegmentRecord
from lerobot_pipelines.datasets.statistics import vector_statistics
from lerobot_pipelines.errors import NotMadeYet, Transient
from lerobot_pipelines.intake import IntakeCode, IntakeEntry, Severity
from lerobot_pipelines.model import AlignedFrames, Manifest
from lerobot_pipelines.pipeline.aligned import read_aligned, read_manifest
from lerobot_pipelines.pipeline.artifacts import (
    AlignedIndex,
    VideosIndex,
    episode_keys,
    write_artifact,
)
from lerobot_pipelines.pipeline.checks import check_episode
from lerobot_pipelines.pipeline.depth_range import range_entries
from lerobot_pipelines.pipeline.discovery import source_of, task_of
from lerobot_pipelines.pipeline.episode_config import episode_config
from lerobot_pipelines.pipeline.failures import forget_refusal
from lerobot_pipelines.pipeline.retries import forget_retry
from lerobot_pipelines.pipeline.videos import read_videos
from lerobot_pipelines.pipeline.workspace import Workspace

STAGE = "episode_metadata"

# Changes whenever the same input and configuration may give other output.
CODE_VERSION = lerobot_pipelines.__version__


def describe_episode(workspace: Workspace, key: str) -> EpisodeRecord:
    """Write the episode's record: the one object that makes it ready for the dataset.

    Raises ``NotMadeYet`` if rows, videos and manifest are not of one attempt, ``Transient`` if
    one of the videos is not there.
    """
    keys = episode_keys(workspace, key)
    manifest = read_manifest(workspace, key)
    aligned, frames = read_aligned(workspace, key)
    videos = read_videos(workspace, key)
    _refuse_mixture(manifest, aligned, videos)
    _refuse_missing(workspace, key, videos)
    rows = workspace.storage.head(aligned.frames_key)
    config = episode_config(workspace.config, manifest)
    source = source_of(config, key)
    tasks, told = _tasks(config, manifest, source)
    later = (*told, *range_entries(videos.segments, config))
    intake = (*manifest.intake, *aligned.report.intake, *later)
    record = EpisodeRecord(
        key=key,
        uri=manifest.uri,
        source=source,
        fingerprint=manifest.fingerprint,
        # The episode's own settings are in the fingerprint, so that a change of either shows.
        config_hash=dataset_hash(workspace.config),
        code_version=CODE_VERSION,
        fps=frames.fps,
        robot_type=config.dataset.robot_type,
        frames_key=aligned.frames_key,
        frames_sha256=aligned.frames_sha256,
        frames_etag=rows.etag if rows else "",
        frames_bytes=rows.size if rows else 0,
        features=feature_records(frames, videos.segments[0]),
        segments=tuple(
            SegmentRecord(
                segment=segment,
                first_row=first,
                length=length,
                tasks=tasks,
                videos=videos.segments[segment],
                statistics=_segment_statistics(frames, first, length),
            )
            for segment, (first, length) in enumerate(aligned.segments)
        ),
        checks=check_episode(manifest, frames, videos.segments, config, later),
        intake=intake,
        provenance={
            "container": manifest.container,
            "alignment_hash": aligned.config_hash,
            "video_hash": videos.config_hash,
            "strategy": str(config.alignment.strategy),
            "overrides": dict(manifest.overrides),
            "faults": sum(fault.count for fault in manifest.faults),
            INTAKE_KEY: len(intake),
            "start_ns": int(frames.row_times_ns[0]),
            "end_ns": int(frames.row_times_ns[-1]),
        },
    )
    write_artifact(workspace, keys.record, record)
    forget_refusal(workspace, key)
    forget_retry(workspace, key)
    return record


def _tasks(
    config: DatasetConfig, manifest: Manifest, source: str | None
) -> tuple[tuple[str, ...], tuple[IntakeEntry, ...]]:
    """What the robot does, the first for every row, and what there is to say about it."""
    if config.dataset.task:
        return (config.dataset.task,), ()
    found = manifest.metadata.get("task")
    if isinstance(found, str) and found:
        others = manifest.metadata.get("tasks")
        listed = others if isinstance(others, list) else []
        return tuple(dict.fromkeys((found, *(t for t in listed if isinstance(t, str))))), ()
    task = task_of(manifest.key, source)
    message = (
        f'the recording gives no task; its folder\'s name is taken, "{task}"; if that is not what '
        "the robot does, set dataset.task or write a metadata.json"
    )
    # A recording that gave one that could not be read has a warning of its own from its reader.
    return (task,), (IntakeEntry(IntakeCode.LABEL_FALLBACK, Severity.NOTE, "", message),)


def _refuse_mixture(manifest: Manifest, aligned: AlignedIndex, videos: VideosIndex) -> None:
    if not manifest.fingerprint == aligned.fingerprint == videos.fingerprint:
        raise NotMadeYet(
            f"the artifacts of episode {manifest.key} are of different content; "
            "materialise it again from raw_episodes"
        )
    if videos.frames_sha256 != aligned.frames_sha256:
        raise NotMadeYet(
            f"the videos of episode {manifest.key} show other rows; "
            "materialise encoded_videos again"
        )


def _segment_statistics(frames: AlignedFrames, first: int, length: int) -> dict[str, object]:
    return {
        feature: vector_statistics(values[first : first + length])
        for feature, values in frames.features.items()
    }


def _refuse_missing(workspace: Workspace, key: str, videos: VideosIndex) -> None:
    """A verdict is given on what is there, not on what an index says."""
    named = [video for segment in videos.segments for video in segment.values()]
    with ThreadPoolExecutor(workspace.config.storage.transfer_threads) as pool:
        for video, there in zip(
            named, pool.map(workspace.storage.head, [one.key for one in named]), strict=True
        ):
            if there is None or there.size != video.bytes:
                raise Transient(
                    f"{video.key} of episode {key} is missing or of another size than it was "
                    "encoded to; materialise encoded_videos again"
                )
