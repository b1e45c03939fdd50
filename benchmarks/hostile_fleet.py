"""What a tick costs whatever lies in the bucket; called by ``fleet.py --hostile``.

Each case is a bucket of its own with ten sound episodes beside what is wrong with it, so that a
tick has something to do as well. Measured is the slowest of several ticks of each sensor.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import dagster as dg

from lerobot_pipelines.config.schema import (
    DatasetConfig,
    DatasetSection,
    ScannerConfig,
    StorageConfig,
)
from lerobot_pipelines.defs import bucket_sensor, dataset_sensor, naming, rescan
from lerobot_pipelines.defs.cursor import BucketCursor
from lerobot_pipelines.defs.dataset_sensor import DatasetCursor
from lerobot_pipelines.errors import Transient
from lerobot_pipelines.pipeline.keys import encode_key
from lerobot_pipelines.pipeline.workspace import Workspace, open_workspace
from lerobot_pipelines.storage.local import LocalStorage

MOST_S = 5.0
TICKS = 4
SOUND = 10

Put = Callable[[str, bytes], object]


@dataclass
class Case:
    """A bucket, and what happens in it between two ticks."""

    workspace: Workspace
    instance: dg.DagsterInstance
    between: Callable[[], None] = lambda: None

    def put(self, key: str, data: bytes = b"x") -> None:
        storage = self.workspace.storage
        if not isinstance(storage, LocalStorage):
            storage.write(key, data)
            return
        # Without the flush to the disk: only the names matter here.
        file = storage.root / key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)

    def episode(self, key: str) -> None:
        self.put(f"raw/joints/{key}/arm.parquet")
        self.put(f"raw/images/{key}/cam/1000000.jpg")


def refusals(case: Case, count: int) -> None:
    for number in range(count):
        _refuse(case, f"block/bad_{number:06d}")


def bad_record(case: Case, count: int) -> None:
    del count
    _refuse(case, "block/bad_000000")
    for number, data in enumerate((b"", b"\xff\xfe", b'{"key": 1}', b"[" * 100_000)):
        case.put(f"work/fleet/failures/block~broken_{number}.json", data)
    case.put("work/fleet/failures/no=key.json", b"{}")


def wishes(case: Case, count: int) -> None:
    for number in range(count):
        case.episode(f"block/bad_{number:06d}")
        case.put(f"work/fleet/retries/block~bad_{number:06d}.json", os.urandom(8).hex().encode())


def bad_names(case: Case, count: int) -> None:
    storage = case.workspace.storage
    for number in range(count):
        if isinstance(storage, LocalStorage):
            name = os.fsencode(storage.root) + b"/raw/joints/block/ep_\xff_%06d" % number
            os.makedirs(name, exist_ok=True)
        else:
            case.put(f"raw/joints/block/{'n' * 210}_{number:06d}/arm.parquet")


def narrow_lattice(case: Case, count: int) -> None:
    del count
    _lattice(case, levels=40, width=2)


def wide_lattice(case: Case, count: int) -> None:
    del count
    _lattice(case, levels=6, width=100)


def never_settling(case: Case, count: int) -> None:
    for number in range(count):
        case.episode(f"block/moving_{number:06d}")
    storage = case.workspace.storage

    def touch() -> None:
        now_ns = time.time_ns()
        for number in range(count):
            key = f"raw/joints/block/moving_{number:06d}/arm.parquet"
            if isinstance(storage, LocalStorage):
                os.utime(storage.root / key, ns=(now_ns, now_ns))
            elif number < 500:
                storage.write(key, os.urandom(4))

    case.between = touch


def queue(case: Case, count: int) -> None:
    partitions = [encode_key(f"block/queued_{number:06d}") for number in range(count)]
    case.instance.add_dynamic_partitions(naming.partitions_name("fleet"), partitions)
    for number, partition in enumerate(partitions):
        if number % (count // SOUND) == 0:
            case.episode(f"block/queued_{number:06d}")
        tags = {"dagster/partition": partition, naming.DATASET_TAG: "fleet"}
        case.instance.run_storage.add_run(
            dg.DagsterRun(job_name="fleet_episode", run_id=str(uuid4()), tags=tags)
        )


CASES: dict[str, Callable[[Case, int], None]] = {
    "nothing": lambda case, count: None,
    "refusals": refusals,
    "bad failure records": bad_record,
    "retry wishes": wishes,
    "bad names": bad_names,
    "a lattice of links, 2 wide": narrow_lattice,
    "a lattice of links, 100 wide": wide_lattice,
    "folders that never settle": never_settling,
    "queued runs": queue,
}


def measure(storages: Iterator[StorageConfig], folder: Path, count: int) -> bool:
    """Print a line for each case; whether every tick was over in time."""
    print(f"slowest of {TICKS} ticks, with {count} of each; seconds")
    print(f"{'':30} {'bucket':>8} {'dataset':>8} {'rescan':>8}")
    is_fine = True
    for name, make in CASES.items():
        config = DatasetConfig(
            dataset=DatasetSection(name="fleet"),
            storage=next(storages).model_copy(
                update={"scanner": ScannerConfig(quiet_period_s=5.0)}
            ),
        )
        workspace = open_workspace(config, cache_dir=folder / "cache")
        if "links" in name and not isinstance(workspace.storage, LocalStorage):
            continue
        with dg.DagsterInstance.ephemeral() as instance:
            case = Case(workspace, instance)
            try:
                make(case, count)
            except Transient as error:  # no store keeps every name
                print(f"{name:30} left out, the store refuses it: {str(error)[:80]}", flush=True)
                continue
            for number in range(SOUND):
                case.episode(f"block/sound_{number}")
            slowest = _slowest(case)
        over = [which for which, seconds in slowest.items() if seconds > MOST_S]
        is_fine = is_fine and not set(over) - {"rescan"}
        line = " ".join(f"{seconds:8.2f}" for seconds in slowest.values())
        print(f"{name:30} {line}{'  TOO LONG' if set(over) - {'rescan'} else ''}", flush=True)
    return is_fine


def _slowest(case: Case) -> dict[str, float]:
    cursor, other = BucketCursor(), DatasetCursor()
    workspace, instance = case.workspace, case.instance
    worst = {"bucket": 0.0, "dataset": 0.0, "rescan": 0.0}
    for _ in range(TICKS):
        began = time.perf_counter()
        tick = bucket_sensor.evaluate(workspace, instance, cursor)
        cursor = BucketCursor.parse(cursor.dump())
        worst["bucket"] = max(worst["bucket"], time.perf_counter() - began)
        if tick.added:
            instance.add_dynamic_partitions(naming.partitions_name("fleet"), tick.added)
        began = time.perf_counter()
        dataset_sensor.decide(workspace, instance, other, time.time())
        dataset_sensor.refusal_events(workspace, other)
        worst["dataset"] = max(worst["dataset"], time.perf_counter() - began)
        case.between()
    began = time.perf_counter()
    report: list[str] = []
    rescan.evaluate(workspace, instance, report, seed="1")
    assert sum(map(len, report)) < 100_000
    worst["rescan"] = time.perf_counter() - began
    return worst


def _refuse(case: Case, key: str) -> None:
    failure = {
        "key": key,
        "stage": "raw_episodes",
        "reason": "gap",
        "message": "a hole of 3 s",
        "fingerprint": "f",
        "config_hash": "c",
    }
    case.put(f"work/fleet/failures/{encode_key(key)}.json", json.dumps(failure).encode())


def _lattice(case: Case, levels: int, width: int) -> None:
    storage = case.workspace.storage
    assert isinstance(storage, LocalStorage)
    raw = storage.root / "raw"
    for level in range(levels):
        folder = raw / f"level_{level}"
        folder.mkdir(parents=True)
        for number in range(width if level + 1 < levels else 0):
            (folder / f"link_{number}").symlink_to(raw / f"level_{level + 1}")
