"""A fleet's bucket: 100,000 episodes, ten of them new, and the download of one.

    python benchmarks/fleet.py                         a local folder
    LEROBOT_PIPELINES_S3_ENDPOINT=http://... (with LEROBOT_PIPELINES_TEST_ACCESS_KEY and
    LEROBOT_PIPELINES_TEST_SECRET_KEY) python benchmarks/fleet.py --store s3     a real server

    python benchmarks/fleet.py --hostile [--count 10000]     what a tick costs whatever lies there

Episodes are two small objects each, in one task folder of each of ten sources: what is measured is
the number of episodes, not their size. The known ones are partitions, as after a year of use.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import TypeVar

import dagster as dg

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.hostile_fleet import measure
from lerobot_pipelines.config.hashing import dataset_hash
from lerobot_pipelines.config.schema import (
    DatasetConfig,
    DatasetSection,
    Format,
    ScannerConfig,
    StorageConfig,
    StreamConfig,
)
from lerobot_pipelines.datasets.ledger import (
    Intent,
    Ledger,
    Packing,
    Snapshot,
    Totals,
    ledger_folder,
)
from lerobot_pipelines.datasets.members import DatasetSchema
from lerobot_pipelines.datasets.members import Member as LedgerMember
from lerobot_pipelines.datasets.options import options_of
from lerobot_pipelines.datasets.records import EpisodeRecord
from lerobot_pipelines.defs import bucket_sensor, naming, rescan
from lerobot_pipelines.defs.cursor import BucketCursor
from lerobot_pipelines.model import Member
from lerobot_pipelines.pipeline.artifacts import episode_keys
from lerobot_pipelines.pipeline.discovery import fingerprint
from lerobot_pipelines.pipeline.keys import encode_key
from lerobot_pipelines.pipeline.workspace import Workspace, open_workspace
from lerobot_pipelines.storage import Storage
from lerobot_pipelines.storage.base import ObjectInfo
from lerobot_pipelines.storage.local import LocalStorage, info_of
from lerobot_pipelines_tests.s3_server import running_s3_server

Result = TypeVar("Result")

SOURCES = 10
NEW = 10
PUT_THREADS = 16
OBJECTS, OBJECT_BYTES = 3_000, 40_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--store", choices=["file", "s3"], default="file")
    parser.add_argument("--layout", choices=["split", "episode"], default="split")
    parser.add_argument("--episodes", type=int, default=100_000)
    parser.add_argument("--skip-download", action="store_true")
    parser.add_argument("--hostile", action="store_true", help="see hostile_fleet.py")
    parser.add_argument("--count", type=int, default=10_000, help="--hostile: how many of each")
    parser.add_argument("--bucket", help="s3: fill this one, or use it again if it is filled")
    arguments = parser.parse_args()
    if arguments.hostile:
        with tempfile.TemporaryDirectory() as name:
            storages = _storages(arguments.store, Path(name))
            sys.exit(0 if measure(storages, Path(name), arguments.count) else 1)
    with (
        tempfile.TemporaryDirectory() as name,
        _storage(arguments.store, Path(name), arguments.bucket) as storage,
    ):
        config = DatasetConfig(
            dataset=DatasetSection(name="fleet"),
            streams=(StreamConfig(name="arm", file="arm.parquet"),),
            storage=storage.model_copy(
                update={
                    "sources": tuple(f"robot_{number}" for number in range(SOURCES)),
                    "scanner": ScannerConfig(quiet_period_s=0.0),
                }
            ),
        )
        workspace = open_workspace(config, cache_dir=Path(name) / "cache")
        if not arguments.skip_download:
            downloads(workspace, Path(name))
        ticks(workspace, arguments.episodes, arguments.layout)


@contextmanager
def _storage(kind: str, folder: Path, bucket: str | None) -> Iterator[StorageConfig]:
    if kind == "file":
        yield StorageConfig(url=folder.as_uri())
        return
    with running_s3_server() as server:
        if bucket is not None:
            with suppress(server.client().exceptions.BucketAlreadyOwnedByYou):
                server.client().create_bucket(Bucket=bucket)
        yield server.config(bucket or server.new_bucket())


def _storages(kind: str, folder: Path) -> Iterator[StorageConfig]:
    """A new bucket each time."""
    if kind == "file":
        for number in count():
            yield StorageConfig(url=(folder / f"bucket_{number}").as_uri())
    with running_s3_server() as server:
        while True:
            yield server.config(server.new_bucket())


def ticks(workspace: Workspace, episodes: int, layout: str) -> None:
    """Ticks with nothing, then ten, new; then the rescan of everything."""
    keys = [f"robot_{n % SOURCES}/task/episode_{n:06d}" for n in range(episodes)]
    run = int(time.time())
    keys += [f"robot_{n % SOURCES}/task/new_{run}_{n:06d}" for n in range(NEW)]
    began = time.perf_counter()
    if not workspace.storage.list_level("raw")[0]:
        put_all(workspace, keys[:episodes], layout, converted=True)
    if not any(workspace.storage.list(ledger_folder(workspace.config, Format.V30))):
        write_ledger(workspace, keys[:episodes], layout)
    print(f"{episodes} episodes in {workspace.storage.url} ({time.perf_counter() - began:.0f} s)")
    with dg.DagsterInstance.ephemeral() as instance:
        known = [encode_key(key) for key in keys[:episodes]]
        instance.add_dynamic_partitions(naming.partitions_name("fleet"), known)
        cursor = BucketCursor()
        bucket_sensor.KNOWN_LOOKED_AT, looked_at = 0, bucket_sensor.KNOWN_LOOKED_AT
        measured("names only", lambda: bucket_sensor.evaluate(workspace, instance, cursor))
        bucket_sensor.KNOWN_LOOKED_AT = looked_at
        put_all(workspace, keys[episodes:], layout, converted=False)
        tick = measured(
            f"tick, {NEW} new", lambda: bucket_sensor.evaluate(workspace, instance, cursor)
        )
        found = sum(request.partition_key not in set(known) for request in tick.requests)
        print(f"  {found} new episodes requested, {tick.looked_at} looked at")
        for _ in range(3):
            measured("tick after", lambda: bucket_sensor.evaluate(workspace, instance, cursor))
        report: list[str] = []
        rescan.LOOKING_BUDGET_S = rescan.LOOKING_BUDGET_WHEN_CLEANING_S = 3600.0
        measured("full rescan", lambda: rescan.evaluate(workspace, instance, report, seed="1"))
        print("  " + ("; ".join(report)[:200] or "every episode has its verdict"))


def measured(what: str, work: Callable[[], Result]) -> Result:
    cpu, began = time.process_time(), time.perf_counter()
    result = work()
    wall, spent = time.perf_counter() - began, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{what:16} {wall:7.2f} s  {spent:7.2f} s of CPU  {peak:5.0f} MB peak", flush=True)
    return result


def put_all(workspace: Workspace, keys: list[str], layout: str, *, converted: bool) -> None:
    """Two small objects an episode, and for converted ones the verdict."""
    with ThreadPoolExecutor(PUT_THREADS) as pool:
        for _ in pool.map(lambda key: put(workspace, key, layout, converted=converted), keys):
            pass


def places(key: str, layout: str) -> tuple[str, str]:
    source, _, rest = key.partition("/")
    folders = [
        f"{key}/{section}" if layout == "episode" else f"{source}/{section}/{rest}"
        for section in ("joints", "images")
    ]
    return f"{folders[0]}/arm.parquet", f"{folders[1]}/cam/1000000.jpg"


def put(workspace: Workspace, key: str, layout: str, *, converted: bool) -> None:
    members = []
    for place in places(key, layout):
        info = write(workspace.storage, f"raw/{place}", b"x")
        members.append(Member(place, 1, info.etag))
    if not converted:
        return
    record = EpisodeRecord(
        key=key,
        uri=key,
        source=key.partition("/")[0],
        fingerprint=fingerprint(members),
        config_hash=dataset_hash(workspace.config),
        code_version="1",
        fps=30,
        robot_type="robot",
        frames_key="frames",
        frames_sha256="0",
        features={},
        segments=(),
        checks=(),
    )
    write(
        workspace.storage,
        episode_keys(workspace, key).record,
        record.model_dump_json().encode(),
    )


def write_ledger(workspace: Workspace, keys: list[str], layout: str) -> None:
    """As the dataset's last update leaves it: every record's ETag and what it was made from."""
    storage, config = workspace.storage, workspace.config
    etags = {info.key: info.etag for prefix in ("raw", "work") for info in storage.list(prefix)}
    config_hash = dataset_hash(config)
    members = []
    for key in keys:
        record = episode_keys(workspace, key).record
        files = [Member(place, 1, etags[f"raw/{place}"]) for place in places(key, layout)]
        members.append(
            LedgerMember(
                record_key=record,
                etag=etags[record],
                digest="0" * 64,
                key=key,
                source=key.partition("/")[0],
                uri=key,
                fingerprint=fingerprint(files),
                config_hash=config_hash,
                code_version="1",
                frames_key="frames",
                frames_sha256="0",
                segments=(),
            )
        )
    snapshot = Snapshot(
        format=Format.V30,
        config_hash=config_hash,
        options=options_of(config),
        layout=DatasetSchema(fps=30, features={}, videos={}),
        tasks=(),
        members=tuple(members),
        left={},
        packing=Packing(),
        totals=Totals(),
        metas={},
    )
    ledger = Ledger(storage, ledger_folder(config, Format.V30))
    ledger.announce(1, Intent(kind="create", writes={}, deletes=(), snapshot=snapshot))
    ledger.finish(1, {})


def write(storage: Storage, key: str, data: bytes) -> ObjectInfo:
    if not isinstance(storage, LocalStorage):
        return storage.write(key, data)
    # Without the flush to the disk: only the names matter here.
    file = storage.root / key
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return info_of(key, file.stat())


def downloads(workspace: Workspace, folder: Path) -> None:
    """One episode's objects to files: our storage with its threads, and a plain boto3 loop."""
    storage, config = workspace.storage, workspace.config.storage
    if isinstance(storage, LocalStorage):
        return
    from lerobot_pipelines.storage.s3_connection import place_of, plain_client

    keys = [f"download/{number:05d}" for number in range(OBJECTS)]
    data = bytes(range(250)) * (OBJECT_BYTES // 250)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda key: storage.write(key, data), keys))
    target = folder / "fetched"
    client, bucket = plain_client(config), place_of(config.url).bucket

    def ours() -> None:
        with ThreadPoolExecutor(config.transfer_threads) as pool:
            list(pool.map(lambda key: storage.download(key, target / key), keys))

    def boto3_loop() -> None:
        for key in keys:
            body = client.get_object(Bucket=bucket, Key=key)["Body"].read()
            (target / key).write_bytes(body)

    for name, work in (("ours", ours), ("boto3, a loop", boto3_loop)) * 2:
        shutil.rmtree(target, ignore_errors=True)
        (target / "download").mkdir(parents=True)
        began = time.perf_counter()
        measured(name, work)
        print(f"  {OBJECTS / (time.perf_counter() - began):.0f} objects/s")


if __name__ == "__main__":
    main()
