"""Training straight from a bucket that speaks S3."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import torch

from lerobot_pipelines.config.schema import Format, StorageConfig
from lerobot_pipelines.errors import Refused, Transient
from lerobot_pipelines.loading import (
    LoadingConfig,
    ValidationConfig,
    make_chunk_dataset,
    make_interleave_dataset,
    make_lazy_dataset,
    make_loader,
)
from lerobot_pipelines_tests.datasets.episodes import CAMERA
from lerobot_pipelines_tests.faulty_proxy import faulty_proxy
from lerobot_pipelines_tests.loading.conftest import toy_dataset
from lerobot_pipelines_tests.s3_server import S3Server

PREFIX = "converted/toy/v2.1"
Uploaded = tuple[StorageConfig, Path]


@pytest.fixture
def uploaded(s3_server: S3Server, tmp_path: Path) -> Uploaded:
    """A dataset in a bucket, and the same on this machine. Each episode has files of its own."""
    root = toy_dataset(tmp_path, Format.V21)
    bucket = s3_server.new_bucket()
    client = s3_server.client()
    for path in root.rglob("*"):
        if path.is_file():
            key = f"{PREFIX}/{path.relative_to(root).as_posix()}"
            client.put_object(Bucket=bucket, Key=key, Body=path.read_bytes())
    return s3_server.config(bucket), root


def fetched(cache: Path) -> int:
    return sum(path.stat().st_size for path in cache.rglob("file"))


def unchecked(cache: Path, **settings: Any) -> LoadingConfig:
    off = ValidationConfig(level="off")
    return LoadingConfig(bucket_cache_dir=cache, validation=off, **settings)


def wait_for(reached: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not reached():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_items_from_the_bucket_are_those_of_the_local_copy(
    uploaded: Uploaded, tmp_path: Path
) -> None:
    storage, root = uploaded
    local = make_chunk_dataset(root, delta_timestamps={CAMERA: [-0.1, 0.0], "action": [0.0, 0.1]})
    config = LoadingConfig(bucket_cache_dir=tmp_path / "cache")
    remote = make_chunk_dataset(
        PREFIX,
        config,
        storage=storage,
        delta_timestamps={CAMERA: [-0.1, 0.0], "action": [0.0, 0.1]},
    )
    assert len(remote) == len(local) == 34
    for index in range(0, 34, 3):
        have, want = remote[index], local[index]
        assert have.keys() == want.keys()
        assert all(
            torch.equal(value, want[key]) if torch.is_tensor(value) else value == want[key]
            for key, value in have.items()
        )


@pytest.mark.parametrize("workers", [0, 2])
def test_a_cache_smaller_than_the_dataset_is_enough(
    uploaded: Uploaded, tmp_path: Path, workers: int
) -> None:
    storage, root = uploaded
    bounds = unchecked(tmp_path / "cache", bucket_cache_gb=0.01 / 1000)
    dataset = make_lazy_dataset(PREFIX, bounds, storage=storage)
    local = make_chunk_dataset(root)
    largest = max(path.stat().st_size for path in root.rglob("*") if path.is_file())
    seen = []
    for batch in make_loader(dataset, 5, num_workers=workers):
        # Beyond the bound only what each process has just asked for.
        assert fetched(tmp_path / "cache") <= 10_000 + 5 * (workers + 1) * largest
        for position, index in enumerate(batch["index"].tolist()):
            assert torch.equal(batch[CAMERA][position], local[index][CAMERA])
            seen.append(index)
    assert sorted(seen) == list(range(34))


def test_what_comes_soon_is_fetched_before_it_is_asked_for(
    uploaded: Uploaded, tmp_path: Path
) -> None:
    storage, root = uploaded
    stream = make_interleave_dataset([PREFIX], unchecked(tmp_path / "cache"), storage=storage)
    source: Any = stream.readings[0].source
    source.will_need(1)
    source.will_need(2)
    names = (f"data/chunk-000/episode_00000{n}.parquet" for n in (1, 2))
    sizes = [(root / name).stat().st_size for name in names]
    videos = [(root / f"videos/chunk-000/{CAMERA}/episode_00000{n}.mp4") for n in (1, 2)]
    sizes += [path.stat().st_size for path in videos]

    def have() -> list[int]:
        return [path.stat().st_size for path in (tmp_path / "cache").rglob("file")]

    wait_for(lambda: set(sizes) <= set(have()))


def test_a_store_that_is_out_of_reach_is_named_with_the_file(
    uploaded: Uploaded, s3_server: S3Server, tmp_path: Path
) -> None:
    storage, _ = uploaded
    with faulty_proxy(s3_server.endpoint, share=0.0) as proxy:
        through = storage.model_copy(update={"endpoint": proxy.endpoint})
        dataset = make_chunk_dataset(PREFIX, unchecked(tmp_path / "cache"), storage=through)
        proxy.target = urlsplit("http://127.0.0.1:1")  # where nothing listens
        with pytest.raises(Transient, match=rf"{storage.url}.*episode_000001\.mp4"):
            dataset[12]


def test_an_object_that_is_gone_is_named(
    uploaded: Uploaded, s3_server: S3Server, tmp_path: Path
) -> None:
    storage, _ = uploaded
    name = f"videos/chunk-000/{CAMERA}/episode_000001.mp4"
    bucket = storage.url.removeprefix("s3://").strip("/")
    s3_server.client().delete_object(Bucket=bucket, Key=f"{PREFIX}/{name}")
    config = LoadingConfig(bucket_cache_dir=tmp_path / "cache")
    dataset = make_chunk_dataset(PREFIX, config, storage=storage)
    (fault,) = dataset.verdict.faults
    assert (fault.episode, len(dataset)) == (1, 20)
    assert f"{name} is not in the bucket" in fault.message
    strict = config.model_copy(update={"validation": ValidationConfig(exclude="error")})
    with pytest.raises(Refused, match="is not in the bucket"):
        make_chunk_dataset(PREFIX, strict, storage=storage)
