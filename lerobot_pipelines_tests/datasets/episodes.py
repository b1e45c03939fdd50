"""A bucket with converted episodes in it, made in milliseconds instead of by the pipeline.

Rows and mp4 files are real ones; the values and the brightness of every picture tell which
episode and row they belong to.
"""

from __future__ import annotations

import functools
import hashlib
import io
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.alignment import write_frames
from lerobot_pipelines.config.hashing import dataset_hash
from lerobot_pipelines.config.schema import (
    CameraConfig,
    DatasetConfig,
    DatasetSection,
    Format,
    StorageConfig,
)
from lerobot_pipelines.datasets import DatasetUpdate, dataset_prefix, update_dataset
from lerobot_pipelines.datasets.features import feature_records
from lerobot_pipelines.datasets.records import (
    CheckResult,
    EpisodeRecord,
    SegmentRecord,
    VideoRecord,
)
from lerobot_pipelines.datasets.statistics import vector_statistics
from lerobot_pipelines.model import AlignedFrames, AlignmentReport
from lerobot_pipelines.storage import open_storage
from lerobot_pipelines.storage.base import ObjectNotFound, Storage

CAMERA = "observation.images.cam"
STATE = "observation.state"
WIDTH, HEIGHT = 64, 48
RECORDS = "work/toy/records"


def toy_config(root: Path, **dataset: Any) -> DatasetConfig:
    return DatasetConfig(
        dataset=DatasetSection(**({"name": "toy", "fps": 10, "robot_type": "toybot"} | dataset)),
        storage=StorageConfig(url=root.as_uri()),
        cameras=(CameraConfig(name="cam", feature=CAMERA),),
    )


@dataclass
class Bucket:
    """Episodes as the earlier steps leave them, and updates of the dataset made of them."""

    config: DatasetConfig
    scratch: Path
    storage: Storage = field(init=False)
    reads: list[str] = field(default_factory=list)  # record keys, as they are read

    def __post_init__(self) -> None:
        self.storage = open_storage(self.config.storage)

    def put(
        self,
        key: str,
        *rows: int,
        seed: int = 0,
        task: str = "pick",
        passed: bool = True,
        chunk: int = 0,
        cameras: int = 1,
        size: tuple[int, int] = (WIDTH, HEIGHT),
        config_hash: str | None = None,
        fps: int | None = None,
    ) -> EpisodeRecord:
        """``rows``: the length of each segment."""
        record = self._record(key, rows or (5,), seed, chunk, cameras, size, fps or 10)
        segments = tuple(one.model_copy(update={"tasks": (task,)}) for one in record.segments)
        record = record.model_copy(
            update={
                "config_hash": config_hash or dataset_hash(self.config),
                "segments": segments,
                "checks": (CheckResult(name="rows", passed=passed, description="told"),),
            }
        )
        self.storage.write(self.record_key(key), record.model_dump_json().encode())
        return record

    def remove(self, key: str) -> None:
        self.storage.delete(self.record_key(key))

    def record_key(self, key: str) -> str:
        return f"{RECORDS}/{key}.json"

    def versions(self) -> Mapping[str, str]:
        return {info.key: info.etag for info in self.storage.list(RECORDS)}

    def read(self, object_key: str) -> EpisodeRecord:
        self.reads.append(object_key)
        return EpisodeRecord.model_validate_json(self.storage.read(object_key))

    def update(self, fmt: Format, storage: Storage | None = None) -> DatasetUpdate:
        self.scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.scratch) as scratch:
            return update_dataset(
                storage or self.storage, self.config, fmt, self, scratch=Path(scratch)
            )

    @property
    def root_folder(self) -> Path:
        path = self.storage.local_path("")
        assert path is not None
        return path

    def root(self, fmt: Format) -> Path:
        path = self.storage.local_path(dataset_prefix(self.config, fmt))
        assert path is not None
        return path

    def _record(
        self,
        key: str,
        rows: tuple[int, ...],
        seed: int,
        chunk: int,
        cameras: int,
        size: tuple[int, int],
        fps: int,
    ) -> EpisodeRecord:
        frames = toy_frames(rows, seed, chunk, fps)
        frames_key, frames_sha256 = self._upload_frames(frames, f"work/toy/episodes/{key}")
        segments, first = [], 0
        for number, length in enumerate(rows):
            videos = {
                camera: self._upload_video(key, camera, number, length, seed + number, size, fps)
                for camera in [CAMERA, *(f"{CAMERA}{i}" for i in range(2, cameras + 1))]
            }
            segments.append(
                SegmentRecord(
                    segment=number,
                    first_row=first,
                    length=length,
                    tasks=("pick",),
                    videos=videos,
                    statistics={
                        name: vector_statistics(values[first : first + length])
                        for name, values in frames.features.items()
                    },
                )
            )
            first += length
        return EpisodeRecord(
            key=key,
            uri=f"file:///raw/{key}",
            source=None,
            fingerprint=hashlib.sha256(f"{key}{seed}{rows}".encode()).hexdigest(),
            config_hash="",
            code_version="1",
            fps=fps,
            robot_type="toybot",
            frames_key=frames_key,
            frames_sha256=frames_sha256,
            features=feature_records(frames, segments[0].videos),
            segments=tuple(segments),
            checks=(),
        )

    def _upload_frames(self, frames: AlignedFrames, folder_key: str) -> tuple[str, str]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "aligned.parquet"
            write_frames(frames, path)
            sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
            key = f"{folder_key}/aligned-{sha256[:12]}.parquet"
            self.storage.upload(path, key)
            return key, sha256

    def _upload_video(
        self,
        key: str,
        camera: str,
        segment: int,
        length: int,
        seed: int,
        size: tuple[int, int],
        fps: int,
    ) -> VideoRecord:
        data, histogram = toy_video(length, seed, size, fps)
        sha256 = hashlib.sha256(data).hexdigest()
        object_key = f"work/toy/episodes/{key}/videos/{camera}/{segment:03d}-{sha256[:12]}.mp4"
        info = self.storage.write(object_key, data)
        return VideoRecord(
            key=object_key,
            etag=info.etag,
            bytes=len(data),
            sha256=sha256,
            frames=length,
            codec="h264",
            pix_fmt="yuv420p",
            width=size[0],
            height=size[1],
            fps=fps,
            sampled_frames=length,
            histogram=histogram,
        )


