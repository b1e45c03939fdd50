"""A dataset's metadata in one form for both formats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Feature(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")

    dtype: str
    shape: tuple[int, ...]
    names: list[Any] | dict[str, Any] | None = None
    info: dict[str, Any] | None = None

    @property
    def is_depth(self) -> bool:
        """Whether the camera's frames hold distances."""
        stated = self.info or {}
        return bool(stated.get("is_depth_map") or stated.get("video.is_depth_map"))


class Info(BaseModel):
    """``meta/info.json``: the keys that both formats have; others are left alone."""

    model_config = ConfigDict(frozen=True, extra="allow")

    codebase_version: str
    robot_type: str | None = None
    total_episodes: int = Field(ge=0)
    total_frames: int = Field(ge=0)
    total_tasks: int = Field(ge=0)
    chunks_size: int = Field(gt=0)
    fps: int = Field(gt=0)
    splits: dict[str, str] = Field(default_factory=dict)
    data_path: str
    video_path: str | None = None
    features: dict[str, Feature]

    @property
    def cameras(self) -> list[str]:
        """Keys of the features that lie in mp4 files."""
        return [key for key, feature in self.features.items() if feature.dtype == "video"]

    @property
    def columns(self) -> list[str]:
        """Keys of the features that are columns of the data parquet."""
        return [key for key, feature in self.features.items() if feature.dtype != "video"]


@dataclass(frozen=True, slots=True)
class VideoSpan:
    """One episode's frames inside an mp4. ``path`` is relative to the dataset's root."""

    path: str
    from_timestamp: float = 0.0  # seconds into the file
    to_timestamp: float | None = None  # None: the format does not say


@dataclass(frozen=True, slots=True)
class Episode:
    index: int
    length: int
    tasks: tuple[str, ...]
    data_path: str  # relative to the root
    videos: Mapping[str, VideoSpan]
    statistics: Mapping[str, Mapping[str, Any]] | None


@dataclass(frozen=True, slots=True)
class DatasetView:
    """``data_files`` are in the order in which a loader reads their rows."""

    root: Path
    info: Info
    tasks: Sequence[str]
    episodes: Sequence[Episode]
    data_files: Sequence[str]
    statistics: Mapping[str, Mapping[str, Any]] | None = field(default=None)

    def path(self, name: str) -> Path:
        """The file of that name; ``FileNotFoundError`` if it is not inside the dataset."""
        path = (self.root / name).resolve()
        if not path.is_relative_to(self.root.resolve()) or not path.is_file():
            raise FileNotFoundError(f"{name} is not in the dataset")
        return path
