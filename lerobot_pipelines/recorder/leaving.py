"""A process that SIGTERM ends leaves as ``sys.exit`` does, so that its work is kept."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType


def leave_orderly_on_sigterm() -> None:
    """SIGTERM ends a process on the spot unless it is told otherwise; a handler that is there
    already stays."""
    if threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _leave)


def _leave(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)
