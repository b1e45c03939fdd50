"""How the recorder's process, and the thread that saves, give way to the control loop.

Lower priority alone does not: since Linux 6.6 a thread that wakes up waits until the running one
has had its slice, 3 ms by default, whatever their priorities. From 6.12 on a thread can ask for
shorter slices; before 6.6 priority was enough. ``SCHED_IDLE`` would always give way, but on a busy
computer it would starve, and then the loop would have to wait for it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import struct
import threading

_NICENESS = 10
_SLICE_NS = 100_000  # the shortest there is
# Number of the system call sched_setattr(2).
_SET_ATTRIBUTES = {"x86_64": 314, "aarch64": 274}
# size, policy, flags, nice, priority, runtime, deadline, period
_ATTRIBUTES = struct.Struct("=IIQiIQQQ")


def give_way() -> None:
    """Lower this thread's priority, and that of all threads it starts from now on; again does
    nothing. Encoder libraries start theirs in the thread that encodes."""
    niceness = _NICENESS
    with contextlib.suppress(OSError, AttributeError):
        thread = threading.get_native_id()
        niceness = max(_NICENESS, os.getpriority(os.PRIO_PROCESS, thread))
        os.setpriority(os.PRIO_PROCESS, thread, niceness)
    with contextlib.suppress(OSError, AttributeError, KeyError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        number = _SET_ATTRIBUTES[platform.machine()]
        attributes = _ATTRIBUTES.pack(
            _ATTRIBUTES.size, os.SCHED_BATCH, 0, niceness, 0, _SLICE_NS, 0, 0
        )
        # A kernel that knows no slices ignores it.
        ctypes.CDLL(None).syscall(number, 0, attributes, 0)
