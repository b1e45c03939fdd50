"""``EpisodeRecorder``: a recorder for any control loop, which never makes it wait."""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np

from lerobot_pipelines.recorder.delivery import Deliver
from lerobot_pipelines.recorder.encoders import PictureFormat
from lerobot_pipelines.recorder.h264 import DEFAULT_CRF
from lerobot_pipelines.recorder.jpeg import DEFAULT_SCALE
from lerobot_pipelines.recorder.leaving import leave_orderly_on_sigterm
from lerobot_pipelines.recorder.lerobot_output import (
    RAW,
    LerobotOutput,
    refuse_other_settings,
    to_dataset,
)
from lerobot_pipelines.recorder.raw_layout import Layout
from lerobot_pipelines.recorder.recorder_process import RecorderDied, RecorderProcess
from lerobot_pipelines.recorder.results import RecorderStatus, SavedTake, TakeFailed
from lerobot_pipelines.recorder.samples import SampleCheck
from lerobot_pipelines.recorder.take_spool import interrupted_takes, take_path

# A call that waits longer is made again, so that Ctrl-C and other threads get their turn.
_LONGEST_CALL_S = 0.2


class EpisodeRecorder:
    """Records takes below ``root`` in the raw layout that the pipeline converts.

    Between ``start_episode`` and ``end_episode`` call ``add`` or ``add_frame`` as samples come;
    they are copied to a process of the recorder's own, at low priority, where ``encoder_threads``
    encode the pictures: each as a JPEG (``jpeg_scale`` 2, the best, to 31) or, with
    ``pictures="h264"``, each camera as a video (``video_crf`` 0 to 51). At most
    ``max_pending_bytes`` wait in memory, then ``add`` waits. A take that ``end_episode`` has saved
    survives ``kill -9`` and power loss: it lies in ``spool`` (by default ``.spool`` below
    ``root``, best on the same disk) until it is in its folder.

    With ``output`` every take becomes an episode of a LeRobot dataset at ``output.folder(root)``
    instead, and ``root / "raw"`` holds takes only until they are in it.

    ``deliver``, for example ``to_bucket(config)`` or ``to_dataset(config)``, gets every finished
    episode and is tried again until it succeeds; ``remove_delivered`` then deletes the episode from
    this disk. It is called in the other process, so it must pickle.

    Samples may come from several threads, everything else from one. Raises ``SpoolInUse`` if
    another process records into the same place.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        spool: str | Path | None = None,
        layout: Layout = "episode",
        output: LerobotOutput | None = None,
        deliver: Deliver | None = None,
        remove_delivered: bool = False,
        encoder_threads: int = 2,
        pictures: PictureFormat = "jpeg",
        jpeg_scale: int = DEFAULT_SCALE,
        video_crf: int = DEFAULT_CRF,
        max_pending_bytes: int = 512 << 20,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        self.root = Path(root)
        if output is not None:
            if deliver is not None or layout != "episode":
                raise ValueError("output is in place of deliver and layout")
            config = output.config(self.root)
            refuse_other_settings(config)
            deliver, remove_delivered = to_dataset(config), not output.keep_raw
            self.root = self.root / RAW
        self._settings = {
            "root": self.root,
            "spool": spool,
            "layout": layout,
            "deliver": deliver,
            "remove_delivered": remove_delivered,
            "encoder_threads": encoder_threads,
            "pictures": pictures,
            "jpeg_scale": jpeg_scale,
            "video_crf": video_crf,
            "max_pending_bytes": max_pending_bytes,
            "metadata": dict(metadata or {}),
        }
        self._spool = Path(spool) if spool else self.root / ".spool"
        self._last: tuple[RecorderStatus, list[SavedTake]] | None = None  # once it is closed
        self._is_video = pictures == "h264"
        self._key: str | None = None
        self._check = SampleCheck()
        self._blocked_s = 0.0
        self._adding, self._calling = threading.Lock(), threading.Lock()
        self._is_closed = False
        self._process = RecorderProcess(self._settings)
        self._owner = os.getpid()
        atexit.register(self.close)
        leave_orderly_on_sigterm()

    @property
    def interrupted(self) -> list[Path]:
        """Takes that a crash cut off; ``lerobot-pipelines recover`` salvages or deletes them."""
        return interrupted_takes(self._spool)

    def start_episode(
        self, task: str, *, key: str | None = None, metadata: Mapping[str, Any] | None = None
    ) -> str:
        """Begin a take. Returns its key, by default ``<task>/episode_<number>``.

        ``metadata`` goes into its ``metadata.json``, as that of the recorder does. Raises
        ``RuntimeError`` if a take is in progress and ``FileExistsError`` if the key is taken.
        """
        if self._key is not None:
            raise RuntimeError(f"end {self._key} first")
        chosen: str = self._call("start_episode", task=task, key=key, metadata=dict(metadata or {}))
        with self._adding:
            self._key = chosen
            self._check = SampleCheck(one_size=self._is_video)
            self._blocked_s = 0.0
        return chosen

    def add(self, topic: str, stamp_ns: int, value: Any) -> bool:
        """Record a sample of one topic, in its own time; topics need no common rate.

        ``value`` is a picture, uint8 (h, w, 3) RGB or (h, w) grey, or one that is a JPEG or PNG
        already (bytes), or numbers, a scalar or (d,). It is copied, so the array may be filled
        again. ``stamp_ns`` is ns since 1970 and must grow within a topic; the stamp of the sample
        before means that it is the same sample, which is not recorded again: False.
        """
        with self._adding:
            if self._key is None:
                raise RuntimeError("call start_episode first")
            if (checked := self._check.admit(topic, stamp_ns, value)) is None:
                return False
            if isinstance(checked, bytes) or checked.dtype == np.uint8:
                self._blocked_s += self._process.picture(topic, stamp_ns, checked)
            else:
                self._process.vector(topic, stamp_ns, checked)
            return True

    def add_frame(self, values: Mapping[str, Any], stamp_ns: int | None = None) -> int:
        """Record one sample of several topics, all of the same moment (None: now). Its stamp."""
        stamp_ns = time.time_ns() if stamp_ns is None else stamp_ns
        for topic, value in values.items():
            self.add(topic, stamp_ns, value)
        return stamp_ns

    def end_episode(self, outcome: Literal["save", "discard"] = "save") -> str | None:
        """End the take. Returns its key if it is saved; it is safe on the disk then.

        Raises ``TakeFailed`` if it could not be recorded whole (a full disk, the recorder's process
        killed); what there is of it can be salvaged. Raises ``ValueError`` for one without a
        sample, which is discarded.
        """
        if outcome not in ("save", "discard"):
            raise ValueError(f'end_episode takes "save" or "discard", not "{outcome}"')
        with self._adding:
            if self._key is None:
                raise RuntimeError("no take is in progress")
            key, self._key = self._key, None
        with self._calling:
            try:
                saved: str | None = self._process.call("end_episode", outcome=outcome)
            except RecorderDied as death:
                if outcome == "discard":
                    take_path(self._spool, key).unlink(missing_ok=True)
                    return None
                raise TakeFailed(f"{key} was not saved: {death}") from None
        return saved

    def status(self) -> RecorderStatus:
        if self._last is not None:
            return self._last[0]
        status: RecorderStatus | None = self._call("status")
        if status is None:
            fault = "the recorder's process died"
            return RecorderStatus(self._key, self._blocked_s, fault, 0, 0, 0, None, fault)
        status.blocked_s += self._blocked_s if self._key is not None else 0.0
        return status

    def results(self, timeout: float = 0.0) -> list[SavedTake]:
        """What ended since the last call; waits up to ``timeout`` s for the first."""
        if self._last is not None:
            self._last, found = (self._last[0], []), self._last[1]
            return found
        until = time.monotonic() + timeout
        while True:
            left = max(0.0, until - time.monotonic())
            limit = min(left, _LONGEST_CALL_S)
            found = self._call("results", timeout=limit) or []
            if found or not left:
                return found

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until every take is in its folder and delivered. False: not within ``timeout`` s."""
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            left = _LONGEST_CALL_S if until is None else max(0.0, until - time.monotonic())
            if self._call("wait", timeout=min(left, _LONGEST_CALL_S)):
                return True
            if not left:
                return False

    def close(self, wait: bool = True, timeout: float | None = None) -> bool:
        """Stop. True if nothing is left to do; else it is done at the next start.

        A take in progress is kept as an interrupted one. ``wait`` waits for what was saved, not for
        a network: what is not delivered yet is delivered at the next start; without ``wait`` so is
        what is not saved yet. The end of the program closes too, also if it comes by an exception,
        Ctrl-C or SIGTERM.
        """
        if self._is_closed or os.getpid() != self._owner:
            return True
        atexit.unregister(self.close)
        with self._adding, self._calling:
            self._is_closed, self._key = True, None
            done = False
            try:
                done, *last = self._process.call("close", wait=wait, timeout=timeout)
                self._last = last[0], last[1]
            except RecorderDied:
                pass  # the next start goes on
            self._process.end(wait=wait and timeout is None)
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

    def _call(self, method: str, **arguments: Any) -> Any:
        """A call that a new process can answer as well as one that died between two takes.

        None if it died in a take: ``end_episode`` is to say so, and not a call in a control loop.
        """
        if self._is_closed:
            raise RuntimeError("the recorder was closed")
        with self._calling:
            try:
                return self._process.call(method, **arguments)
            except RecorderDied:
                if self._key is not None:
                    return None
            self._process.end()
            self._process = RecorderProcess(self._settings)
            return self._process.call(method, **arguments)
