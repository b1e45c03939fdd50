"""Gets the samples of a take from the control loop onto the disk, pictures encoded on the way.

The control loop only puts samples into a queue. Threads encode its pictures; one more thread owns
the journal, and syncs it now and then so that little is left to write when the take ends.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.recorder.encoders import Jpegs, Videos
from lerobot_pipelines.recorder.journal import Sample, TakeJournal
from lerobot_pipelines.recorder.results import TakeFailed

_SYNC_EVERY_S = 0.5
# What the interpreter keeps for a sample besides its values.
_SAMPLE_BYTES = 300

_Raw = tuple[str, int, NDArray[np.uint8]]  # topic, stamp, picture


class TakeWriter:
    """One take's queue and threads. ``add`` is for one thread."""

    def __init__(
        self,
        journal: TakeJournal,
        *,
        encoders: int,
        max_bytes: int,
        encoder: Callable[[], Jpegs | Videos],
    ) -> None:
        self._journal = journal
        self._max_bytes = max_bytes
        self._changed = threading.Condition()
        made = [encoder() for _ in range(encoders)]
        # A video's pictures all go to one thread; others to whichever is free.
        lanes = encoders if made[0].keeps_order else 1
        self._lanes: list[deque[_Raw]] = [deque() for _ in range(lanes)]
        self._lane_of: dict[str, deque[_Raw]] = {}
        self._ready: deque[tuple[Sample, int]] = deque()
        self._pending_bytes = 0
        self._encoding = 0
        self._ending = self._cancelled = False
        self._fault: BaseException | None = None
        self.blocked_s = 0.0
        self._encoders = [
            threading.Thread(
                target=self._encode,
                args=(one, self._lanes[k % lanes]),
                name=f"picture-encoder-{k}",
                daemon=True,
            )
            for k, one in enumerate(made)
        ]
        self._writer = threading.Thread(target=self._write, name="take-writer", daemon=True)
        for thread in (*self._encoders, self._writer):
            thread.start()

    @property
    def fault(self) -> str | None:
        """Why the take cannot be whole any more."""
        return None if self._fault is None else f"{type(self._fault).__name__}: {self._fault}"

    def add(self, topic: str, stamp_ns: int, value: Any) -> None:
        """Queue a picture to be encoded (uint8 array), an encoded one (bytes), or a vector.

        Waits while more than ``max_bytes`` are pending: nothing is lost to a slow disk.
        """
        is_raw = not isinstance(value, bytes) and value.dtype == np.uint8
        size = _SAMPLE_BYTES + (len(value) if isinstance(value, bytes) else value.nbytes)
        with self._changed:
            if self._pending_bytes and self._pending_bytes + size > self._max_bytes:
                self._wait_for_room(size)
            self._pending_bytes += size
            if is_raw:
                self._lane(topic).append((topic, stamp_ns, value))
            else:
                self._ready.append((Sample(topic, stamp_ns, value), size))
            # All threads look at the same condition; whom it does not concern sleeps on.
            if is_raw or len(self._ready) == 1:
                self._changed.notify_all()

    def submit(self) -> None:
        """Wait for what is pending and complete the journal. Raises ``TakeFailed``."""
        self._end()
        if self._fault is None:
            try:
                self._journal.submit()
            except OSError as error:
                self._fault = error
        if self._fault is not None:
            self._journal.abandon()
            raise TakeFailed(f"the take could not be written: {self.fault}") from self._fault

    def cancel(self) -> None:
        """Throw away what is pending."""
        with self._changed:
            self._cancelled = True
        self._end()
        self._journal.abandon()

    def _lane(self, topic: str) -> deque[_Raw]:
        if (lane := self._lane_of.get(topic)) is None:
            lane = self._lane_of[topic] = self._lanes[len(self._lane_of) % len(self._lanes)]
        return lane

    def _wait_for_room(self, size: int) -> None:
        begun = time.monotonic()
        while self._pending_bytes and self._pending_bytes + size > self._max_bytes:
            self._changed.wait()
        self.blocked_s += time.monotonic() - begun

    def _end(self) -> None:
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        for thread in (*self._encoders, self._writer):
            thread.join()

    def _encode(self, encoder: Jpegs | Videos, lane: deque[_Raw]) -> None:
        while True:
            with self._changed:
                while not lane:
                    if self._ending:
                        return
                    self._changed.wait()
                topic, stamp_ns, picture = lane.popleft()
                self._encoding += 1
                wanted = not self._cancelled and self._fault is None
            sample = None
            try:
                if wanted:
                    sample = Sample(topic, stamp_ns, encoder.encode(topic, picture))
            except Exception as error:
                self._fail(error)
            size = _SAMPLE_BYTES + picture.nbytes
            del picture
            with self._changed:
                self._encoding -= 1
                if sample is not None:
                    # Counted as it was until it is on the disk; close enough, and never too low.
                    self._ready.append((sample, size))
                else:
                    self._pending_bytes -= size
                self._changed.notify_all()

    def _write(self) -> None:
        synced = time.monotonic()
        while True:
            with self._changed:
                while not self._ready:
                    if self._ending and not any(self._lanes) and not self._encoding:
                        return
                    self._changed.wait(_SYNC_EVERY_S)
                batch = list(self._ready)
                self._ready.clear()
                wanted = not self._cancelled and self._fault is None
            try:
                if wanted:
                    for sample, _ in batch:
                        self._journal.add(sample)
                    if time.monotonic() - synced > _SYNC_EVERY_S:
                        self._journal.sync()
                        synced = time.monotonic()
            except Exception as error:
                self._fail(error)
            with self._changed:
                self._pending_bytes -= sum(size for _, size in batch)
                self._changed.notify_all()

    def _fail(self, error: BaseException) -> None:
        with self._changed:
            self._fault = self._fault or error
