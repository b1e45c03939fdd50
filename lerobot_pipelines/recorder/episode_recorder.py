"""``EpisodeRecorder``: a recorder for any control loop, which never makes it wait."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np

from lerobot_pipelines.recorder.async_saver import AsyncEpisodeSaver
from lerobot_pipelines.recorder.delivery import Deliver, DeliveryQueue, DeliveryStatus
from lerobot_pipelines.recorder.journal import Take, TakeInfo, TakeJournal
from lerobot_pipelines.recorder.jpeg import DEFAULT_SCALE
from lerobot_pipelines.recorder.raw_layout import Layout, RawWriter
from lerobot_pipelines.recorder.take_spool import FinishedTakes, TakeSpool
from lerobot_pipelines.recorder.take_writer import TakeWriter

# 2001 in nanoseconds; in any other unit today is far below it.
_EARLIEST_STAMP_NS = 10**18
_ENCODED = (b"\xff\xd8", b"\x89PNG")


@dataclass(frozen=True, slots=True)
class SavedTake:
    """The end of one saved episode: in the raw layout at ``path``, or not, with the error.

    One that was not is still in the spool, and tried again at the next start.
    """

    key: str
    path: Path | None
    error: str | None
    duration: float


@dataclass(frozen=True, slots=True)
class RecorderStatus:
    """``blocked_s``: how long ``add`` had to wait for a slow disk in the take in progress."""

    recording: str | None
    blocked_s: float
    fault: str | None
    saving: int
    saved: int
    failed: int
    delivery: DeliveryStatus | None
    last_error: str | None


class EpisodeRecorder:
    """Records takes below ``root`` in the raw layout that the pipeline converts.

    Between ``start_episode`` and ``end_episode`` call ``add`` or ``add_frame`` as samples come;
    pictures are encoded by ``encoder_threads`` on the way. At most ``max_pending_bytes`` wait in
    memory, then ``add`` waits. A take that ``end_episode`` has saved survives ``kill -9`` and power
    loss: it lies in ``spool`` (by default ``.spool`` below ``root``, best on the same disk) until
    it is in its folder. ``deliver``, for example ``to_bucket(config)``, gets every finished episode
    and is tried again until it succeeds; ``remove_delivered`` then deletes it from this disk.

    For one process at a time, and one thread. Raises ``SpoolInUse``.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        spool: str | Path | None = None,
        layout: Layout = "episode",
        deliver: Deliver | None = None,
        remove_delivered: bool = False,
        encoder_threads: int = 2,
        jpeg_scale: int = DEFAULT_SCALE,
        max_pending_bytes: int = 512 << 20,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        # Imported now and not while a control loop runs.
        import av  # noqa: F401
        import pyarrow.parquet  # noqa: F401

        self.root = Path(root)
        self._writer = RawWriter(self.root, layout)
        self._encoder_threads = encoder_threads
        self._jpeg_scale = jpeg_scale
        self._max_pending_bytes = max_pending_bytes
        self._metadata = dict(metadata or {})
        self._spool = TakeSpool(Path(spool) if spool else self.root / ".spool", self.root)
        self._delivery: DeliveryQueue | None = None
        if deliver is not None:
            removed = self._writer.remove if remove_delivered else lambda key: None
            self._delivery = DeliveryQueue(self._spool.notes, deliver, removed)
        self._keys: list[str] = []
        self._saver = AsyncEpisodeSaver(
            FinishedTakes(
                self._writer, self._spool, self._delivery.put if self._delivery else None
            ),
            max_queue_size=1 << 20,
        )
        self._take: TakeWriter | None = None
        self._key: str | None = None
        self._last_stamps: dict[str, int] = {}
        for path in self._spool.submitted():
            self._submit(path)

    @property
    def interrupted(self) -> list[Path]:
        """Takes that a crash cut off; ``lerobot-pipelines recover`` salvages or deletes them."""
        return self._spool.interrupted()

    def start_episode(
        self, task: str, *, key: str | None = None, metadata: Mapping[str, Any] | None = None
    ) -> str:
        """Begin a take. Returns its key, by default ``<task>/episode_<number>``.

        ``metadata`` goes into its ``metadata.json``, as that of the recorder does. Raises
        ``RuntimeError`` if a take is in progress and ``FileExistsError`` if the key is taken.
        """
        if self._take is not None:
            raise RuntimeError(f"end {self._key} first")
        key = key or self._spool.numbers.next_key(task)
        info = TakeInfo(key, task, {**self._metadata, **(metadata or {})})
        if self._writer.folder_of(key).exists():
            raise FileExistsError(f"{self._writer.folder_of(key)} exists; choose another key")
        self._take = TakeWriter(
            TakeJournal(self._spool.path_of(key), info),
            encoders=self._encoder_threads,
            max_bytes=self._max_pending_bytes,
            jpeg_scale=self._jpeg_scale,
        )
        self._key = key
        self._last_stamps = {}
        return key

    def add(self, topic: str, stamp_ns: int, value: Any) -> bool:
        """Record a sample of one topic, in its own time; topics need no common rate.

        ``value`` is a picture, uint8 (h, w, 3) RGB or (h, w) grey, or one that is a JPEG or PNG
        already (bytes), or numbers, a scalar or (d,). A picture must not change afterwards: hand
        over the array, not a view of a buffer that the camera fills again. ``stamp_ns`` is ns since
        1970 and must grow within a topic; the stamp of the sample before means that it is the same
        sample, which is not recorded again: False.
        """
        if self._take is None:
            raise RuntimeError("call start_episode first")
        if (last := self._last_stamps.get(topic)) is None:
            _check_topic(topic)
            _check_stamp(stamp_ns)
        elif stamp_ns == last:
            return False
        elif stamp_ns < last:
            raise ValueError(f"{topic}: the stamp {stamp_ns} is before the last one, {last}")
        self._take.add(topic, stamp_ns, _checked(topic, value))
        self._last_stamps[topic] = stamp_ns
        return True

    def add_frame(self, values: Mapping[str, Any], stamp_ns: int | None = None) -> int:
        """Record one sample of several topics, all of the same moment (None: now). Its stamp."""
        stamp_ns = time.time_ns() if stamp_ns is None else stamp_ns
        for topic, value in values.items():
            self.add(topic, stamp_ns, value)
        return stamp_ns

    def end_episode(self, outcome: Literal["save", "discard"] = "save") -> str | None:
        """End the take. Returns its key if it is saved; it is safe on the disk then.

        Raises ``TakeFailed`` if it could not be recorded whole (a full disk); what there is of it
        can be salvaged. Raises ``ValueError`` for one without a sample, which is discarded.
        """
        if outcome not in ("save", "discard"):
            raise ValueError(f'end_episode takes "save" or "discard", not "{outcome}"')
        if self._take is None or self._key is None:
            raise RuntimeError("no take is in progress")
        take, key, path = self._take, self._key, self._spool.path_of(self._key)
        self._take = self._key = None
        if outcome == "discard" or not self._last_stamps:
            take.cancel()
            path.unlink()
            if outcome == "save":
                raise ValueError(f"{key} has no samples and was discarded")
            return None
        try:
            take.submit()
        except BaseException:
            self._spool.set_aside(path)
            raise
        self._submit(path)
        return key

    def status(self) -> RecorderStatus:
        saver = self._saver.get_status()
        return RecorderStatus(
            recording=self._key,
            blocked_s=0.0 if self._take is None else self._take.blocked_s,
            fault=None if self._take is None else self._take.fault,
            saving=saver["pending_tasks"],
            saved=saver["total_completed"],
            failed=saver["total_failed"],
            delivery=None if self._delivery is None else self._delivery.status(),
            last_error=saver["last_error"],
        )

    def results(self, timeout: float = 0.0) -> list[SavedTake]:
        """What ended since the last call; waits up to ``timeout`` s for the first."""
        found = []
        for result in self._saver.get_results(timeout):
            key = self._keys[result.episode_index]
            path = self._writer.folder_of(key) if result.success else None
            found.append(SavedTake(key, path, result.error, result.duration))
        return found

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until every take is in its folder and delivered. False: not within ``timeout`` s."""
        begun = time.monotonic()
        if not self._saver.wait_for_completion(timeout):
            return False
        left = None if timeout is None else max(0.0, timeout - (time.monotonic() - begun))
        return self._delivery is None or self._delivery.wait(left)

    def close(self, wait: bool = True, timeout: float | None = None) -> bool:
        """Stop. True if nothing is left to do; else it is done at the next start.

        A take in progress is kept as an interrupted one. ``wait`` waits for what was saved, not for
        a network: what is not delivered yet is delivered at the next start.
        """
        if self._take is not None and self._key is not None:
            self._take.cancel()
            self._spool.set_aside(self._spool.path_of(self._key))
            self._take = self._key = None
        done = self._saver.stop(wait, timeout)
        if self._delivery is not None:
            self._delivery.stop()
            done = done and not self._delivery.status().waiting
        self._spool.close()
        return done

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _submit(self, path: Path) -> None:
        take = Take(path)
        self._spool.numbers.use([take.info.key])
        self._keys.append(take.info.key)
        # The queue is of names on a disk, not of episodes in memory; it does not get full.
        self._saver.submit_episode(take, len(self._keys) - 1)


def _check_topic(topic: str) -> None:
    if not topic or "/" in topic or topic.startswith(".") or len(topic.encode()) > 200:
        raise ValueError(f"{topic!r} cannot be the name of a file; choose another for the topic")


def _check_stamp(stamp_ns: int) -> None:
    if not isinstance(stamp_ns, int | np.integer) or stamp_ns < _EARLIEST_STAMP_NS:
        raise ValueError(f"the stamp {stamp_ns!r} is not in ns since 1970, as time.time_ns() is")


def _checked(topic: str, value: Any) -> Any:
    """A picture as it is, numbers as a float64 (d,) of their own. Raises ``ValueError``."""
    if isinstance(value, bytes):
        if not value.startswith(_ENCODED):
            raise ValueError(f"{topic}: these bytes are neither a JPEG nor a PNG")
        return value
    array = np.asarray(value)
    if array.dtype == np.uint8 and (array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)):
        return array
    if array.ndim > 1 or array.dtype.kind not in "fiub":
        raise ValueError(
            f"{topic}: {array.dtype} of shape {array.shape} is neither a picture, uint8 (h, w, 3) "
            "or (h, w), nor a vector of numbers"
        )
    return np.array(array, np.float64, ndmin=1)
