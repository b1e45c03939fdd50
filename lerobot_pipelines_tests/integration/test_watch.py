"""The service for servers, with the real daemon: starts, converts, stops, goes on."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lerobot_pipelines.config import dump_config
from lerobot_pipelines.config.schema import StorageConfig
from lerobot_pipelines.datasets.verify import verify_dataset
from lerobot_pipelines_tests.cli.calling import call
from lerobot_pipelines_tests.fleet import fleet_config, record
from lerobot_pipelines_tests.integration.test_demo import descendants

pytestmark = pytest.mark.integration

PROGRAM = [sys.executable, "-m", "lerobot_pipelines.cli"]
# Two cores that also run other work: generous, because a test that passes never waits for it.
PATIENCE_S = 300.0


class Watch:
    """A running service, and what it has printed."""

    def __init__(self, folder: Path, *arguments: object) -> None:
        self.out = folder / f"out-{time.monotonic_ns()}.txt"
        with self.out.open("w") as out:
            self.process = subprocess.Popen(
                [*PROGRAM, *map(str, arguments)],
                cwd=folder,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, "LEROBOT_PIPELINES_CACHE": str(folder / "cache")},
            )

    @property
    def text(self) -> str:
        return self.out.read_text()

    def wait_for(self, what: str, found: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not found():
            assert self.process.poll() is None, self.text
            assert time.monotonic() < deadline, f"waited in vain for {what}:\n{self.text}"
            time.sleep(0.2)

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=120)


@contextmanager
def watching(folder: Path, *arguments: object) -> Iterator[Watch]:
    watch = Watch(folder, *arguments)
    try:
        yield watch
    finally:
        if watch.process.poll() is None:
            watch.stop()


def converted(folder: Path) -> int:
    return int(call("monitor", folder / "config/storage.yaml", "--json").json()["converted"])


def in_dataset(folder: Path) -> int:
    root = folder / "bucket/converted/fleet/v3.0"
    return verify_dataset(root).episodes if (root / "meta/info.json").exists() else 0


def steps_of(text: str, key: str) -> list[str]:
    return [line.split()[2] for line in text.splitlines() if line.split()[1:2] == [key]]


def test_the_service_converts_stops_in_order_and_goes_on(tmp_path: Path) -> None:
    home = tmp_path / ".dagster_home"
    storage = StorageConfig.model_validate(
        {"url": (tmp_path / "bucket").as_uri(), "scanner": {"quiet_period_s": 0.5}}
    )
    (tmp_path / "config").mkdir()
    (tmp_path / "config/storage.yaml").write_text(dump_config(fleet_config(storage)))
    for name in ("one", "two"):
        record(tmp_path / "bucket/raw", f"block/{name}")
    log = tmp_path / "service.log"
    arguments = ("--log-file", log, "worker", "-c", "config/storage.yaml", "--interval", 1)

    with watching(tmp_path, *arguments, "--max-workers", 1) as watch:
        watch.wait_for("the dataset of two", lambda: in_dataset(tmp_path) == 2)
        watch.wait_for("its line", lambda: "lerobot_dataset" in watch.text)
        # A second service of the same home stands by, and ends as it is told to.
        with watching(tmp_path, "scanner", "-c", "config/storage.yaml") as second:
            second.wait_for("its line", lambda: "waiting to take its place" in second.text)
            assert second.stop() == 0
        assert watch.stop() == 0
    assert descendants(home) == []
    assert "max_concurrent_runs: 1" in (home / "dagster.yaml").read_text()
    for name in ("one", "two"):
        told = steps_of(watch.text, f"block/{name}")
        steps = ["raw_episodes", "aligned_frames", "encoded_videos", "episode_metadata"]
        assert told == ["found", *steps], watch.text
    assert re.search(r"raw_episodes +\d+ files, \d\.\d MB, \d+\.\d s", watch.text)
    assert re.search(r"encoded_videos +\d+ frames, ", watch.text)
    assert re.search(r"fleet +lerobot_dataset +2 episodes, \d+ frames, \d+\.\d s", watch.text)
    assert watch.text.splitlines()[-1].endswith("stopped: 2 converted")
    assert "episode_metadata converted" in log.read_text()

    # Killed in the middle of a run, with everything that it started left running.
    record(tmp_path / "bucket/raw", "block/three", seconds=20.0)
    with watching(tmp_path, *arguments) as watch:
        watch.wait_for("the run", lambda: "raw_episodes" in steps_of(watch.text, "block/three"))
        watch.process.kill()
        watch.process.wait()
    assert descendants(home) != []
    with watching(tmp_path, *arguments) as watch:
        watch.wait_for("the third", lambda: in_dataset(tmp_path) == 3)
        assert watch.stop(signal.SIGINT) == 0
    assert "left running was ended" in watch.text
    assert descendants(home) == []
    assert converted(tmp_path) == 3
    report = verify_dataset(tmp_path / "bucket/converted/fleet/v3.0")
    assert (report.ok, report.episodes) == (True, 3)
