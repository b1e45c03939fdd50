"""``AsyncEpisodeSaver``: episodes are saved by a thread of their own, in order, one at a time."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

from lerobot_pipelines.recorder.leaving import (
    finish_before_exit,
    leave_orderly_on_sigterm,
    need_not_finish,
)
from lerobot_pipelines.recorder.priority import give_way
from lerobot_pipelines.recorder.results import EpisodeResult, SaverStatus
from lerobot_pipelines.recorder.target import Target, bytes_in, target_of

_log = logging.getLogger(__name__)

CANCELLED = "cancelled before its save began"


@dataclass(slots=True, eq=False)
class _Job:
    index: int
    payload: Any
    bytes: int
    begun: float | None = None
    result: EpisodeResult | None = None


class AsyncEpisodeSaver:
    """Saves episodes of ``dataset`` in the background.

    ``dataset`` is a ``LeRobotDataset`` (0.3 to 0.6) or any object whose ``save_episode(buffer)``
    saves an episode whole or raises. At most ``max_queue_size`` episodes and ``max_queue_bytes``
    of their arrays wait. A save that takes longer than ``save_timeout`` seconds is reported as
    failed; those behind it begin once it returns, for two saves at a time would spoil the dataset.
    Should it succeed after all, a second, successful result says so.

    A process that ends, also by Ctrl-C or SIGTERM, first saves what was submitted. Episodes of a
    ``LeRobotDataset`` are spooled on disk as well, and saved at the next start after a ``kill -9``.
    """

    def __init__(
        self,
        dataset: Any,
        max_queue_size: int = 10,
        save_timeout: float = 300.0,
        *,
        max_queue_bytes: int = 2 << 30,
    ) -> None:
        if max_queue_size < 1 or save_timeout <= 0 or max_queue_bytes < 1:
            raise ValueError("max_queue_size, save_timeout and max_queue_bytes must be positive")
        self.dataset = dataset
        self.max_queue_size = max_queue_size
        self.save_timeout = save_timeout
        self.max_queue_bytes = max_queue_bytes
        self._target: Target = target_of(dataset)
        self._changed = threading.Condition()
        self._waiting: deque[_Job] = deque()
        self._current: _Job | None = None
        self._results: list[EpisodeResult] = []
        self._submitted = self._completed = self._failed = 0
        self._last_error: str | None = None
        self._stopping = False
        self._releasing = threading.Lock()
        self._detached = False
        self._process_ends = False
        self._worker: threading.Thread | None = None
        for index, payload in self._target.attach():
            self._waiting.append(_Job(index, payload, 0))
            self._submitted += 1
        leave_orderly_on_sigterm()
        self._start_worker()
        finish_before_exit(self._stop_at_exit)

    def submit_episode(self, episode_buffer: Any, episode_index: int) -> bool:
        """Hand an episode over. True: it is saved in the background, and its result will say how.

        False: the queue is full or the saver was stopped, and nothing was taken; save in place.
        After True the buffer belongs to the saver; do not touch it or its arrays again.
        """
        with self._changed:
            if self._stopping or not self._has_room(size := bytes_in(episode_buffer)):
                return False
        self._enqueue(episode_buffer, episode_index, size)
        return True

    def save_in_place(self, episode_buffer: Any, episode_index: int) -> EpisodeResult:
        """Save an episode after all that were submitted before it, and wait until that is done.

        Raises ``RuntimeError`` if the saver was stopped.
        """
        with self._changed:
            if self._stopping:
                raise RuntimeError("the saver was stopped; it saves no more episodes")
        job = self._enqueue(episode_buffer, episode_index, bytes_in(episode_buffer))
        with self._changed:
            while job.result is None:
                self._note_timeout()
                if self._hangs() and job in self._waiting:
                    self._waiting.remove(job)
                    self._finish(job, error="a save before it hangs")
                else:
                    self._changed.wait(self._until_timeout(None))
            return job.result

    def get_results(self, timeout: float = 0.0) -> list[EpisodeResult]:
        """The results since the last call; waits up to ``timeout`` s for the first of them."""
        deadline = time.monotonic() + timeout
        with self._changed:
            self._note_timeout()
            while not self._results and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(self._until_timeout(left))
                self._note_timeout()
            results, self._results = self._results, []
            return results

    def wait_for_completion(self, timeout: float | None = None) -> bool:
        """Wait until nothing is pending. False: not within ``timeout`` s, or a save hangs."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while self._waiting or self._current is not None:
                self._note_timeout()
                if self._hangs():
                    return False
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return False
                self._changed.wait(self._until_timeout(left))
            return True

    def get_status(self) -> SaverStatus:
        with self._changed:
            self._note_timeout()
            return SaverStatus(
                is_running=not self._stopping,
                total_submitted=self._submitted,
                total_completed=self._completed,
                total_failed=self._failed,
                queue_size=len(self._waiting),
                pending_tasks=len(self._waiting) + (self._current is not None),
                last_error=self._last_error,
                worker_alive=self._worker is not None and self._worker.is_alive(),
            )

    @property
    def is_released(self) -> bool:
        """Stopped, with nothing left to do: the dataset saves for itself again."""
        return self._detached

    def stop(self, wait: bool = True, timeout: float | None = None) -> bool:
        """Accept no more episodes. True: nothing is left to do, and the dataset is released.

        ``wait`` saves what was submitted, for at most ``timeout`` s; what has not begun by then,
        or at once without ``wait``, is cancelled and reported as failed. Cancelled episodes of a
        ``LeRobotDataset`` stay in its spool and are saved at the next start. Safe to call again.
        """
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if wait:
            self.wait_for_completion(timeout)
        with self._changed:
            while self._waiting:
                self._finish(self._waiting.popleft(), error=CANCELLED)
            self._changed.notify_all()
            idle = self._current is None
        if idle:
            self._release()
        return idle

    def _has_room(self, size: int) -> bool:
        waiting = sum(job.bytes for job in self._waiting)
        if self._current is not None:
            waiting += self._current.bytes
        if len(self._waiting) >= self.max_queue_size:
            return False
        # An episode larger than the whole budget still goes, alone.
        return waiting == 0 or waiting + size <= self.max_queue_bytes

    def _enqueue(self, buffer: Any, index: int, size: int) -> _Job:
        job = _Job(index, None, size)
        error = None
        try:
            job.payload = self._target.admit(buffer, index)
        except Exception as fault:
            error = f"it could not be taken over: {_sentence(fault)}"
        with self._changed:
            self._submitted += 1
            if error is not None:
                self._finish(job, error=error)
            else:
                self._waiting.append(job)
            self._changed.notify_all()
        return job

    def _start_worker(self) -> None:
        # A daemon, so that a save that hangs cannot hold a process for ever.
        self._worker = threading.Thread(target=self._work, name="episode-saver", daemon=True)
        self._worker.start()

    def _work(self) -> None:
        give_way()
        try:
            self._save_until_stopped()
        finally:
            with self._changed:
                if self._current is not None:
                    self._finish(self._current, error="the saving thread died")
                    self._current = None
                if self._waiting or not self._stopping:
                    # Something killed this thread, not a save.
                    self._start_worker()
                self._changed.notify_all()
        self._release()

    def _save_until_stopped(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._stopping:
                    self._changed.wait()
                if not self._waiting:
                    return
                job = self._current = self._waiting.popleft()
                job.begun = time.monotonic()
            saved_index, error = None, None
            try:
                saved_index = self._target.save(job.payload)
            except BaseException as fault:
                # Whatever a save raises ends that episode, not those after it.
                _log.exception("episode %d was not saved", job.index)
                error = _sentence(fault)
                with contextlib.suppress(Exception):
                    self._target.abandon(job.payload, error)
            with self._changed:
                job.payload = None
                self._current = None
                self._finish(job, error=error, saved_index=saved_index)
                self._changed.notify_all()

    def _finish(self, job: _Job, *, error: str | None, saved_index: int | None = None) -> None:
        late = job.result is not None
        if late and error is not None:
            return  # reported as failed already
        duration = 0.0 if job.begun is None else time.monotonic() - job.begun
        result = EpisodeResult(job.index, error is None, error, duration, saved_index)
        job.result = result
        self._results.append(result)
        if error is None:
            self._completed += 1
            self._failed -= late
        else:
            self._failed += 1
            self._last_error = f"episode {job.index}: {error}"

    def _note_timeout(self) -> None:
        job = self._current
        if job is None or job.begun is None or job.result is not None:
            return
        if time.monotonic() - job.begun >= self.save_timeout:
            self._finish(job, error=f"its save took longer than {self.save_timeout:g} s")
            self._changed.notify_all()

    def _hangs(self) -> bool:
        """The running save was reported as too late and has not returned."""
        return self._current is not None and self._current.result is not None

    def _until_timeout(self, left: float | None) -> float | None:
        """How long to sleep at most: until ``left`` is over or the running save is too late."""
        job = self._current
        if job is None or job.begun is None or job.result is not None:
            # One that waits may begin and then hang; look again.
            return self.save_timeout if left is None else min(left, self.save_timeout)
        due = max(0.0, job.begun + self.save_timeout - time.monotonic())
        return due if left is None else min(left, due)

    def _release(self) -> None:
        with self._releasing:
            if self._detached:
                return
            self._detached = True
            if self._process_ends:
                self._target.leave()
            else:
                self._target.detach()
        need_not_finish(self._stop_at_exit)

    def _stop_at_exit(self) -> None:
        """Save what was submitted while the process ends."""
        self._process_ends = True
        self.stop()


def _sentence(fault: BaseException) -> str:
    return f"{type(fault).__name__}: {fault}" if str(fault) else type(fault).__name__
