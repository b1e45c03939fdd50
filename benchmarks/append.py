"""What appending one short episode costs, by the size of the dataset it is appended to.

usage: python -m benchmarks.append [--episodes 1 100 1000] [--appends 20] [--rows 50]

Datasets of short episodes (64x48, h264, 14 joints) are made in a temporary folder; then episodes
are appended one at a time. A row of the table is the median over the appends (and the slowest one,
which for v3.0 is one that joins files): seconds, CPU-seconds, objects and bytes written. The
dataset's first build is reported apart.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lerobot_pipelines.config.schema import Format
from lerobot_pipelines.storage.base import Storage
from lerobot_pipelines_tests.datasets.episodes import Bucket, toy_config

WRITES = ("write", "create", "upload")  # a copy within the bucket moves no bytes


class CountingStorage:
    """Passes everything on and counts what is written."""

    def __init__(self, inner: Storage) -> None:
        self._inner = inner
        self.url = inner.url
        self.objects = 0
        self.bytes = 0

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        return self._counted(method) if name in WRITES else method

    def _counted(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            data = next(one for one in arguments if isinstance(one, bytes | Path))
            self.objects += 1
            self.bytes += len(data) if isinstance(data, bytes) else data.stat().st_size
            return method(*arguments)

        return call


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def measure(fmt: Format, episodes: int, appends: int, rows: int, folder: Path) -> list[str]:
    bucket = Bucket(toy_config(folder / "bucket"), folder / "scratch")
    for number in range(episodes):
        bucket.put(f"e{number:06d}", rows, seed=number % 20)
    began = time.perf_counter()
    bucket.update(fmt)
    build = time.perf_counter() - began
    walls, cpus, objects, sizes = [], [], [], []
    for number in range(episodes, episodes + appends):
        bucket.put(f"e{number:06d}", rows, seed=number % 20)
        storage = CountingStorage(bucket.storage)
        began, cpu = time.perf_counter(), cpu_seconds()
        update = bucket.update(fmt, storage)  # type: ignore[arg-type]
        walls.append(time.perf_counter() - began)
        cpus.append(cpu_seconds() - cpu)
        assert update.added == (f"e{number:06d}",)
        objects.append(storage.objects)
        sizes.append(storage.bytes)
    return [
        fmt.value,
        str(episodes),
        f"{build:.2f}",
        f"{statistics.median(walls) * 1000:.0f}",
        f"{max(walls) * 1000:.0f}",
        f"{statistics.median(cpus) * 1000:.0f}",
        str(round(statistics.median(objects))),
        f"{statistics.median(sizes) / 1000:.0f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--episodes", type=int, nargs="+", default=[1, 100, 1000])
    parser.add_argument("--appends", type=int, default=20)
    parser.add_argument("--rows", type=int, default=50)
    parser.add_argument("--folder", type=Path, help="where to work; default: a temporary folder")
    arguments = parser.parse_args()
    head = ("format", "episodes", "build s", "ms", "max ms", "CPU ms", "objects", "kB")
    print(" | ".join(f"{name:>8}" for name in head))
    for fmt in Format:
        for episodes in arguments.episodes:
            with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
                found = measure(fmt, episodes, arguments.appends, arguments.rows, Path(folder))
            print(" | ".join(f"{cell:>8}" for cell in found), flush=True)


if __name__ == "__main__":
    main()
