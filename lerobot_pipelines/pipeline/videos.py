"""Step three: encode the pictures that the rows name, one mp4 per camera and segment."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from lerobot_pipelines.config.hashing import video_hash
from lerobot_pipelines.datasets.records import VideoRecord
from lerobot_pipelines.errors import NotMadeYet
from lerobot_pipelines.model import EncodedVideo
from lerobot_pipelines.pipeline.aligned import read_aligned, read_manifest
from lerobot_pipelines.pipeline.artifacts import (
    EpisodeKeys,
    VideosIndex,
    episode_keys,
    read_artifact,
    write_artifact,
)
from lerobot_pipelines.pipeline.episode_config import episode_config
from lerobot_pipelines.pipeline.failures import not_made_yet, remember_refusal
from lerobot_pipelines.pipeline.fetch import opened_recording
from lerobot_pipelines.pipeline.workspace import Workspace
from lerobot_pipelines.storage.base import ObjectNotFound
from lerobot_pipelines.video import encode_cameras

STAGE = "encoded_videos"


def encode_episode(
    workspace: Workspace, key: str, progress: Callable[[int], None] | None = None
) -> VideosIndex:
    """Encode the episode's cameras, publish the mp4 files and then their index.

    ``progress`` is called with the number of frames encoded since its last call.
    """
    keys = episode_keys(workspace, key)
    manifest = read_manifest(workspace, key)
    aligned, frames = read_aligned(workspace, key)
    if aligned.fingerprint != manifest.fingerprint:
        raise NotMadeYet(f"the rows of episode {key} are of other content; align it again")
    config_hash = video_hash(workspace.config)
    with workspace.scratch() as folder:
        with (
            remember_refusal(
                workspace,
                key,
                STAGE,
                fingerprint=manifest.fingerprint,
                config_hash=config_hash,
            ),
            opened_recording(workspace, key, manifest.members) as recording,
        ):
            config = episode_config(workspace.config, manifest)
            videos = encode_cameras(recording, frames, config, folder, progress=progress)
        with ThreadPoolExecutor(workspace.config.storage.threads_up) as pool:
            published = dict(
                zip(
                    ((video.segment, video.feature) for video in videos),
                    pool.map(lambda video: _publish(workspace, keys, video), videos),
                    strict=True,
                )
            )
        index = VideosIndex(
            key=key,
            fingerprint=manifest.fingerprint,
            config_hash=config_hash,
            frames_sha256=aligned.frames_sha256,
            segments=tuple(
                {
                    feature: record
                    for (of_segment, feature), record in published.items()
                    if of_segment == segment
                }
                for segment in range(len(aligned.segments))
            ),
            details={video.feature: dict(video.details) for video in videos},
        )
    write_artifact(workspace, keys.videos, index)
    return index


def read_videos(workspace: Workspace, key: str) -> VideosIndex:
    """The index that ``encode_episode`` published; ``NotMadeYet`` if it did not."""
    try:
        return read_artifact(workspace, episode_keys(workspace, key).videos, VideosIndex)
    except ObjectNotFound as error:
        raise not_made_yet(workspace, key, "videos", STAGE) from error


def _publish(workspace: Workspace, keys: EpisodeKeys, video: EncodedVideo) -> VideoRecord:
    key = keys.video(video.feature, video.segment, video.sha256)
    info = workspace.storage.upload(video.path, key, is_final=True)
    return VideoRecord(
        key=key,
        etag=info.etag,
        bytes=video.bytes,
        sha256=video.sha256,
        frames=video.frames,
        codec=video.codec,
        pix_fmt=video.pix_fmt,
        width=video.width,
        height=video.height,
        fps=video.fps,
        parameters=video.parameters,
        proof=video.proof,
        depth=video.depth,
        sampled_frames=video.statistics.frames,
        histogram=video.statistics.histogram.tolist(),
    )
