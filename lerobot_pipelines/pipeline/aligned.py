"""Step two: decide the rows from stamps and numbers; no picture is opened."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.alignment import align, read_frames, write_frames
from lerobot_pipelines.config.hashing import alignment_hash
from lerobot_pipelines.datasets.reading import sha256_of
from lerobot_pipelines.errors import Transient
from lerobot_pipelines.model import AlignedFrames, Manifest
from lerobot_pipelines.pipeline.artifacts import (
    AlignedIndex,
    episode_keys,
    read_artifact,
    write_artifact,
)
from lerobot_pipelines.pipeline.episode_config import episode_config
from lerobot_pipelines.pipeline.failures import not_made_yet, remember_refusal
from lerobot_pipelines.pipeline.fetch import opened_recording
from lerobot_pipelines.pipeline.strictness import refuse_warnings
from lerobot_pipelines.pipeline.workspace import Workspace
from lerobot_pipelines.storage.base import ObjectNotFound

STAGE = "aligned_frames"


def align_episode(workspace: Workspace, key: str) -> AlignedFrames:
    """Align the episode of the manifest, publish its rows and then their index."""
    keys = episode_keys(workspace, key)
    manifest = read_manifest(workspace, key)
    config_hash = alignment_hash(workspace.config)
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
        frames = align(recording, episode_config(workspace.config, manifest))
        refuse_warnings((*manifest.intake, *frames.report.intake), workspace.config)
    with workspace.scratch() as folder:
        path = folder / "aligned.parquet"
        write_frames(frames, path)
        digest = sha256_of(path)
        frames_key = keys.rows(digest)
        workspace.storage.upload(path, frames_key)
    index = AlignedIndex(
        key=key,
        fingerprint=manifest.fingerprint,
        config_hash=config_hash,
        frames_key=frames_key,
        frames_sha256=digest,
        report=frames.report,
        segments=segment_rows(frames.segments),
    )
    write_artifact(workspace, keys.aligned, index)
    return frames


def read_manifest(workspace: Workspace, key: str) -> Manifest:
    """The manifest that ``scan_episode`` published; ``NotMadeYet`` if it did not."""
    try:
        return read_artifact(workspace, episode_keys(workspace, key).manifest, Manifest)
    except ObjectNotFound as error:
        raise not_made_yet(workspace, key, "manifest", "raw_episodes") from error


def read_aligned(workspace: Workspace, key: str) -> tuple[AlignedIndex, AlignedFrames]:
    """The rows and their index, proven to belong together; ``NotMadeYet`` if there are none.

    Raises ``Transient`` if they are being replaced.
    """
    keys = episode_keys(workspace, key)
    try:
        index = read_artifact(workspace, keys.aligned, AlignedIndex)
    except ObjectNotFound as error:
        raise not_made_yet(workspace, key, "rows", STAGE) from error
    with workspace.scratch() as folder:
        path = folder / "aligned.parquet"
        try:
            workspace.storage.download(index.frames_key, path)
        except ObjectNotFound as error:
            raise not_made_yet(workspace, key, "rows", STAGE) from error
        if sha256_of(path) != index.frames_sha256:
            raise Transient(f"the rows of episode {key} are being replaced; try again")
        return index, read_frames(path)


def segment_rows(segments: NDArray[np.int32]) -> tuple[tuple[int, int], ...]:
    """(first row, rows) of each segment, from the segment number of each row, shape (n,)."""
    firsts = np.flatnonzero(np.diff(segments, prepend=-1))
    lengths = np.diff(np.append(firsts, len(segments)))
    return tuple((int(first), int(length)) for first, length in zip(firsts, lengths, strict=True))
