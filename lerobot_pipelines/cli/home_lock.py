"""One service a Dagster home: the second one waits, and the first after a kill tidies up.

Two daemons on one home would take every run twice. The lock is the system's, so that it goes with
its owner, however that ends.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lerobot_pipelines.cli.services import HOME_VARIABLE, MARK_VARIABLE
from lerobot_pipelines.storage.file_lock import FileLock

NAME = ".watch.lock"
_POLL_S = 0.5
_KILLED_S = 10.0


@contextmanager
def alone(home: Path, on_wait: Callable[[str], None]) -> Iterator[None]:
    """Hold the home's lock; ``on_wait`` is told once if another process has it."""
    with FileLock(home / NAME) as lock:
        told = False
        while not _take(lock, home):
            if not told:
                on_wait(_owner(home))
                told = True
            time.sleep(_POLL_S)
        yield


@contextmanager
def perhaps_alone(home: Path) -> Iterator[str | None]:
    """Hold the home's lock if nobody has it (None), else name who has it."""
    with FileLock(home / NAME) as lock:
        yield None if _take(lock, home) else _owner(home)


def _take(lock: FileLock, home: Path) -> bool:
    if not lock.acquire(blocking=False):
        return False
    (home / NAME).write_text(f"{os.getpid()}\n")
    return True


def _owner(home: Path) -> str:
    with suppress(OSError, ValueError):
        return f"process {int((home / NAME).read_text())}"
    return "another process"


def end_leftovers(home: Path) -> int:
    """Kill what a service of this home left behind when it was killed; returns how many there were.

    Only while the lock is held: then nobody else has started any. Where the system does not tell
    of processes' environments (macOS) nothing is found.
    """
    found = _leftovers(home)
    deadline = time.monotonic() + _KILLED_S
    left = found
    while left and time.monotonic() < deadline:
        for pid in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)
        left = _leftovers(home)
    return len(found)


def wait_for_other_daemons(home: Path, on_wait: Callable[[str], None]) -> None:
    """Return when no daemon works with this home that somebody started by other means."""
    told = False
    while (pid := _daemon(home)) is not None:
        if not told:
            on_wait(f"a Dagster daemon (process {pid})")
            told = True
        time.sleep(_POLL_S)


def _daemon(home: Path) -> int | None:
    for pid in _processes({f"{HOME_VARIABLE}={home}".encode()}):
        with suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
            if b"dagster._daemon" in words or b"dagster-daemon" in words:
                return pid
    return None


def _leftovers(home: Path) -> list[int]:
    return _processes({f"{MARK_VARIABLE}={home}".encode(), f"{HOME_VARIABLE}={home}".encode()})


def _processes(wanted: set[bytes]) -> list[int]:
    """All but this one whose environment holds the settings."""
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # gone, a zombie, or another user's
            if wanted <= set(environ.read_bytes().split(b"\0")):
                found.append(int(environ.parent.name))
    return [pid for pid in found if pid != os.getpid()]
