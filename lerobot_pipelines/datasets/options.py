"""Settings of the dataset that change what is written without any episode changing."""

from __future__ import annotations

from lerobot_pipelines.config.rules_dataset import dataset_folder
from lerobot_pipelines.config.schema import DatasetConfig, Format
from lerobot_pipelines.datasets.records import FeatureRecord, Record

# Raise it when the same episodes give other files.
LAYOUT_VERSION = 1

BYTES_PER_MB = 1024**2  # as lerobot counts

# Three digits in a file's name: loaders sort the paths, and "file-1000" sorts before "file-101".
_MAX_FILES_PER_CHUNK = 1000


class Options(Record):
    layout_version: int = LAYOUT_VERSION
    name: str
    robot_type: str
    license: str
    tags: tuple[str, ...]
    chunks_size: int
    data_bytes: int
    video_bytes: int
    names_keys: dict[str, str]  # feature -> key under which info.json lists its names

    def names_of(self, feature: str, record: FeatureRecord) -> object:
        """The names as info.json states them."""
        key = self.names_keys.get(feature)
        return {key: record.names} if key and record.names is not None else record.names

    @property
    def files_per_chunk(self) -> int:
        return min(self.chunks_size, _MAX_FILES_PER_CHUNK)


def options_of(config: DatasetConfig) -> Options:
    dataset = config.dataset
    return Options(
        name=dataset.name,
        robot_type=dataset.robot_type,
        license=dataset.license,
        tags=dataset.tags,
        chunks_size=dataset.chunks_size,
        data_bytes=dataset.data_files_size_in_mb * BYTES_PER_MB,
        video_bytes=dataset.video_files_size_in_mb * BYTES_PER_MB,
        names_keys={
            name: feature.names_key
            for name, feature in config.features.items()
            if feature.names_key is not None
        },
    )


def work_folder(config: DatasetConfig) -> str:
    """What the steps leave for one another lies below it: ``<work_prefix>/<dataset>``."""
    parts = (config.storage.work_prefix, config.dataset.name)
    return "/".join(part.strip("/") for part in parts if part.strip("/"))


def dataset_prefix(config: DatasetConfig, fmt: Format) -> str:
    """The object prefix of the dataset: ``<converted_prefix>/<pattern>/<format>``."""
    parts = (config.storage.converted_prefix, dataset_folder(config), fmt.value)
    return "/".join(part.strip("/") for part in parts if part.strip("/"))
