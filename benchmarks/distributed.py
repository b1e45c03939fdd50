"""Runs a minute: two Celery workers beside Dagster's default launcher, same daemon and database.

    python benchmarks/distributed.py                    40 episodes each, some 4 minutes
    python benchmarks/distributed.py --episodes 10 --json

Needs Debian's postgresql and redis-server, and the extras celery and postgres. Each contender gets
a PostgreSQL of its own, the shipped settings (``deploy/celery``) and two runs at a time; the
default launcher starts a process for each run. An episode is one second of two cameras of 64x48:
what is measured is the cost of a run, not of encoding.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import dagster as dg

sys.path.insert(0, str(Path(__file__).parent.parent))

from lerobot_pipelines_tests.integration.cluster import Fleet, running_fleet
from lerobot_pipelines_tests.integration.servers import missing_parts
from lerobot_pipelines_tests.integration.services import wait_for

WORKERS = ("one", "two")
PATIENCE_S = 3600.0
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Measured:
    launcher: str
    episodes: int
    seconds: float
    runs_per_minute: float
    cpu_s_per_run: float
    runs_by_worker: dict[str, int]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--episodes", type=int, default=40)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if missing := missing_parts():
        parser.error(f"missing: {', '.join(missing)}")
    results = [measure("celery", arguments.episodes), measure("default", arguments.episodes)]
    if arguments.json:
        print(json.dumps([asdict(result) for result in results]))
        return
    print(f"{'launcher':10} {'runs/min':>9} {'CPU s/run':>10} {'seconds':>8}   by worker")
    for result in results:
        shared = ", ".join(f"{name} {runs}" for name, runs in result.runs_by_worker.items())
        print(
            f"{result.launcher:10} {result.runs_per_minute:9.1f} {result.cpu_s_per_run:10.2f} "
            f"{result.seconds:8.0f}   {shared}"
        )


def measure(launcher: str, episodes: int) -> Measured:
    """From the start of the first run to the end of the last, daemon and database included."""
    keys = [f"block/episode_{number:04d}" for number in range(episodes)]
    workers = WORKERS if launcher == "celery" else ()
    with (
        tempfile.TemporaryDirectory(prefix="distributed-") as name,
        running_fleet(Path(name), workers, concurrent=len(WORKERS)) as fleet,
    ):
        fleet.upload(keys)
        fleet.start("daemon")
        wait_for("the first run", lambda: started(fleet), PATIENCE_S)
        cpu_s = cpu_of_descendants()
        wait_for(
            "all runs", lambda: len(fleet.runs(dg.DagsterRunStatus.SUCCESS)) == episodes, PATIENCE_S
        )
        cpu_s = cpu_of_descendants() - cpu_s
        records = fleet.instance.get_run_records(dg.RunsFilter(job_name="demo_episode"))
        begun = min(record.start_time or time.time() for record in records)
        seconds = max(record.end_time or 0.0 for record in records) - begun
        return Measured(
            launcher,
            episodes,
            round(seconds, 1),
            round(60 * episodes / seconds, 1),
            round(cpu_s / episodes, 2),
            {str(worker): runs for worker, runs in fleet.runs_by_worker().items() if worker},
        )


def started(fleet: Fleet) -> bool:
    return bool(fleet.runs(dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.SUCCESS))


def cpu_of_descendants() -> float:
    """CPU seconds of every process that this one started, those that ended included."""
    parents: dict[int, int] = {}
    spent: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # gone
            continue
        pid = int(stat.parent.name)
        parents[pid] = int(fields[1])
        spent[pid] = sum(int(field) for field in fields[11:15])  # with what its children spent
    return sum(spent[pid] for pid in descendants(parents, os.getpid())) / TICKS


def descendants(parents: dict[int, int], root: int) -> Sequence[int]:
    found = [pid for pid, parent in parents.items() if parent == root]
    for pid in found:
        found.extend(child for child, parent in parents.items() if parent == pid)
    return found


if __name__ == "__main__":
    main()
