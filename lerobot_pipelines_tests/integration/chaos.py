"""What goes wrong in a fleet, on purpose: processes killed or stopped, files lost, YAMLs broken."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

# Long enough for a lease to be taken over, short beside a run.
STALL_S = (3.0, 25.0)
# Daemons load their code servers anew about once a minute.
BROKEN_S = 75.0


@dataclass
class Chaos:
    """Does one thing at a time. ``roots``: the process ids of the daemons, which are spared."""

    bucket: Path
    config_file: Path
    roots: Callable[[], list[int]]
    seed: int
    done: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._text = self.config_file.read_text()
        self._stalled: list[tuple[float, int]] = []
        self._broken_until_s = 0.0

    def strike(self) -> None:
        """Any one of them; a case that finds nothing to strike at does nothing."""
        kind = self._random.choices(
            ["kill", "stall", "lose_artifact", "lose_dataset_file", "break_yaml", "copy_yaml"],
            [5, 4, 3, 1, 1, 1],
        )[0]
        if getattr(self, f"_{kind}")():
            self.done[kind] += 1
        self.calm_down()

    def calm_down(self, *, at_once: bool = False) -> None:
        """Let those go on whose time is over; all of them ``at_once``."""
        now_s = time.monotonic()
        for until_s, pid in list(self._stalled):
            if at_once or until_s < now_s:
                self._stalled.remove((until_s, pid))
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
        if self._broken_until_s and (at_once or self._broken_until_s < now_s):
            self._broken_until_s = 0.0
            self._write(self._text)

    def _kill(self) -> bool:
        return self._signal(signal.SIGKILL) is not None

    def _stall(self) -> bool:
        pid = self._signal(signal.SIGSTOP)
        if pid is not None:
            self._stalled.append((time.monotonic() + self._random.uniform(*STALL_S), pid))
        return pid is not None

    def _signal(self, number: signal.Signals) -> int | None:
        """To a process that executes a run."""
        workers = [pid for root in self.roots() for pid in run_workers(root)]
        if not workers:
            return None
        pid = self._random.choice(workers)
        with suppress(ProcessLookupError):
            os.kill(pid, number)
            return pid
        return None

    def _lose_artifact(self) -> bool:
        return self._lose("work/*/records/*.json", "work/*/failures/*.json", "work/*/episodes/*/*")

    def _lose_dataset_file(self) -> bool:
        return self._lose("converted/*/*/data/**/*.parquet", "converted/*/*/videos/**/*.mp4")

    def _lose(self, *patterns: str) -> bool:
        files = sorted(
            path
            for pattern in patterns
            for path in self.bucket.glob(pattern)
            if path.is_file() and not path.name.startswith(".")
        )
        if not files:
            return False
        self._random.choice(files).unlink(missing_ok=True)
        return True

    def _break_yaml(self) -> bool:
        if self._broken_until_s:
            return False
        self._broken_until_s = time.monotonic() + BROKEN_S
        self._write(self._random.choice(["dataset: [", "", self._text.replace("video:", "vido:")]))
        return True

    def _copy_yaml(self) -> bool:
        name = self._random.choice(["a copy.yaml", "demo-old.yaml", "demo.yml"])
        copied = self._text.replace("crf: 23", "crf: 40")
        (self.config_file.parent / name).write_text(copied)
        return True

    def _write(self, text: str) -> None:
        """As an editor saves: another file is renamed into place."""
        new = self.config_file.with_suffix(".new")
        new.write_text(text)
        new.replace(self.config_file)


def run_workers(root: int) -> list[int]:
    """The processes below a daemon that execute a run: those that its code servers started."""
    children: dict[int, list[int]] = {}
    for pid, parent in _processes():
        children.setdefault(parent, []).append(pid)
    servers = [pid for pid in _below(root, children) if "api grpc" in _command(pid)]
    workers = {pid for server in servers for pid in children.get(server, [])}
    return sorted(pid for pid in workers if "resource_tracker" not in _command(pid))


def _below(root: int, children: dict[int, list[int]]) -> Iterator[int]:
    for pid in children.get(root, []):
        yield pid
        yield from _below(pid, children)


def _processes() -> Iterator[tuple[int, int]]:
    """Each with its parent."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with suppress(OSError, ValueError, IndexError):
                status = Path("/proc", entry, "stat").read_text()
                yield int(entry), int(status.rpartition(")")[2].split()[1])


def _command(pid: int) -> str:
    with suppress(OSError):
        return Path("/proc", str(pid), "cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""
