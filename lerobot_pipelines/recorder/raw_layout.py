"""Takes as the raw layout that the pipeline converts: joint parquet files and picture folders."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lerobot_pipelines.recorder.disk import sync_folder, sync_tree
from lerobot_pipelines.recorder.h264 import START_CODE
from lerobot_pipelines.recorder.journal import Sample, Take, TakeInfo
from lerobot_pipelines.recorder.video_file import VideoFile

Layout = Literal["episode", "split"]

# As in ``recordings.layout``, which a robot need not install the requirements of.
JOINTS, IMAGES, METADATA_NAME = "joints", "images", "metadata.json"
_IDENTITY = "take"
_STAMPS = "timestamps"
_PNG = b"\x89PNG"


class RawWriter:
    """Writes takes below ``root``: our own writer for ``AsyncEpisodeSaver``.

    Layout "episode": ``<key>/joints/<topic>.parquet`` and ``<key>/images/<topic>/<stamp>.jpg``, or
    ``video.mp4`` and ``stamps.parquet`` in the topic's folder, which appear all at once; "split":
    ``images/<key>/...``, then ``joints/<key>/...``.
    """

    def __init__(self, root: Path, layout: Layout = "episode") -> None:
        self.root = root
        self.layout = layout

    def save_episode(self, take: Take, *, salvage: bool = False) -> Path:
        """Write a take, whole or not at all, and durable; the folder that ``inspect`` takes.

        A take that is there already is not written again. Raises ``DamagedTake`` for one that
        misses samples, unless ``salvage`` is wanted, and ``FileExistsError`` if another recording
        has its key.
        """
        info = take.info
        if (found := self._identity_of(info.key)) == info.identity:
            return self.folder_of(info.key)
        if found is not None:
            raise FileExistsError(f"{self.folder_of(info.key)} holds another recording")
        self.root.mkdir(parents=True, exist_ok=True)
        work = self.root / f".take-{info.identity}"
        shutil.rmtree(work, ignore_errors=True)
        try:
            _write_samples(work, take.samples(salvage=salvage))
            _write_metadata(self._metadata_in(work), info)
            sync_tree(work)
            self._move(work, info.key)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        return self.folder_of(info.key)

    def folder_of(self, key: str) -> Path:
        """The folder of an episode; in the split layout that of its joints."""
        return self.root / key if self.layout == "episode" else self.root / JOINTS / key

    def remove(self, key: str) -> None:
        """Delete an episode from this disk."""
        shutil.rmtree(self.folder_of(key), ignore_errors=True)
        if self.layout == "split":
            shutil.rmtree(self.root / IMAGES / key, ignore_errors=True)

    def _identity_of(self, key: str) -> str | None:
        """The take an episode on disk was written from; "" for one written by something else."""
        folder = self.folder_of(key)
        if not folder.exists():
            return None
        try:
            identity = json.loads((folder / METADATA_NAME).read_bytes()).get(_IDENTITY)
        except (OSError, ValueError, AttributeError):
            return ""
        return identity if isinstance(identity, str) else ""

    def _metadata_in(self, work: Path) -> Path:
        return work / METADATA_NAME if self.layout == "episode" else work / JOINTS / METADATA_NAME

    def _move(self, work: Path, key: str) -> None:
        if self.layout == "episode":
            moves = [(work, self.root / key)]
        else:
            # Joints last: they say that the pictures are there.
            moves = [(work / name, self.root / name / key) for name in (IMAGES, JOINTS)]
        for source, target in moves:
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists():
                # Pictures of this take that an interrupted move left without their joints.
                shutil.rmtree(target)
            os.rename(source, target)
            sync_folder(target.parent)


def _write_samples(work: Path, samples: Iterable[Sample]) -> None:
    vectors: dict[str, list[Sample]] = {}
    videos: dict[str, VideoFile] = {}
    (work / JOINTS).mkdir(parents=True)
    (work / IMAGES).mkdir()
    for sample in samples:
        if not isinstance(sample.value, bytes):
            vectors.setdefault(sample.topic, []).append(sample)
        elif sample.value.startswith(START_CODE):
            if (video := videos.get(sample.topic)) is None:
                video = videos[sample.topic] = VideoFile(work / IMAGES / sample.topic)
            video.add(sample.stamp_ns, sample.value)
        else:
            suffix = ".png" if sample.value.startswith(_PNG) else ".jpg"
            path = work / IMAGES / sample.topic / f"{sample.stamp_ns}{suffix}"
            try:
                path.write_bytes(sample.value)
            except FileNotFoundError:
                path.parent.mkdir()
                path.write_bytes(sample.value)
    for video in videos.values():
        video.close()
    for topic, found in vectors.items():
        _write_vectors(work / JOINTS / f"{topic}.parquet", found)


def _write_vectors(path: Path, samples: list[Sample]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    values = np.stack([np.asarray(sample.value) for sample in samples])
    columns: dict[str, Any] = {
        _STAMPS: np.array([sample.stamp_ns for sample in samples], np.int64),
        **{f"joint_{k}": values[:, k] for k in range(values.shape[1])},
    }
    pq.write_table(pa.table(columns), path)


def _write_metadata(path: Path, info: TakeInfo) -> None:
    content = {**info.metadata, "task": info.task, _IDENTITY: info.identity}
    path.write_text(json.dumps(content, indent=1))
