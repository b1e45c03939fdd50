from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from lerobot_pipelines.cli import processes
from lerobot_pipelines.cli.processes import Child, Children, ServiceError

# Starts a grandchild, says both process ids, and sleeps; with "deaf" it ignores SIGTERM.
PARENT = """
import os, signal, subprocess, sys, time
if "deaf" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(os.getpid(), grandchild.pid, flush=True)
time.sleep(60)
"""


def start(children: Children, folder: Path, program: str, *arguments: str) -> Child:
    log = folder / "child.log"
    return children.start(
        "helper", [sys.executable, "-c", program, *arguments], dict(os.environ), log
    )


def pids(log: Path) -> list[int]:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if log.exists() and len(words := log.read_text().split()) == 2:
            return [int(word) for word in words]
        time.sleep(0.02)
    raise AssertionError("the child said nothing")


def is_running(pid: int) -> bool:
    """Whether the process runs; a zombie that nobody reaps does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_child_and_what_it_started_end_with_the_block(tmp_path: Path) -> None:
    with Children() as children:
        start(children, tmp_path, PARENT)
        family = pids(tmp_path / "child.log")
        assert all(is_running(pid) for pid in family)
    assert not any(is_running(pid) for pid in family)


def test_children_end_also_when_the_block_fails(tmp_path: Path) -> None:
    family: list[int] = []
    with pytest.raises(ZeroDivisionError), Children() as children:
        start(children, tmp_path, PARENT)
        family += pids(tmp_path / "child.log")
        raise ZeroDivisionError
    assert not any(is_running(pid) for pid in family)


def test_a_child_deaf_to_sigterm_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "OBEY_S", 0.3)
    with Children() as children:
        start(children, tmp_path, PARENT, "deaf")
        family = pids(tmp_path / "child.log")
    assert not any(is_running(pid) for pid in family)


def test_a_child_that_ends_by_itself_is_reported_with_its_last_lines(tmp_path: Path) -> None:
    program = r"print('\x1b[31mno such database\x1b[0m \x1b]0;title\a'); raise SystemExit(7)"
    with Children() as children:
        start(children, tmp_path, program)
        with pytest.raises(ServiceError) as caught:
            for _ in range(400):
                children.check()
                time.sleep(0.05)
    message = str(caught.value)
    assert "the helper ended with exit code 7" in message
    assert message.endswith(r"  no such database \x1b]0;title\x07")


def test_ctrl_c_while_a_child_starts_takes_the_child_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []

    class Interrupted(subprocess.Popen[str]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            started.append(self.pid)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt), Children() as children:
        start(children, tmp_path, "import time; time.sleep(60)")
    assert len(started) == 1
    assert not is_running(started[0])
