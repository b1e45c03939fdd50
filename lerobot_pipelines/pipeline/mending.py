"""An episode's missing or broken artifacts are made again: those, and no others.

Whatever is sound stays: rows are not aligned again because a video is missing, nothing is encoded
because a record is. A video that still lies in a dataset as it was made is copied back from there.
All steps are deterministic, so what is made again is what was there, and no dataset changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from lerobot_pipelines.config.hashing import alignment_hash, video_hash
from lerobot_pipelines.datasets import dataset_prefix
from lerobot_pipelines.datasets.change import large_files
from lerobot_pipelines.datasets.contents import FileKind, contents_of
from lerobot_pipelines.datasets.reading import sha256_of
from lerobot_pipelines.datasets.records import VideoRecord
from lerobot_pipelines.errors import Reason, Refused, Transient
from lerobot_pipelines.model import Manifest
from lerobot_pipelines.pipeline import aligned, metadata, raw, videos
from lerobot_pipelines.pipeline.aligned import align_episode, read_aligned
from lerobot_pipelines.pipeline.artifacts import (
    AlignedIndex,
    VideosIndex,
    episode_keys,
    read_artifact,
    write_artifact,
)
from lerobot_pipelines.pipeline.dataset import dataset_snapshots
from lerobot_pipelines.pipeline.discovery import fingerprint, list_members
from lerobot_pipelines.pipeline.fetch import kept_open
from lerobot_pipelines.pipeline.metadata import describe_episode
from lerobot_pipelines.pipeline.raw import scan_episode
from lerobot_pipelines.pipeline.videos import encode_episode
from lerobot_pipelines.pipeline.workspace import Workspace
from lerobot_pipelines.storage.base import ObjectNotFound
from lerobot_pipelines.storage.local_versions import lasting_etag

T = TypeVar("T", Manifest, AlignedIndex, VideosIndex)


@dataclass(frozen=True, slots=True)
class Mended:
    """``steps`` were done again; ``copied``: videos that came back from a dataset."""

    steps: tuple[str, ...]
    copied: int = 0

    def __str__(self) -> str:
        copied = [f"{self.copied} videos copied back"] if self.copied else []
        return ", ".join([*copied, f"{' and '.join(self.steps)} done again"])


def mend_episode(
    workspace: Workspace,
    key: str,
    *,
    from_recording: bool = True,
    progress: Callable[[int], None] | None = None,
) -> Mended:
    """Make again what is missing or broken of an episode, and give it its verdict.

    ``from_recording``: the recording may be read; without it only what the other artifacts tell is
    made. Raises ``Refused`` (recording_gone) where it would be needed and is not there or not to
    be read, and what the steps raise.
    """
    work = _Mending(workspace, key, from_recording)
    steps: list[str] = []
    with kept_open(workspace) as together:
        if not work.has_manifest():
            work.need_recording(raw.STAGE)
            scan_episode(together, key)
            steps.append(raw.STAGE)
        if not work.has_rows():
            work.need_recording(aligned.STAGE)
            align_episode(together, key)
            steps.append(aligned.STAGE)
        copied = work.videos_copied()
        if copied is None:
            work.need_recording(videos.STAGE)
            encode_episode(together, key, progress)
            steps.append(videos.STAGE)
    describe_episode(workspace, key)
    return Mended((*steps, metadata.STAGE), copied or 0)


@dataclass(frozen=True, slots=True)
class _Mending:
    workspace: Workspace
    key: str
    from_recording: bool

    def need_recording(self, step: str) -> None:
        if self.from_recording and self._content():
            return
        raise Refused(
            Reason.RECORDING_GONE,
            f"{step} of episode {self.key} cannot be made again without the recording, which is "
            "not there (or not to be read now); what the dataset holds of it stays",
        )

    def has_manifest(self) -> bool:
        """Whether there is one, of the recording as it is (or of one that is gone), and whether
        the rows were made with this configuration: else all is to be made anew."""
        manifest = self._read(Manifest, episode_keys(self.workspace, self.key).manifest)
        if manifest is None:
            return False
        content = self._content()
        return not content or manifest.fingerprint == content

    def has_rows(self) -> bool:
        index = self._read(AlignedIndex, episode_keys(self.workspace, self.key).aligned)
        manifest = self._read(Manifest, episode_keys(self.workspace, self.key).manifest)
        if index is None or manifest is None or index.fingerprint != manifest.fingerprint:
            return False
        if index.config_hash != alignment_hash(self.workspace.config):
            return False
        try:
            read_aligned(self.workspace, self.key)
        except (ObjectNotFound, Transient, Refused):
            return False
        return True

    def videos_copied(self) -> int | None:
        """How many videos had to be copied back from a dataset; None if some cannot be had so."""
        keys = episode_keys(self.workspace, self.key)
        index = self._read(VideosIndex, keys.videos)
        rows = self._read(AlignedIndex, keys.aligned)
        if index is None or rows is None or index.frames_sha256 != rows.frames_sha256:
            return None
        if index.config_hash != video_hash(self.workspace.config):
            return None
        copied, segments = 0, []
        for segment in index.segments:
            sound: dict[str, VideoRecord] = {}
            for camera, video in segment.items():
                found = self._as_it_is(video)
                if found is None:
                    found = self._copied_back(video)
                    copied += 1
                if found is None:
                    return None
                sound[camera] = found
            segments.append(sound)
        if tuple(segments) != index.segments:
            renewed = index.model_copy(update={"segments": tuple(segments)})
            write_artifact(self.workspace, keys.videos, renewed)
        return copied

    def _as_it_is(self, video: VideoRecord) -> VideoRecord | None:
        """The video as it is listed now, if its content is what it was."""
        info = self.workspace.storage.head(video.key)
        if info is None or info.size != video.bytes:
            return None
        if info.etag == lasting_etag(video.etag) or self._has_content(video.key, video.sha256):
            return video.model_copy(update={"etag": info.etag})
        return None

    def _copied_back(self, video: VideoRecord) -> VideoRecord | None:
        source = self._dataset_videos().get(video.sha256)
        if source is None or not self._has_content(source, video.sha256):
            return None
        info = self.workspace.storage.copy(source, video.key)
        return video.model_copy(update={"etag": info.etag})

    def _dataset_videos(self) -> Mapping[str, str]:
        """Object keys of the datasets' files that hold one of the episode's videos, by SHA-256."""
        found: dict[str, str] = {}
        for fmt, snapshot in dataset_snapshots(self.workspace).items():
            root = dataset_prefix(self.workspace.config, fmt)
            for file in large_files(contents_of(snapshot)):
                is_copy = file.kind is FileKind.VIDEO and len(file.episodes) == 1
                if is_copy and file.episodes[0].member.key == self.key:
                    found[file.identity] = f"{root}/{file.path}"
        return found

    def _has_content(self, key: str, sha256: str) -> bool:
        storage = self.workspace.storage
        try:
            if (path := storage.local_path(key)) is not None:
                return sha256_of(path) == sha256
            with self.workspace.scratch() as folder:
                local = Path(folder) / "object"
                storage.download(key, local)
                return sha256_of(local) == sha256
        except (ObjectNotFound, FileNotFoundError):
            return False

    def _content(self) -> str:
        members = list_members(self.workspace.storage, self.workspace.config, self.key)
        return fingerprint(members) if members else ""

    def _read(self, kind: type[T], key: str) -> T | None:
        try:
            return read_artifact(self.workspace, key, kind)
        except (ObjectNotFound, Refused):
            return None
