"""Datasets in a store that is not this machine's disk: every file is fetched."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lerobot_pipelines.config.schema import Format, StorageConfig
from lerobot_pipelines.errors import PipelineError
from lerobot_pipelines.loading import (
    LoadingConfig,
    make_chunk_dataset,
    make_lazy_dataset,
    make_loader,
)
from lerobot_pipelines_tests.datasets.episodes import CAMERA
from lerobot_pipelines_tests.loading.conftest import toy_dataset


@pytest.fixture
def place(tmp_path: Path) -> tuple[StorageConfig, str, Path]:
    root = toy_dataset(tmp_path, Format.V21)
    return StorageConfig(url=(tmp_path / "bucket").as_uri()), "converted/toy/v2.1", root


def fetched(cache: Path) -> int:
    return sum(path.stat().st_size for path in cache.rglob("file"))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_dataset_is_fetched_as_it_is_read_within_the_bound(
    place: tuple[StorageConfig, str, Path], tmp_path: Path, workers: int
) -> None:
    storage, prefix, root = place
    bounds = LoadingConfig(bucket_cache_dir=tmp_path / "cache", bucket_cache_gb=0.01 / 1000)
    remote = make_lazy_dataset(prefix, bounds, storage=storage)
    local = make_chunk_dataset(root)
    seen = []
    for batch in make_loader(remote, 5, num_workers=workers):
        for position, index in enumerate(batch["index"].tolist()):
            assert torch.equal(batch[CAMERA][position], local[index][CAMERA])
            seen.append(index)
    assert sorted(seen) == list(range(34))
    # Beyond the bound only what each process has just asked for.
    largest = max(path.stat().st_size for path in root.rglob("*") if path.is_file())
    assert 0 < fetched(tmp_path / "cache") <= 10_000 + 5 * (workers + 1) * largest


def test_a_second_start_fetches_nothing(
    place: tuple[StorageConfig, str, Path], tmp_path: Path
) -> None:
    storage, prefix, _ = place
    config = LoadingConfig(bucket_cache_dir=tmp_path / "cache")
    assert len(make_chunk_dataset(prefix, config, storage=storage)) == 34
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("file")}
    again = make_chunk_dataset(prefix, config, storage=storage)
    assert again[3]["task"] == "pick"
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps


def test_a_file_that_changed_in_the_bucket_since_is_refused(
    place: tuple[StorageConfig, str, Path], tmp_path: Path
) -> None:
    storage, prefix, root = place
    config = LoadingConfig(
        bucket_cache_dir=tmp_path / "cache",
        validation={"level": "off"},  # type: ignore[arg-type]
    )
    dataset = make_chunk_dataset(prefix, config, storage=storage)
    video = root / f"videos/chunk-000/{CAMERA}/episode_000001.mp4"
    video.write_bytes(video.read_bytes() + b"\0")
    with pytest.raises(PipelineError, match=r"episode_000001\.mp4 changed"):
        dataset[12]
