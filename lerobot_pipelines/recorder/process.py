"""The recorder's own process: it encodes, writes, saves and delivers, and the control loop's
process does none of that.

It gives way to whatever else wants a processor. It ends with the process that started it: at once
if that one dies, for what was submitted is on the disk and goes on at the next start.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
import weakref
from typing import IO, Any

from lerobot_pipelines.recorder.local_recorder import LocalRecorder
from lerobot_pipelines.recorder.priority import give_way
from lerobot_pipelines.recorder.results import TakeFailed
from lerobot_pipelines.recorder.shared_pictures import SharedMemory
from lerobot_pipelines.recorder.wire import (
    Answer,
    Call,
    SharedPicture,
    Vector,
    received,
    send_answer,
    send_offset,
)

_LOOK_EVERY_S = 0.5
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: Calls that ``EpisodeRecorder`` passes on; "create" and "close" begin and end.
_METHODS = ("start_episode", "end_episode", "status", "results", "wait", "close")


class Service:
    """Does what arrives, in order."""

    def __init__(self, memory: SharedMemory, freed: int, answers: IO[bytes]) -> None:
        self._memory = memory
        self._freed = freed
        self._answers = answers
        self._recorder: LocalRecorder | None = None
        self._topics: list[str] = []
        self._fault: Exception | None = None

    def sample(self, sample: Vector | SharedPicture) -> None:
        """What goes wrong here is told when the take ends: the loop does not wait for answers."""
        assert self._recorder is not None
        value = self._picture(sample) if isinstance(sample, SharedPicture) else sample.values
        if self._fault is None:
            try:
                self._recorder.add(self._topics[sample.topic], sample.stamp_ns, value)
            except Exception as error:
                self._fault = error

    def topic(self, name: str) -> None:
        self._topics.append(name)

    def call(self, call: Call) -> None:
        value, error = None, None
        try:
            value = self._called(call.method, call.arguments)
        except Exception as fault:
            error = fault
        send_answer(self._answers, Answer(call.number, value, error))

    def _called(self, method: str, arguments: dict[str, Any]) -> Any:
        if method == "create":
            self._recorder = LocalRecorder(**arguments)
            return None
        assert self._recorder is not None
        if method not in _METHODS:
            raise ValueError(f"the recorder's process knows no {method}")
        if method == "end_episode" and self._fault is not None:
            fault, self._fault = self._fault, None
            self._recorder.interrupt()
            raise TakeFailed(f"the take could not be recorded: {fault}")
        value = getattr(self._recorder, method)(**arguments)
        if method == "close":
            return value, self._recorder.status(), self._recorder.results()
        return value

    def _picture(self, sample: SharedPicture) -> Any:
        picture = self._memory.array(sample.offset, sample.shape)
        if len(sample.shape) == 1:
            encoded = picture.tobytes()
            _free(self._freed, sample.offset)
            return encoded
        # Free once nothing uses it any more.
        weakref.finalize(picture, _free, self._freed, sample.offset).atexit = False
        return picture


def main(arguments: list[str]) -> None:
    """``arguments`` are the descriptors that ``RecorderProcess`` hands down, and the size."""
    for number in _ENDING:
        # Whoever is to obey them says so by closing the pipe.
        signal.signal(number, signal.SIG_IGN)
    give_way()
    data, answers, freed, memory, size = map(int, arguments)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    service = Service(SharedMemory(size, memory), freed, os.fdopen(answers, "wb"))
    with os.fdopen(data, "rb", 1 << 16) as stream:
        for message in received(stream):
            if isinstance(message, str):
                service.topic(message)
            elif isinstance(message, Call):
                service.call(message)
                if message.method == "close":
                    break
            else:
                service.sample(message)
            del message
    # On the spot: an upload into a network that is gone would hold it for minutes, and what is not
    # done now is done at the next start.
    os._exit(0)


def _end_with(parent: int) -> None:
    """A process that the control loop's has forked may hold the pipe open after its death."""
    while os.getppid() == parent:
        time.sleep(_LOOK_EVERY_S)
    os._exit(0)


def _free(descriptor: int, offset: int) -> None:
    with contextlib.suppress(OSError):  # nobody is left who wants to know
        send_offset(descriptor, offset)


if __name__ == "__main__":
    main(sys.argv[1:])
