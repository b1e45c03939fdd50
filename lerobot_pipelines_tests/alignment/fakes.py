"""A recording that lives in memory, and a configuration for it in one line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.config.schema import (
    AlignmentConfig,
    CameraConfig,
    DatasetConfig,
    DatasetSection,
    FeatureConfig,
    FilterConfig,
    StorageConfig,
    StreamConfig,
)
from lerobot_pipelines.intake import IntakeEntry
from lerobot_pipelines.model import Clock, EpisodeSource, Fault, Picture, Stream, StreamKind

MS = 1_000_000
SECOND = 1_000_000_000


class MemoryRecording:
    """Streams given as stamps (cameras) or as (stamps, samples); arrivals in any order."""

    def __init__(
        self,
        cameras: Mapping[str, Any],
        vectors: Mapping[str, tuple[Any, Any]] | None = None,
        element_names: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        self.source = EpisodeSource("task/episode", Path("."), (), "memory://")
        self.faults: Sequence[Fault] = ()
        self.intake: Sequence[IntakeEntry] = ()
        self.metadata: Mapping[str, Any] = {}
        self._streams: dict[str, Stream] = {}
        self.streams: Mapping[str, Stream] = self._streams
        self._stamps: dict[str, NDArray[np.int64]] = {}
        self._vectors: dict[str, NDArray[np.float64]] = {}
        for name, stamps in cameras.items():
            self._add(name, StreamKind.PICTURE, np.unique(np.asarray(stamps, np.int64)))
        for name, (stamps, samples) in (vectors or {}).items():
            sorted_stamps, first = np.unique(np.asarray(stamps, np.int64), return_index=True)
            values = np.asarray(samples, np.float64)
            values = (values.reshape(len(stamps), -1) if values.ndim == 1 else values)[first]
            self._vectors[name] = values
            names = (element_names or {}).get(name)
            self._add(name, StreamKind.VECTOR, sorted_stamps, values.shape[1], names)

    def _add(
        self,
        name: str,
        kind: StreamKind,
        stamps: NDArray[np.int64],
        dimension: int | None = None,
        names: tuple[str, ...] | None = None,
    ) -> None:
        self._stamps[name] = stamps
        start, end = (int(stamps[0]), int(stamps[-1])) if len(stamps) else (0, 0)
        self._streams[name] = Stream(
            name, kind, len(stamps), start, end, Clock.FILE, name, dimension, names
        )

    def timestamps(self, stream: str) -> NDArray[np.int64]:
        return self._stamps[stream]

    def vectors(self, stream: str) -> NDArray[np.float64]:
        return self._vectors[stream]

    def pictures(self, wanted: Mapping[str, NDArray[np.int64]]) -> Iterator[Picture]:
        raise AssertionError("alignment must not open pictures")

    def close(self) -> None:
        pass


def camera(name: str = "cam", **settings: Any) -> CameraConfig:
    return CameraConfig(name=name, feature=f"observation.images.{name}", **settings)


def stream(name: str = "arm", **settings: Any) -> StreamConfig:
    return StreamConfig(name=name, file=f"{name}.parquet", **settings)


def feature(*parts: str | dict[str, Any], chunk: bool = False) -> FeatureConfig:
    listed = [{"stream": part} if isinstance(part, str) else part for part in parts]
    return FeatureConfig.model_validate({"parts": listed, "chunk": chunk})


def config(
    *,
    cameras: tuple[CameraConfig, ...] = (camera(),),
    streams: tuple[StreamConfig, ...] = (stream(),),
    features: dict[str, FeatureConfig] | None = None,
    fps: int = 10,
    filtering: dict[str, Any] | None = None,
    chunk_frames: int = 100,
    **alignment: Any,
) -> DatasetConfig:
    """One camera ``cam`` at 10 Hz and one stream ``arm`` in ``observation.state``."""
    return DatasetConfig(
        dataset=DatasetSection(name="test", fps=fps),
        storage=StorageConfig(url="file:///nowhere"),
        streams=streams,
        cameras=cameras,
        features={"observation.state": feature("arm")} if features is None else features,
        alignment=AlignmentConfig.model_validate(alignment),
        filtering=FilterConfig.model_validate(filtering or {}),
        chunk_frames=chunk_frames,
    )


def clock(rate_hz: float, seconds: float, start_ns: int = 0) -> NDArray[np.int64]:
    """Regular stamps from ``start_ns`` for ``seconds``, both ends included where they fit."""
    count = int(seconds * rate_hz) + 1
    return start_ns + np.rint(np.arange(count) * SECOND / rate_hz).astype(np.int64)
