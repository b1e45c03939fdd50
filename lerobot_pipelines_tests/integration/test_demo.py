"""The commands that start Dagster: they do what they say, and leave no process behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.integration

START_TIMEOUT_S = 240.0
PROGRAM = [sys.executable, "-m", "lerobot_pipelines.cli"]


def descendants(home: Path) -> list[int]:
    """Every process that works with this Dagster home."""
    wanted = f"DAGSTER_HOME={home}".encode()
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            if wanted in environ.read_bytes().split(b"\0"):
                found.append(int(environ.parent.name))
        except OSError:  # gone, a zombie, or another user's
            continue
    return found


@contextmanager
def running(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*PROGRAM, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=60)


def wait_for_url(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if match := re.search(r"http://\S+", line):
            return match[0]
    _, stderr = process.communicate(timeout=60)
    raise AssertionError(f"it said no address and ended: {stderr}")


def ask(url: str, query: str) -> dict[str, Any]:
    request = urllib.request.Request(
        f"{url}/graphql",
        json.dumps({"query": query}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return dict(json.load(response)["data"])


@pytest.fixture(scope="module")
def demo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A demo that ran through Dagster once."""
    folder = tmp_path_factory.mktemp("demo") / "demo"
    done = subprocess.run(
        [*PROGRAM, "demo", str(folder), "--episodes", "2", "--timeout", str(START_TIMEOUT_S)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 of 2 episodes converted, dataset built" in done.stdout
    assert re.search(r"dataset v2\.1: 2 episodes, \d+ frames, verified", done.stdout)
    assert re.search(r"dataset v3\.0: 2 episodes, \d+ frames, verified", done.stdout)
    assert descendants(folder / "dagster_home") == []
    return folder


def test_the_demo_can_be_repeated_and_finds_nothing_to_do(demo_folder: Path) -> None:
    files = {path: path.stat().st_mtime_ns for path in (demo_folder / "bucket").rglob("*.*")}
    done = subprocess.run(
        [*PROGRAM, "demo", str(demo_folder), "--episodes", "2"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 recordings written" in done.stdout
    assert "nothing to do" in done.stdout
    assert {path: path.stat().st_mtime_ns for path in files} == files
    assert descendants(demo_folder / "dagster_home") == []


def test_dev_serves_the_demo_until_it_is_told_to_stop(demo_folder: Path) -> None:
    home = demo_folder / "dagster_home"
    arguments = ("dev", "--configs", demo_folder / "configs", "--home", home, "--port", 0)
    with running(*arguments) as process:
        url = wait_for_url(process)
        query = "{ assetNodes { groupName partitionStats { numMaterialized } } }"
        nodes = ask(url, query)["assetNodes"]
        assert len(nodes) >= 5
        stats = [node["partitionStats"] for node in nodes if node["partitionStats"]]
        assert {stat["numMaterialized"] for stat in stats} == {2}
        runs = ask(url, "{ runsOrError { ... on Runs { results { jobName status } } } }")
        assert {run["status"] for run in runs["runsOrError"]["results"]} == {"SUCCESS"}
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        assert process.returncode == 0
    assert descendants(home) == []


def test_dev_ends_with_the_reason_when_a_part_of_it_dies(demo_folder: Path) -> None:
    home = demo_folder / "dagster_home"
    (demo_folder / "configs" / "faulty.yaml").write_text("dataset: {name: x}\nvido: 1\n")
    arguments = ("dev", "--configs", demo_folder / "configs", "--home", home, "--port", 0)
    with running(*arguments) as process:
        wait_for_url(process)
        (daemon,) = [
            pid
            for pid in descendants(home)
            if b"dagster._daemon" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]
        os.kill(daemon, signal.SIGKILL)
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 1
        assert "error: the daemon ended by SIGKILL; its log is " in stderr
        assert "left out until repaired: " in stderr and "vido" in stderr
    assert descendants(home) == []


def test_ctrl_c_in_the_middle_of_a_demo_leaves_no_process(tmp_path: Path) -> None:
    home = tmp_path / "demo" / "dagster_home"
    with running("demo", tmp_path / "demo", "--episodes", 1) as process:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not descendants(home):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "Traceback" not in stderr
    assert descendants(home) == []
