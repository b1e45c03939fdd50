"""A process that ends keeps its work: by SIGTERM as by ``sys.exit``, and before its threads go."""

from __future__ import annotations

import atexit
import logging
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType

_log = logging.getLogger(__name__)

_finishing: list[Callable[[], object]] = []
_is_registered = False


def leave_orderly_on_sigterm() -> None:
    """SIGTERM ends a process on the spot unless it is told otherwise; a handler that is there
    already stays."""
    if threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _leave)


def _leave(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


def finish_before_exit(finish: Callable[[], object]) -> None:
    """Call ``finish`` when the main thread has ended and executors still take work.

    ``atexit`` comes too late: by then ``concurrent.futures`` takes no more, which saving with
    lerobot 0.4 needs (its datasets are read back by a thread pool).
    """
    global _is_registered
    if not _is_registered:
        # The hook that concurrent.futures itself uses; the latest registered is called first.
        getattr(threading, "_register_atexit", atexit.register)(_finish_all)
        _is_registered = True
    _finishing.append(finish)


def need_not_finish(finish: Callable[[], object]) -> None:
    """Take back ``finish_before_exit``; nothing if it was not given."""
    if finish in _finishing:
        _finishing.remove(finish)


def _finish_all() -> None:
    """The first Ctrl-C meanwhile is answered, the second is obeyed."""
    has_been_asked = False
    while _finishing:
        finish = _finishing[-1]
        try:
            finish()
            need_not_finish(finish)
        except KeyboardInterrupt:
            if has_been_asked:
                _log.warning("left before all was saved; the next start goes on with it")
                return
            has_been_asked = True
            _log.warning("still saving episodes; press Ctrl-C again to leave them for later")
        except Exception:
            _log.exception("an episode may not have been saved")
            need_not_finish(finish)
