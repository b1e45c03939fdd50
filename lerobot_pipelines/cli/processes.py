"""Child processes that never outlive their parent's ``with`` block, whatever ends it.

Each child leads a process group of its own, so that what it starts itself (code servers, run
workers) goes with it. The end is SIGTERM to the child, then to its group, then SIGKILL.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import FrameType, TracebackType

from lerobot_pipelines.cli.secrets import redacted
from lerobot_pipelines.cli.text import safe
from lerobot_pipelines.errors import PipelineError

OBEY_S = 10.0  # for the child itself after SIGTERM; Dagster's daemon needs about one
FOLLOW_S = 3.0  # for the rest of its group after that
KILLED_S = 1.0  # until the kernel is done; a zombie that nobody reaps never goes
TAIL_LINES = 25
MAX_LOG_BYTES = 20_000_000
LOGS_KEPT = 3
_POLL_S = 0.05

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

# Colours of log lines; removed because other escape sequences are made visible.
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class ServiceError(PipelineError):
    """A child process ended or did not get ready; the message ends with its last lines."""


class Child:
    """A running process; its output goes to ``log_path`` and, line by line, to ``on_line``."""

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        log_path: Path,
        on_line: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.name = name
        self.log_path = log_path
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        log_path.parent.mkdir(parents=True, exist_ok=True)
        self._process = subprocess.Popen(
            arguments,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, args=(on_line,), daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def check(self) -> None:
        """Raise ``ServiceError`` if the process has ended."""
        code = self._process.poll()
        if code is not None:
            self._reader.join(timeout=1.0)
            how = f"with exit code {code}" if code >= 0 else f"by {signal.Signals(-code).name}"
            raise ServiceError(self.with_tail(f"the {self.name} ended {how}"))

    def with_tail(self, sentence: str) -> str:
        """The sentence, where the log is, and its last lines."""
        lines = "".join(f"\n  {line}" for line in self._tail)
        return f"{sentence}; its log is {self.log_path}, which ends:{lines or ' (empty)'}"

    def ask_to_end(self) -> None:
        """SIGTERM to the process alone: what it started may come to its end."""
        self._process.terminate()

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def stop(self) -> None:
        """End the process and everything in its group; returns when they are gone."""
        # First the child alone, which ends what it started in order; then whatever is left.
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(OBEY_S)
        if self._signal(signal.SIGTERM):
            self._wait_for_group(FOLLOW_S)
        if self._signal(signal.SIGKILL):
            self._process.wait()
            self._wait_for_group(KILLED_S)
        self._reader.join(timeout=1.0)

    def _wait_for_group(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while self._signal(0) and time.monotonic() < deadline:
            time.sleep(_POLL_S)

    def _signal(self, number: int) -> bool:
        """Whether anything in the group was there to receive it."""
        try:
            os.killpg(self._process.pid, number)
        except (ProcessLookupError, PermissionError):  # PermissionError: only zombies (macOS)
            return False
        return True

    def _read(self, on_line: Callable[[str], None]) -> None:
        assert self._process.stdout is not None
        # With rotation: a service runs for months.
        log = RotatingFileHandler(
            self.log_path, maxBytes=MAX_LOG_BYTES, backupCount=LOGS_KEPT, encoding="utf-8"
        )
        try:
            for raw in self._process.stdout:
                line = redacted(safe(_COLOURS.sub("", raw.rstrip("\r\n"))))
                log.emit(logging.makeLogRecord({"msg": line}))
                self._tail.append(line)
                on_line(line)
        finally:
            log.close()


class Children:
    """Starts children and stops all of them at the end of the ``with`` block."""

    def __init__(self) -> None:
        self._children: list[Child] = []

    def start(
        self,
        name: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        log_path: Path,
        on_line: Callable[[str], None] = lambda line: None,
    ) -> Child:
        # Between the start of a process and its place in the list nobody would stop it.
        with _postponed():
            child = Child(name, arguments, environment, log_path, on_line)
            self._children.append(child)
        return child

    def check(self) -> None:
        """Raise ``ServiceError`` if one of them has ended."""
        for child in self._children:
            child.check()

    def __enter__(self) -> Children:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with _deaf():
            stoppers = [threading.Thread(target=child.stop) for child in self._children]
            for stopper in stoppers:
                stopper.start()
            for stopper in stoppers:
                stopper.join()


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM and SIGHUP raise ``KeyboardInterrupt`` as Ctrl-C does, so that blocks unwind."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    with _handlers({signal.SIGTERM: interrupt, signal.SIGHUP: interrupt}):
        yield


@contextmanager
def _deaf() -> Iterator[None]:
    """An impatient second Ctrl-C must not leave children behind; stopping takes seconds."""
    with _handlers(dict.fromkeys(_ENDING, signal.SIG_IGN)):
        yield


@contextmanager
def _postponed() -> Iterator[None]:
    """What would end this process does so at the end of the block instead of inside it.

    Not by a signal mask, which the children would inherit.
    """
    received: list[int] = []
    with _handlers(dict.fromkeys(_ENDING, lambda number, frame: received.append(number))):
        yield
    for number in received[:1]:
        signal.raise_signal(number)


@contextmanager
def _handlers(
    handlers: Mapping[signal.Signals, signal.Handlers | Callable[[int, FrameType | None], None]],
) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # only there may they be set
        yield
        return
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
