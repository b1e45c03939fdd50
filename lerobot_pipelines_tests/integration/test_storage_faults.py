"""A bad network between worker and bucket, and workers that are killed: nothing lost or doubled."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lerobot_pipelines.config import dump_config
from lerobot_pipelines.config.schema import DatasetConfig, StorageConfig
from lerobot_pipelines.datasets.stamping import PARQUET_KEY
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

# The full size, half an hour: 30 episodes, killed 20 times.
EPISODES = tuple(
    f"block/episode_{number:02d}"
    for number in range(int(os.environ.get("LEROBOT_PIPELINES_TEST_EPISODES", "4")))
)
KILLS = int(os.environ.get("LEROBOT_PIPELINES_TEST_KILLS", "8"))
MOST_ATTEMPTS = 10
CEPH_VARIABLE = "LEROBOT_PIPELINES_TEST_CEPH"
WORKERS = 4


def contents(store: Storage, prefix: str) -> dict[str, bytes]:
    return {info.key: store.read(info.key) for info in store.list(prefix)}


def expected(tmp_path: Path, recordings: list[Path]) -> dict[str, bytes]:
    """The datasets of an undisturbed conversion."""
    config = fleet_config(StorageConfig(url=(tmp_path / "quiet").as_uri()))
    for key, recording in zip(EPISODES, recordings, strict=True):
        publish_episode(key, recording, config=config)
    assert convert_dataset(config).ok
    return without_card(contents(open_storage(config.storage), "converted"))


def without_card(objects: dict[str, bytes]) -> dict[str, bytes]:
    """What lerobot reads. The card names the bucket, the ledger when its objects were written, and
    after a lost race a file carries the number of its commit (``stamping``): these are left out."""
    return {
        key: without_stamp(key, data)
        for key, data in objects.items()
        if not key.endswith("README.md") and "/.ledger/" not in key
    }


def without_stamp(key: str, data: bytes) -> bytes:
    if key.endswith((".json", ".jsonl")):
        return data.rstrip(b" \t\n")
    if key.endswith(".parquet"):
        table = pq.read_table(pa.BufferReader(data))
        kept = {k: v for k, v in (table.schema.metadata or {}).items() if k != PARQUET_KEY}
        sink = pa.BufferOutputStream()
        pq.write_table(table.replace_schema_metadata(kept), sink)
        return bytes(sink.getvalue())
    return data


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
    for _ in range(KILLS):
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
    assert killed >= KILLS // 4
    assert convert_dataset(config).ok
    check_counts(config, tmp_path)
    store = open_storage(config.storage)
    assert without_card(contents(store, "converted")) == expected(tmp_path, recordings)
    assert verify_dataset(tmp_path / "bucket/converted/fleet/v3.0").ok
    hidden = [file for file in (tmp_path / "bucket/converted").rglob(".*") if file.is_file()]
    assert all(file.name.startswith(".lerobot-pipelines-tmp-") for file in hidden)


def test_a_server_that_goes_away_and_comes_back_is_waited_for(
    s3_server: S3Server, tmp_path: Path, recordings: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEROBOT_PIPELINES_CACHE", str(tmp_path / "cache"))
    direct = s3_server.config(s3_server.new_bucket())
    for key, recording in zip(EPISODES, recordings, strict=True):
        publish_episode(key, recording, config=fleet_config(direct))
    bucket = open_storage(direct)
    with ThreadPoolExecutor(1) as pool:
        with faulty_proxy(s3_server.endpoint, share=0.0) as proxy:
            port = int(proxy.server_address[1])
            config = fleet_config(direct.model_copy(update={"endpoint": proxy.endpoint}))
            conversion = pool.submit(convert_dataset, config)
            while not conversion.done() and not any(bucket.list("work/fleet/records")):
                time.sleep(0.01)
            assert not conversion.done()
        time.sleep(2.0)  # connections are refused
        with faulty_proxy(s3_server.endpoint, share=0.0, port=port):
            assert conversion.result(timeout=120).ok
    check_counts(fleet_config(direct), tmp_path)
    assert without_card(contents(bucket, "converted")) == expected(tmp_path, recordings)


@pytest.mark.skipif(
    CEPH_VARIABLE not in os.environ,
    reason=f"restarts a Ceph gateway; {CEPH_VARIABLE} names the folder of one that runs",
)
def test_a_server_that_is_killed_and_started_again_is_waited_for(
    s3_server: S3Server, tmp_path: Path, recordings: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEROBOT_PIPELINES_CACHE", str(tmp_path / "cache"))
    ceph = Path(os.environ[CEPH_VARIABLE])
    config = fleet_config(s3_server.config(s3_server.new_bucket()))
    for key, recording in zip(EPISODES, recordings, strict=True):
        publish_episode(key, recording, config=config)
    bucket = open_storage(config.storage)
    with ThreadPoolExecutor(1) as pool:
        conversion = pool.submit(convert_dataset, config)
        while not conversion.done() and not any(bucket.list("work/fleet/records")):
            time.sleep(0.01)
        assert not conversion.done()
        os.kill(int((ceph / "run/client.rgw.pid").read_text()), signal.SIGKILL)
        time.sleep(2.0)
        environment = {**os.environ, "CEPH_CONF": str(ceph / "ceph.conf")}
        subprocess.run(["radosgw", "-n", "client.rgw"], env=environment, check=True, timeout=60)
        assert conversion.result(timeout=120).ok
    check_counts(config, tmp_path)
    assert without_card(contents(bucket, "converted")) == expected(tmp_path, recordings)


def test_many_workers_on_one_bucket_at_once_make_one_dataset(
    s3_server: S3Server, tmp_path: Path, recordings: list[Path]
) -> None:
    direct = s3_server.config(s3_server.new_bucket())
    config = fleet_config(direct)
    path = tmp_path / "fleet.yaml"
    path.write_text(dump_config(config))
    for key, recording in zip(EPISODES, recordings, strict=True):
        publish_episode(key, recording, config=config)
    environment = {**os.environ, "LEROBOT_PIPELINES_CACHE": str(tmp_path / "cache")}
    arguments = [sys.executable, "-m", "lerobot_pipelines.cli", "convert", str(path)]
    workers = [
        subprocess.Popen(arguments, env=environment, stdout=subprocess.DEVNULL)
        for _ in range(WORKERS)
    ]
    assert [worker.wait() for worker in workers] == [0] * WORKERS
    check_counts(config, tmp_path)
    there = contents(open_storage(direct), "converted")
    assert without_card(there) == expected(tmp_path, recordings)


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A file system of its own that holds no more; skips where one cannot be made."""
    folder.mkdir()
    options = ("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder))
    if not (mount := shutil.which("mount")) or subprocess.call([mount, *options]) != 0:
        pytest.skip("may not mount a small file system here")
    try:
        yield
    finally:
        subprocess.check_call(["umount", str(folder)])


def test_a_full_disk_under_the_cache_is_named_and_loses_nothing(
    s3_server: S3Server, tmp_path: Path, recordings: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    direct = s3_server.config(s3_server.new_bucket())
    config = fleet_config(direct)
    for key, recording in zip(EPISODES, recordings, strict=True):
        publish_episode(key, recording, config=config)
    disk = tmp_path / "disk of the worker"
    monkeypatch.setenv("LEROBOT_PIPELINES_CACHE", str(disk))
    with small_disk(disk, "96k"):
        summary = convert_dataset(config)
        assert {outcome.status for outcome in summary.episodes} == {"failed"}
        for outcome in summary.episodes:
            assert outcome.reason == "DiskFull"
            assert str(disk) in outcome.message
            assert "LEROBOT_PIPELINES_CACHE" in outcome.message
        left = [path for path in disk.rglob("*") if path.is_file() and path.stat().st_size]
        assert left == []  # nothing half fetched keeps the disk full
    status = StatusReader(workspace_of(config, tmp_path)).read(time.time_ns())
    assert (status.pending, status.converted, status.refused) == (len(EPISODES), 0, 0)
    disk.rmdir()
    with small_disk(disk, "8m"):
        assert convert_dataset(config).ok
    check_counts(config, tmp_path)
    there = contents(open_storage(direct), "converted")
    assert without_card(there) == expected(tmp_path, recordings)


def _objects(bucket: Path) -> int:
    return sum(1 for path in bucket.rglob("*") if path.is_file())
