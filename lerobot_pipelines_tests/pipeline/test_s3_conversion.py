"""The same conversion with the bucket behind a network: same dataset, nothing fetched twice."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.datasets.verify import verify_dataset
from lerobot_pipelines.pipeline.convert import convert_dataset
from lerobot_pipelines.storage import Storage, open_storage
from lerobot_pipelines.storage.s3 import S3Storage
from lerobot_pipelines_tests.conftest import EPISODES, Converted, demo_config, write_episodes
from lerobot_pipelines_tests.s3_server import S3Server


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LEROBOT_PIPELINES_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def s3_config(server: S3Server, tmp_path: Path) -> tuple[DatasetConfig, Storage]:
    """A bucket with three recordings, and the demo dataset that reads it."""
    config = demo_config(tmp_path / "unused")
    storage = server.config(server.new_bucket(), "fleet")
    config = config.model_copy(update={"storage": storage})
    store = open_storage(storage)
    write_episodes(tmp_path / "local")
    files = [path for path in (tmp_path / "local/raw").rglob("*") if path.is_file()]
    with ThreadPoolExecutor(8) as pool:
        list(
            pool.map(
                lambda path: store.upload(path, path.relative_to(tmp_path / "local").as_posix()),
                files,
            )
        )
    return config, store


def fetched(store: Storage, prefix: str, folder: Path) -> Path:
    for info in store.list(prefix):
        path = folder / info.key
        path.parent.mkdir(parents=True, exist_ok=True)
        store.download(info.key, path)
    return folder / prefix


def test_a_bucket_elsewhere_gives_the_same_dataset_byte_for_byte(
    s3_server: S3Server, converted: Converted, cache: Path, tmp_path: Path
) -> None:
    config, store = s3_config(s3_server, tmp_path)
    assert convert_dataset(config).ok
    assert {outcome.status for outcome in convert_dataset(config).episodes} == {"unchanged"}
    root = fetched(store, "converted/demo/v3.0", tmp_path / "fetched")
    assert verify_dataset(root).findings == ()
    expected = converted.bucket / "converted/demo/v3.0"
    files = [path.relative_to(expected) for path in expected.rglob("*") if path.is_file()]
    assert len(files) >= 9
    for name in files:
        if name.name != "README.md":  # it names the bucket
            assert (root / name).read_bytes() == (expected / name).read_bytes(), name


def test_the_steps_of_an_episode_fetch_it_once(
    s3_server: S3Server, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, _ = s3_config(s3_server, tmp_path)
    downloads: list[str] = []
    download = S3Storage.download

    def counted(self: S3Storage, key: str, path: Path) -> object:
        downloads.append(key)
        return download(self, key, path)

    monkeypatch.setattr(S3Storage, "download", counted)
    assert convert_dataset(config, episodes=[EPISODES[0]]).ok
    raw = [key for key in downloads if key.startswith("raw/")]
    assert len(raw) > 100
    assert len(raw) == len(set(raw))
