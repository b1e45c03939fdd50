"""The control loop's end of the recorder's process; see ``process`` for the other one."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.recorder.shared_pictures import SharedMemory, Slots, memory_for
from lerobot_pipelines.recorder.wire import (
    OFFSET_BYTES,
    Call,
    SharedPicture,
    capacity,
    pipe,
    receive_answer,
    receive_offsets,
    send_call,
    send_picture,
    send_topic,
    send_vector,
)

_PROGRAM = "import sys; from lerobot_pipelines.recorder.process import main; main(sys.argv[1:])"
_POLL_S = 0.1
_EXIT_S = 30.0  # a process that does nothing but end


class RecorderDied(RuntimeError):
    """The recorder's process ended by itself, or something killed it."""


class RecorderProcess:
    """Starts the process. ``settings`` are those of ``LocalRecorder``.

    Samples may come from one thread while another one waits for the answer to a call.

    Raises what ``LocalRecorder`` raises, and ``TypeError`` for settings that do not pickle.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        _check_settings(settings)
        size = memory_for(settings["max_pending_bytes"])
        self._memory = SharedMemory(size)
        self._topics: dict[str, int] = {}
        self._calls = 0
        self._sending = threading.Lock()
        self._is_dead = self._is_ended = False
        data, self._data = pipe()
        answers, theirs_answers = os.pipe()
        self._freed, theirs_freed = pipe()
        # As many as the pipe holds the return of: nobody reads it while a call is answered.
        most = capacity(theirs_freed) // OFFSET_BYTES
        self._slots = Slots(size, settings["max_pending_bytes"], most)
        theirs = (data, theirs_answers, theirs_freed, self._memory.descriptor)
        command = [sys.executable, "-c", _PROGRAM, *map(str, theirs), str(size)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=theirs,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path or "." for path in sys.path)},
            start_new_session=True,  # Ctrl-C is for the control loop, which then closes
        )
        for descriptor in theirs[:3]:
            os.close(descriptor)
        self._answers = os.fdopen(answers, "rb")
        try:
            self.call("create", **settings)
        except BaseException:
            self.end()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_dead(self) -> bool:
        return self._is_dead

    def call(self, method: str, **arguments: Any) -> Any:
        """Call a method there and wait for the answer. Raises what it raises, or
        ``RecorderDied``."""
        if self._is_ended:
            raise RecorderDied("the recorder's process has ended")
        self._calls += 1
        number = self._calls
        try:
            with self._sending:
                send_call(self._data, Call(number, method, arguments))
            while (answer := receive_answer(self._answers)) is not None:
                # An interrupted call leaves its answer behind.
                if answer.number == number:
                    if answer.error is not None:
                        raise answer.error
                    return answer.value
        except BrokenPipeError:
            pass
        self._is_dead = True
        raise RecorderDied("the recorder's process died")

    def vector(self, topic: str, stamp_ns: int, values: NDArray[np.float64]) -> None:
        """Hand over a vector; one that nobody receives is told by the next ``call``."""
        if not self._is_dead:
            try:
                with self._sending:
                    send_vector(self._data, self._number_of(topic), stamp_ns, values)
            except BrokenPipeError:
                self._is_dead = True

    def picture(self, topic: str, stamp_ns: int, picture: NDArray[np.uint8] | bytes) -> float:
        """Copy a picture over. Returns how long it had to wait for room, in s."""
        if self._is_dead:
            return 0.0
        if isinstance(picture, bytes):
            picture = np.frombuffer(picture, np.uint8)
        begun = time.monotonic()
        offset, waited = self._slot(picture.nbytes)
        if offset is None:
            return 0.0
        blocked_s = time.monotonic() - begun if waited else 0.0
        self._memory.array(offset, picture.shape)[...] = picture
        try:
            with self._sending:
                number = self._number_of(topic)
                send_picture(self._data, SharedPicture(number, stamp_ns, offset, picture.shape))
        except BrokenPipeError:
            self._is_dead = True
        return blocked_s

    def end(self, *, wait: bool = True) -> None:
        """Let go of the process, after "close" or instead of it; ``wait`` until it is gone."""
        if self._is_ended:
            return
        self._is_dead = self._is_ended = True
        # Closing the pipes ends one that was not told to.
        os.close(self._data)
        os.close(self._freed)
        self._answers.close()
        self._memory.close()
        if wait:
            try:
                self._process.wait(_EXIT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _slot(self, count: int) -> tuple[int | None, bool]:
        """A slot of that many bytes, and whether it had to wait. None if the process is dead."""
        waited = False
        self._collect(0.0)
        while (offset := self._slots.take(count)) is None:
            waited = True
            if not self._collect(_POLL_S):
                return None, True
        return offset, waited

    def _collect(self, timeout_s: float) -> bool:
        offsets = receive_offsets(self._freed, timeout_s)
        if offsets is None:
            self._is_dead = True
            return False
        for offset in offsets:
            self._slots.give_back(offset)
        return True

    def _number_of(self, topic: str) -> int:
        if (number := self._topics.get(topic)) is None:
            send_topic(self._data, topic)
            number = self._topics[topic] = len(self._topics)
        return number


def _check_settings(settings: dict[str, Any]) -> None:
    deliver = settings.get("deliver")
    try:
        pickle.dumps(settings)
    except Exception as error:
        raise TypeError(f"the recorder's process cannot be given these settings: {error}") from None
    if getattr(deliver, "__module__", None) == "__main__" or (
        type(deliver).__module__ == "__main__"
    ):
        raise TypeError(
            "deliver is called in the recorder's own process, so it must be importable: move it "
            "from the script into a module, or use LocalRecorder"
        )
