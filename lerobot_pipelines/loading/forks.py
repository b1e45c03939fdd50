"""What a forked worker inherits and must not touch."""

from __future__ import annotations

import os
import threading

_INHERITED: list[object] = []


def keep_untouched(*parts: object) -> None:
    """Keep a parent's open files, decoders and locks alive in a child for as long as it lives.

    Freeing them would wait for threads that a fork does not copy, or move file positions that
    parent and child share.
    """
    _INHERITED.extend(parts)


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
