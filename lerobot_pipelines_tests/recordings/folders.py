"""Small folder recordings, written file by file so that each test can spoil one."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.model import EpisodeSource, Member
from lerobot_pipelines.recordings.folder import FolderRecording, open_folder

START_US = 1_764_167_571_000_000
KEY = "block/episode_1"


def jpeg(shade: int = 100, size: tuple[int, int] = (32, 24)) -> bytes:
    return _encoded("JPEG", shade, size)


def png(shade: int = 100, size: tuple[int, int] = (32, 24)) -> bytes:
    return _encoded("PNG", shade, size)


def _encoded(kind: str, shade: int, size: tuple[int, int]) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, (shade, shade, shade)).save(stream, kind)
    return stream.getvalue()


def stamps_us(count: int, rate_hz: float = 25.0) -> list[int]:
    return [START_US + round(k * 1e6 / rate_hz) for k in range(count)]


class Folder:
    """An episode of the split layout below ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def picture(self, camera: str, name: str, data: bytes | None = None) -> Path:
        path = self.root / "images" / KEY / camera / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg() if data is None else data)
        return path

    def camera(self, name: str, count: int = 40, rate_hz: float = 25.0) -> list[Path]:
        return [self.picture(name, f"{stamp}.jpg") for stamp in stamps_us(count, rate_hz)]

    def arm(self, name: str, columns: Mapping[str, object] | None = None) -> Path:
        path = self.root / "joints" / KEY / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(dict(columns or arm_columns())), path)
        return path

    def source(self) -> EpisodeSource:
        members = tuple(
            Member(str(path.relative_to(self.root)), path.stat().st_size, "")
            for path in sorted(self.root.rglob("*"))
            if path.is_file()
        )
        return EpisodeSource(KEY, self.root, members, self.root.as_uri())

    def open(self, config: DatasetConfig | None = None) -> FolderRecording:
        return open_folder(self.source(), config)


def arm_columns(count: int = 40, joints: int = 3) -> dict[str, object]:
    values = np.arange(count * joints, dtype=np.float64).reshape(count, joints)
    return {
        "timestamps": np.array(stamps_us(count), np.int64),
        **{f"joint_{j}": values[:, j] for j in range(joints)},
    }


def config(
    *,
    streams: Sequence[str | Mapping[str, object]] = ("left",),
    cameras: Sequence[str | Mapping[str, object]] = ("cam",),
    **sections: object,
) -> DatasetConfig:
    """A configuration of streams and cameras by name, or with their settings."""
    return DatasetConfig.model_validate(
        {
            "dataset": {"name": "test"},
            "storage": {"url": "file:///nowhere"},
            "streams": [{"name": s} if isinstance(s, str) else s for s in streams],
            "cameras": [
                {"feature": f"observation.images.{c}", "name": c}
                if isinstance(c, str)
                else {"feature": f"observation.images.{c['name']}", **c}
                for c in cameras
            ],
            **sections,
        }
    )
