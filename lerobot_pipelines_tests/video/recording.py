"""A recording of pictures in memory, and rows that show them."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.intake import IntakeEntry
from lerobot_pipelines.model import (
    AlignedFrames,
    AlignmentReport,
    Clock,
    EpisodeSource,
    Fault,
    Picture,
    Stream,
    StreamKind,
)

FPS = 30
PERIOD_NS = 1_000_000_000 // FPS


def texture(number: int, width: int = 64, height: int = 48, seed: int = 0) -> NDArray[np.uint8]:
    """A smooth coloured picture that moves with its number, RGB (height, width, 3)."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    phase = number / 7 + seed
    red = np.sin(x / 9 + phase) + np.cos(y / 13)
    green = np.sin((x + y) / 17 - phase)
    blue = np.cos(x / 23 - y / 11 + phase / 2)
    rgb = np.stack([red * 60 + 130, green * 90 + 110, blue * 80 + 120], axis=-1)
    clipped: NDArray[np.uint8] = np.clip(rgb, 0, 255).astype(np.uint8)
    return clipped


def jpeg(rgb: NDArray[np.uint8], *, subsampling: int = 2, quality: int = 90, **more: Any) -> bytes:
    """Pillow's subsampling: 0 is 4:4:4, 1 is 4:2:2, 2 is 4:2:0. Grey for (height, width)."""
    file = io.BytesIO()
    options = {} if rgb.ndim == 2 else {"subsampling": subsampling}
    Image.fromarray(rgb).save(file, "JPEG", quality=quality, **options, **more)
    return file.getvalue()


class MemoryRecording:
    """Pictures per stream, handed out interleaved by stamp as a bag would."""

    def __init__(
        self,
        pictures: Mapping[str, Sequence[bytes]],
        *,
        encoding: str = "jpeg",
        size: tuple[int, int] | None = None,
        step: int | None = None,
    ) -> None:
        self._pictures = pictures
        self._encoding, self._size, self._step = encoding, size, step
        self.source = EpisodeSource("block/episode_0001", Path("."), (), "memory:")
        self.faults: Sequence[Fault] = ()
        self.intake: Sequence[IntakeEntry] = ()
        self.metadata: Mapping[str, Any] = {}
        self.asked: list[dict[str, list[int]]] = []
        self.streams: Mapping[str, Stream] = {
            name: Stream(
                name,
                StreamKind.PICTURE,
                len(data),
                0,
                PERIOD_NS * (len(data) - 1),
                Clock.FILE,
                name,
                details={"encoding": encoding},
            )
            for name, data in pictures.items()
        }

    def timestamps(self, stream: str) -> NDArray[np.int64]:
        return np.arange(len(self._pictures[stream]), dtype=np.int64) * PERIOD_NS

    def vectors(self, stream: str) -> NDArray[np.float64]:
        raise KeyError(stream)

    def pictures(self, wanted: Mapping[str, NDArray[np.int64]]) -> Iterator[Picture]:
        self.asked.append({name: ids.tolist() for name, ids in wanted.items()})
        order = sorted((int(number), name) for name, ids in wanted.items() for number in ids)
        width, height = self._size or (None, None)
        for number, name in order:
            yield Picture(
                stream=name,
                id=number,
                stamp_ns=number * PERIOD_NS,
                data=self._pictures[name][number],
                encoding=self._encoding,
                width=width,
                height=height,
                step=self._step,
            )

    def close(self) -> None:
        pass


def rows(
    pictures: Mapping[str, Sequence[int]],
    *,
    segments: Sequence[int] | None = None,
    streams: Mapping[str, str] | None = None,
    fps: int = FPS,
) -> AlignedFrames:
    """Rows that show those pictures; camera feature ``observation.images.x`` is stream ``x``."""
    count = len(next(iter(pictures.values())))
    features = {name: f"observation.images.{name}" for name in pictures}
    return AlignedFrames(
        fps=fps,
        row_times_ns=np.arange(count, dtype=np.int64) * (1_000_000_000 // fps),
        segments=np.asarray(segments if segments is not None else [0] * count, dtype=np.int32),
        features={},
        feature_names={},
        pictures={
            features[name]: np.asarray(ids, dtype=np.int64) for name, ids in pictures.items()
        },
        picture_ages_ns={features[name]: np.zeros(count, np.int64) for name in pictures},
        picture_streams={features[name]: (streams or {}).get(name, name) for name in pictures},
        report=AlignmentReport(count, count, {}, float(fps), 0.0, 0.0, (), {}, {}),
    )


def config(*, chunk_frames: int = 100, **video: Any) -> DatasetConfig:
    return DatasetConfig.model_validate(
        {
            "dataset": {"name": "block", "fps": FPS},
            "storage": {"url": "file:///nowhere"},
            "chunk_frames": chunk_frames,
            "video": video,
        }
    )
