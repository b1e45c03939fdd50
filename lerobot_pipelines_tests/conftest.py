"""Fixtures that many tests share: one real conversion of synthetic recordings, made once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lerobot_pipelines.config import load_config, shipped_configs
from lerobot_pipelines.config.schema import DatasetConfig, Format
from lerobot_pipelines.pipeline.convert import ConvertSummary, convert_dataset
from lerobot_pipelines.recordings.synth import SynthCamera, SynthSpec, write_recording
from lerobot_pipelines_tests.s3_server import S3Server, running_s3_server

CAMERAS = (
    SynthCamera("cam_high", 25.0),
    SynthCamera("cam_left", 25.0),
    SynthCamera("cam_right", 30.0),
)
EPISODES = ("block/episode_0000", "block/episode_0001", "block/episode_0002")


@dataclass(frozen=True)
class Converted:
    """A bucket with three episodes, converted to both formats. Tests copy it, never change it."""

    config: DatasetConfig
    bucket: Path
    summary: ConvertSummary

    def dataset(self, fmt: Format) -> Path:
        return self.bucket / "converted" / self.config.dataset.name / fmt


def demo_config(bucket: Path, **overrides: object) -> DatasetConfig:
    """The shipped demo dataset, with its bucket in a folder of the test's own."""
    changed = {"storage.url": bucket.as_uri(), **overrides}
    return load_config(shipped_configs()["demo"], changed)


def write_episodes(bucket: Path, keys: tuple[str, ...] = EPISODES, seconds: float = 2.0) -> None:
    for seed, key in enumerate(keys):
        spec = SynthSpec(seconds=seconds + 0.2 * seed, cameras=CAMERAS, seed=seed)
        write_recording(bucket / "raw", key, spec)


@pytest.fixture(scope="session")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Converted:
    bucket = tmp_path_factory.mktemp("converted") / "bucket"
    write_episodes(bucket)
    config = demo_config(bucket)
    return Converted(config, bucket, convert_dataset(config))


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    with running_s3_server() as server:
        yield server
