"""A bad network between worker and bucket, and workers that are killed: nothing lost or doubled."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lerobot_pipelines.config import dump_config
from lerobot_pipelines.config.schema import DatasetConfig, StorageConfig
from lerobot_pipelines.datasets.verify import verify_dataset
from lerobot_pipelines.errors import Transient
from lerobot_pipelines.pipeline.convert import convert_dataset
from lerobot_pipelines.pipeline.dataset import is_up_to_date
from lerobot_pipelines.pipeline.status import StatusReader
from lerobot_pipelines.recorder import publish_episode
from lerobot_pipelines.storage import Storage, open_storage
from lerobot_pipelines_tests.faulty_proxy import AFTER, BEFORE, faulty_proxy
from lerobot_pipelines_tests.fleet import fleet_config, record, workspace_of
from lerobot_pipelines_tests.s3_server import S3Server

pytestmark = pytest.mark.integration

EPISODES = tuple(f"block/episode_{number}" for number in range(4))
MOST_ATTEMPTS = 10


def contents(store: Storage, prefix: str) -> dict[str, bytes]:
    return {info.key: store.read(info.key) for info in store.list(prefix)}


def expected(tmp_path: Path, recordings: list[Path]) -> dict[str, bytes]:
    """The datasets of an undisturbed conversion; the card names the bucket and is left out."""
    config = fleet_config(StorageConfig(url=(tmp_path / "quiet").as_uri()))
    for key, recording in zip(EPISODES, recordings, strict=True):
        publish_episode(key, recording, config=config)
    assert convert_dataset(config).ok
    return without_card(contents(open_storage(config.storage), "converted"))


def without_card(objects: dict[str, bytes]) -> dict[str, bytes]:
    return {key: data for key, data in objects.items() if not key.endswith("README.md")}


@pytest.fixture
def recordings(tmp_path: Path) -> list[Path]:
    return [record(tmp_path / "disk", key, seed=seed) for seed, key in enumerate(EPISODES)]


def check_counts(config: DatasetConfig, tmp_path: Path) -> None:
    workspace = workspace_of(config, tmp_path)
    status = StatusReader(workspace).read(time.time_ns())
    assert (status.pending, status.converted, status.refused) == (0, len(EPISODES), 0)
    assert [size.episodes for size in status.datasets] == [len(EPISODES)]
    assert is_up_to_date(workspace)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_bad_network_costs_time_and_nothing_else(
    s3_server: S3Server,
    tmp_path: Path,
    recordings: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
) -> None:
    monkeypatch.setenv("LEROBOT_PIPELINES_CACHE", str(tmp_path / "cache"))
    direct = s3_server.config(s3_server.new_bucket())
    with faulty_proxy(s3_server.endpoint, share=0.05, seed=seed) as proxy:
        config = fleet_config(direct.model_copy(update={"endpoint": proxy.endpoint}))
        for key, recording in zip(EPISODES, recordings, strict=True):
            _until_done(lambda k=key, r=recording: publish_episode(k, r, config=config))  # type: ignore[misc]
        _until_done(lambda: convert_dataset(config).ok)
        assert set(proxy.met) == {*BEFORE, *AFTER}
        assert sum(proxy.met.values()) > 20
    check_counts(fleet_config(direct), tmp_path)
    there = contents(open_storage(direct), "converted")
    assert without_card(there) == expected(tmp_path, recordings)


def _until_done(attempt: object) -> None:
    """As a person or a daemon would: again after a fault that may pass."""
    assert callable(attempt)
    for _ in range(MOST_ATTEMPTS):
        try:
            if attempt():
                return
        except Transient:
            continue
    raise AssertionError(f"not done after {MOST_ATTEMPTS} attempts")


def test_a_worker_killed_at_any_moment_is_taken_over_by_the_next(
    tmp_path: Path, recordings: list[Path]
) -> None:
    config = fleet_config(StorageConfig(url=(tmp_path / "bucket").as_uri()))
    path = tmp_path / "fleet.yaml"
    path.write_text(dump_config(config))
    for key, recording in zip(EPISODES, recordings, strict=True):
        publish_episode(key, recording, config=config)
    # By progress, not by the clock: each start is killed a few written objects after the last.
    steps = random.Random(5)
    killed = 0
    for _ in range(8):
        target = _objects(tmp_path / "bucket") + steps.randint(1, 6)
        process = subprocess.Popen(
            [sys.executable, "-m", "lerobot_pipelines.cli", "convert", str(path)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while process.poll() is None and _objects(tmp_path / "bucket") < target:
            time.sleep(0.005)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed += 1
    assert killed >= 2
    assert convert_dataset(config).ok
    check_counts(config, tmp_path)
    store = open_storage(config.storage)
    assert without_card(contents(store, "converted")) == expected(tmp_path, recordings)
    assert verify_dataset(tmp_path / "bucket/converted/fleet/v3.0").ok
    hidden = [file for file in (tmp_path / "bucket/converted").rglob(".*") if file.is_file()]
    assert all(file.name.startswith(".lerobot-pipelines-tmp-") for file in hidden)


def _objects(bucket: Path) -> int:
    return sum(1 for path in bucket.rglob("*") if path.is_file())
