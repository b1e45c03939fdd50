"""One service a home, and what is done with what a killed one left."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lerobot_pipelines.cli.home_lock import alone, end_leftovers, perhaps_alone
from lerobot_pipelines.cli.services import HOME_VARIABLE, MARK_VARIABLE, Instance

HOLD = (
    "import pathlib, sys, time\n"
    "from lerobot_pipelines.cli.home_lock import alone\n"
    "with alone(pathlib.Path(sys.argv[1]), print):\n"
    "    print('held', flush=True)\n"
    "    time.sleep(600)\n"
)


@contextmanager
def holder(home: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(home)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_the_lock_goes_with_its_owner_however_that_ends(tmp_path: Path) -> None:
    told: list[str] = []
    with holder(tmp_path) as process:
        with perhaps_alone(tmp_path) as owner:
            assert owner == f"process {process.pid}"
        process.kill()
        process.wait()
        with alone(tmp_path, told.append), perhaps_alone(tmp_path) as owner:
            assert owner == f"process {os.getpid()}"
    assert told == []


def sleeper(**variables: str) -> subprocess.Popen[bytes]:
    environment = os.environ | variables
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=-1, env=environment)
    deadline = time.monotonic() + 30
    while not Path(f"/proc/{process.pid}/environ").read_bytes():
        assert time.monotonic() < deadline
    return process


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="no /proc on this system")
def test_only_what_a_service_of_this_home_started_is_ended(tmp_path: Path) -> None:
    home, other = str(tmp_path / "home"), str(tmp_path / "other")
    mine = sleeper(**{HOME_VARIABLE: home, MARK_VARIABLE: home})
    others = [
        sleeper(**{HOME_VARIABLE: home}),  # a web interface, a person's own commands
        sleeper(**{HOME_VARIABLE: other, MARK_VARIABLE: other}),
    ]
    try:
        assert end_leftovers(Path(home)) == 1
        assert mine.wait(timeout=10) != 0
        assert [one.poll() for one in others] == [None, None]
        assert end_leftovers(Path(home)) == 0
    finally:
        for one in (mine, *others):
            one.kill()
            one.wait()


def test_files_and_overrides_reach_the_code_location(tmp_path: Path) -> None:
    files = (tmp_path / "a.yaml", tmp_path / "b.yaml")
    instance = Instance(tmp_path / "home", files, {"storage.scanner.interval_s": 5}, True)
    environment = instance.environment()
    assert environment["LEROBOT_PIPELINES_CONFIGS"] == os.pathsep.join(map(str, files))
    assert environment["LEROBOT_PIPELINES_OVERRIDES"] == '{"storage.scanner.interval_s": 5}'
    assert environment[MARK_VARIABLE] == str(tmp_path / "home")
    assert MARK_VARIABLE not in Instance(tmp_path, tmp_path).environment()
