"""A LeRobot dataset (v2.1 or v3.0) as a source, on this machine or in a bucket."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.datasets.verify.info import read_info
from lerobot_pipelines.datasets.verify.report import Findings
from lerobot_pipelines.datasets.verify.v21 import read_v21
from lerobot_pipelines.datasets.verify.v30 import read_v30
from lerobot_pipelines.datasets.verify.view import DatasetView, Episode
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.loading.config import LoadingConfig
from lerobot_pipelines.loading.deltas import Rows
from lerobot_pipelines.loading.files import DatasetFiles
from lerobot_pipelines.loading.frames import PyavReader, VideoReader
from lerobot_pipelines.loading.rows import RowSpan, RowStore
from lerobot_pipelines.loading.source import FeatureSpec, Picture
from lerobot_pipelines.loading.statistics import dataset_statistics

_READERS = {"v2.1": read_v21, "v3.0": read_v30}
# Findings about these files mean that the view is not what the dataset holds. The others
# (totals, statistics) do not matter to reading; ``verify`` reports them.
_FATAL = {"not_a_dataset", "unreadable", "bad_info", "bad_json", "bad_episode", "bad_tasks"}


class ConvertedSource:
    """See ``Source``. ``lazy`` keeps the numbers of few episodes instead of all."""

    def __init__(
        self,
        name: str,
        view: DatasetView,
        files: DatasetFiles,
        config: LoadingConfig,
        *,
        lazy: bool,
    ) -> None:
        self.name = name
        self.view = view
        self.files = files
        self.fps = view.info.fps
        self.features = {
            key: FeatureSpec(feature.dtype, _shape(feature), _names(feature.names))
            for key, feature in view.info.features.items()
        }
        self.lengths: Rows = np.asarray([one.length for one in view.episodes], dtype=np.int64)
        self.tasks = list(view.tasks)
        self.statistics = dataset_statistics(view)
        self._rows = RowStore(
            files.path,
            {key: view.info.features[key] for key in view.info.columns},
            row_spans(view.episodes),
            int(config.row_cache_mb * 1e6) if lazy else None,
        )
        if not lazy and not any(f.dtype == "image" for f in view.info.features.values()):
            self._rows.read_all()
        self._videos = _video_reader(config)(
            files.path,
            self.fps,
            max_open=config.max_open_files,
            cache_bytes=int(config.frame_cache_mb * 1e6),
        )

    needs_spawn = False

    def values(self, key: str, episode: int, rows: Rows) -> NDArray[Any]:
        return self._rows.columns(episode)[key][rows]

    def pictures(
        self, camera: str, episode: int, rows: Rows, keep: range | None = None
    ) -> list[Picture]:
        if self.features[camera].dtype == "image":
            return [_decoded(data) for data in self._rows.columns(episode)[camera][rows]]
        span = self.view.episodes[episode].videos[camera]
        first = round(span.from_timestamp * self.fps)
        kept = None if keep is None else range(first + keep.start, first + keep.stop)
        return self._videos.read(span.path, [first + int(row) for row in rows], kept)

    def picture_bytes(self, camera: str) -> int:
        height, width = self.features[camera].shape[:2]
        return height * width * 3 // 2  # kept as 4:2:0

    def will_need(self, episode: int) -> None:
        one = self.view.episodes[episode]
        self.files.will_need([one.data_path, *(span.path for span in one.videos.values())])


def read_view(root: Path) -> DatasetView:
    """The metadata of a folder's dataset. Raises ``Refused`` (corrupt_artifact, unsupported)."""
    findings = Findings()
    info = read_info(root, findings)
    if info is None:
        raise Refused(Reason.CORRUPT_ARTIFACT, f"{root}: {findings.found[0].message}")
    reader: Callable[..., DatasetView] | None = _READERS.get(info.codebase_version)
    if reader is None:
        raise Refused(
            Reason.UNSUPPORTED,
            f"{root} is a dataset of format {info.codebase_version}; known are "
            f"{', '.join(_READERS)}",
        )
    view = reader(root, info, findings)
    for finding in findings.found:
        # Data and videos are looked at where they are used; in a bucket they are not here yet.
        missing = finding.code == "missing_file" and finding.where.startswith("meta/")
        optional = "stat" in finding.where
        if (finding.code in _FATAL or missing) and not optional:
            raise Refused(Reason.CORRUPT_ARTIFACT, f"{root / finding.where}: {finding.message}")
    return view


def row_spans(episodes: Sequence[Episode]) -> list[RowSpan]:
    """Where each episode's rows lie; episodes that share a file follow one another in it."""
    used: dict[str, int] = {}
    spans = []
    for episode in episodes:
        first = used.get(episode.data_path, 0)
        spans.append(RowSpan(episode.data_path, first, episode.length))
        used[episode.data_path] = first + episode.length
    return spans


def _video_reader(config: LoadingConfig) -> Callable[..., VideoReader]:
    if config.decoder == "pyav":
        return PyavReader
    from lerobot_pipelines.loading.torchcodec_frames import torchcodec_reader

    return torchcodec_reader(config.decoder_device)


def _shape(feature: Any) -> tuple[int, ...]:
    """Of cameras always (height, width, channels), whichever way info.json has it."""
    shape = tuple(feature.shape)
    if feature.dtype in ("video", "image") and len(shape) == 3 and shape[0] in (1, 3) < shape[2:]:
        return (*shape[1:], shape[0])
    return shape


def _names(names: Any) -> tuple[str, ...] | None:
    if isinstance(names, Mapping):
        names = next((value for value in names.values() if isinstance(value, list)), None)
    return tuple(str(name) for name in names) if isinstance(names, list) else None


def _decoded(data: bytes) -> Picture:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError) as fault:
        raise Refused(Reason.CORRUPT_PICTURE, f"a picture in a data file: {fault}") from fault
