"""``LocalRecorder``: what ``EpisodeRecorder`` does, by threads of the process that calls it.

``EpisodeRecorder`` runs one in a process of its own. Used directly where that cannot be: it costs
the control loop some jitter, for its threads and the loop take turns in one interpreter.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from lerobot_pipelines.recorder.async_saver import AsyncEpisodeSaver
from lerobot_pipelines.recorder.delivery import Deliver, DeliveryQueue
from lerobot_pipelines.recorder.encoders import PictureFormat, encoder_of
from lerobot_pipelines.recorder.h264 import DEFAULT_CRF
from lerobot_pipelines.recorder.journal import Take, TakeInfo, TakeJournal
from lerobot_pipelines.recorder.jpeg import DEFAULT_SCALE
from lerobot_pipelines.recorder.raw_layout import Layout, RawWriter
from lerobot_pipelines.recorder.results import RecorderStatus, SavedTake
from lerobot_pipelines.recorder.samples import SampleCheck
from lerobot_pipelines.recorder.take_spool import FinishedTakes, TakeSpool
from lerobot_pipelines.recorder.take_writer import TakeWriter


class LocalRecorder:
    """See ``EpisodeRecorder``; ``deliver`` may be any function. Raises ``SpoolInUse``."""

    def __init__(
        self,
        root: str | Path,
        *,
        spool: str | Path | None = None,
        layout: Layout = "episode",
        deliver: Deliver | None = None,
        remove_delivered: bool = False,
        encoder_threads: int = 2,
        pictures: PictureFormat = "jpeg",
        jpeg_scale: int = DEFAULT_SCALE,
        video_crf: int = DEFAULT_CRF,
        max_pending_bytes: int = 512 << 20,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        # Imported now and not while a control loop runs.
        import av  # noqa: F401
        import pyarrow.parquet  # noqa: F401

        self.root = Path(root)
        self._writer = RawWriter(self.root, layout)
        self._encoder_threads = encoder_threads
        self._is_video = pictures == "h264"
        self._encoder = encoder_of(pictures, jpeg_scale=jpeg_scale, video_crf=video_crf)
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
        self._check = SampleCheck()
        for path in self._spool.submitted():
            self._submit(path)

    @property
    def interrupted(self) -> list[Path]:
        return self._spool.interrupted()

    def start_episode(
        self, task: str, *, key: str | None = None, metadata: Mapping[str, Any] | None = None
    ) -> str:
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
            encoder=self._encoder,
        )
        self._key = key
        self._check = SampleCheck(one_size=self._is_video)
        return key

    def add(self, topic: str, stamp_ns: int, value: Any) -> bool:
        if self._take is None:
            raise RuntimeError("call start_episode first")
        if (checked := self._check.admit(topic, stamp_ns, value)) is None:
            return False
        self._take.add(topic, stamp_ns, checked)
        return True

    def add_frame(self, values: Mapping[str, Any], stamp_ns: int | None = None) -> int:
        stamp_ns = time.time_ns() if stamp_ns is None else stamp_ns
        for topic, value in values.items():
            self.add(topic, stamp_ns, value)
        return stamp_ns

    def end_episode(self, outcome: Literal["save", "discard"] = "save") -> str | None:
        if outcome not in ("save", "discard"):
            raise ValueError(f'end_episode takes "save" or "discard", not "{outcome}"')
        if self._take is None or self._key is None:
            raise RuntimeError("no take is in progress")
        take, key, path = self._take, self._key, self._spool.path_of(self._key)
        self._take = self._key = None
        if outcome == "discard" or self._check.is_empty:
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

    def interrupt(self) -> None:
        """Stop the take in progress, if there is one, and keep what there is of it."""
        if self._take is not None and self._key is not None:
            self._take.cancel()
            self._spool.set_aside(self._spool.path_of(self._key))
            self._take = self._key = None

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
        found = []
        for result in self._saver.get_results(timeout):
            key = self._keys[result.episode_index]
            path = self._writer.folder_of(key) if result.success else None
            found.append(SavedTake(key, path, result.error, result.duration))
        return found

    def wait(self, timeout: float | None = None) -> bool:
        begun = time.monotonic()
        if not self._saver.wait_for_completion(timeout):
            return False
        left = None if timeout is None else max(0.0, timeout - (time.monotonic() - begun))
        return self._delivery is None or self._delivery.wait(left)

    def close(self, wait: bool = True, timeout: float | None = None) -> bool:
        self.interrupt()
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