def toy_frames(rows: tuple[int, ...], seed: int, chunk: int, fps: int) -> AlignedFrames:
    """Values follow from seed and row alone."""
    total = sum(rows)
    random = np.random.default_rng(seed)
    features: dict[str, NDArray[Any]] = {
        STATE: random.normal(seed, 1, (total, 3)).astype(np.float32),
        "action": random.normal(seed, 1, (total, 2)).astype(np.float32),
        "gripper": random.uniform(size=(total, 1)).astype(np.float32),
    }
    if chunk:
        features["action"] = random.normal(seed, 1, (total, chunk, 2)).astype(np.float32)
        features["action_is_pad"] = random.uniform(size=(total, chunk)) > 0.5
    segments = np.repeat(np.arange(len(rows), dtype=np.int32), rows)
    stamps = np.arange(total, dtype=np.int64) * (1_000_000_000 // fps)
    return AlignedFrames(
        fps=fps,
        row_times_ns=stamps,
        segments=segments,
        features=features,
        feature_names={STATE: ("a", "b", "c"), "action": ("x", "y"), "gripper": ("g",)},
        pictures={CAMERA: np.arange(total, dtype=np.int64)},
        picture_ages_ns={CAMERA: np.zeros(total, dtype=np.int64)},
        picture_streams={CAMERA: "cam"},
        report=AlignmentReport(total, total, {}, float(fps), 0.0, 0.0, (), {}, {}),
    )


def brightness(seed: int, frame: int) -> int:
    """Of the whole picture; what a decoder should find within a few steps."""
    return 40 + (seed * 37 + frame * 11) % 160


@functools.cache
def toy_video(
    length: int, seed: int, size: tuple[int, int], fps: int
) -> tuple[bytes, list[list[int]]]:
    """An mp4 as the encoder step makes it, and the histogram of its pictures."""
    import av

    buffer = io.BytesIO()
    histogram = np.zeros((3, 256), dtype=np.int64)
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.thread_count = 1
        stream.codec_context.options = {
            "g": "5",
            "bf": "0",
            "preset": "ultrafast",
            "x264-params": "open-gop=0:scenecut=0",
        }
        for number in range(length):
            grey = brightness(seed, number)
            histogram[:, grey] += size[0] * size[1]
            picture = np.full((size[1], size[0], 3), grey, dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return buffer.getvalue(), histogram.tolist()


class Crash(Exception):
    """What a killed process looks like from inside."""


class CrashingStorage:
    """Passes everything on until the given number of changes was made; then all fails."""

    def __init__(self, inner: Storage, changes: int) -> None:
        self._inner = inner
        self._left = changes
        self.url = inner.url

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        if name not in ("write", "create", "replace", "upload", "copy", "remove", "delete"):
            return method

        def counted(*arguments: Any, **options: Any) -> Any:
            if self._left <= 0:
                raise Crash(f"{name} {arguments[-1]!r}"[:200])
            self._left -= 1
            return method(*arguments, **options)

        return counted


__all__ = [
    "CAMERA",
    "HEIGHT",
    "STATE",
    "WIDTH",
    "Bucket",
    "Crash",
    "CrashingStorage",
    "ObjectNotFound",
    "brightness",
    "toy_config",
    "toy_frames",
    "toy_video",
]
