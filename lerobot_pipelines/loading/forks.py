"""Workers: what a forked one inherits and must not touch, what is not sent to a spawned one."""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from typing import ClassVar

_INHERITED: list[object] = []


def keep_untouched(*parts: object) -> None:
    """Keep a parent's open files, decoders and locks alive in a child for as long as it lives.

    Freeing them would wait for threads that a fork does not copy, or move file positions that
    parent and child share.
    """
    _INHERITED.extend(parts)


class PerProcess(ABC):
    """What holds files, threads or memory of its process: sent to another, it begins anew there.

    ``SETTINGS`` are the attributes that go along; ``_start`` makes the others.
    """

    SETTINGS: ClassVar[tuple[str, ...]]

    @abstractmethod
    def _start(self) -> None: ...

    def __getstate__(self) -> dict[str, object]:
        return {key: self.__dict__[key] for key in self.SETTINGS}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._start()


class ForkLock:
    """A lock that is free in a forked child, whoever held it in the parent."""

    def __init__(self) -> None:
        self._renew()

    def _renew(self) -> None:
        self._process = os.getpid()
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        if os.getpid() != self._process:
            self._renew()
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def __getstate__(self) -> dict[str, object]:
        return {}

    def __setstate__(self, state: dict[str, object]) -> None:
        self._renew()
