"""In which frames of reference the messages of a stream are: another one gives other numbers."""

from __future__ import annotations

from collections import Counter

import numpy as np

from lerobot_pipelines.intake import IntakeCode
from lerobot_pipelines.model import StreamKind
from lerobot_pipelines.recordings.ros.batch import Batch, Decoded
from lerobot_pipelines.recordings.ros.blocks import Flags
from lerobot_pipelines.recordings.ros.container import LostMessage
from lerobot_pipelines.recordings.ros.findings import Findings
from lerobot_pipelines.recordings.ros.joint_sets import shortened
from lerobot_pipelines.recordings.ros.message_types import BadMessage

# With more it is no frame: some drivers number their messages there.
MAX_FRAMES = 8
_MAX_BYTES = 256
_LENGTH_BYTES = 4


class FrameIds:
    """Counts ``header.frame_id``; messages that begin with a header are not decoded for it."""

    def __init__(self) -> None:
        self._counts: Counter[bytes] = Counter()  # by length and text, as they lie in messages
        self._is_followed = True

    def see(self, batch: Batch) -> None:
        """The sound messages of a batch."""
        offset = batch.codec.frame_offset
        if offset is None or not self._is_followed:
            return
        if (usual := next(iter(self._counts), None)) is None:
            left = batch.sound & (batch.held >= offset + _LENGTH_BYTES)
        else:
            hits = self._counted(batch, usual, offset)
            if hits.all():
                return
            left = batch.sound & (batch.held >= offset + _LENGTH_BYTES) & ~hits
        for known in list(self._counts)[1:]:
            left &= ~self._counted(batch, known, offset)
        while self._is_followed and left.any():
            found = _frame_of(batch, int(np.flatnonzero(left)[0]), offset)
            if found is None or len(self._counts) == MAX_FRAMES:
                self._is_followed = False
                return
            left &= ~self._counted(batch, found, offset)

    def _counted(self, batch: Batch, frame: bytes, offset: int) -> Flags:
        hits = batch.begin_with(frame, offset)
        self._counts[frame] += int(np.count_nonzero(hits))
        return hits

    def see_decoded(self, lazy: Decoded) -> None:
        """A message of another system; its frame may be a field of its own."""
        try:
            message = lazy.get()
        except BadMessage:
            return
        for holder in (message, getattr(message, "header", None)):
            frame = getattr(holder, "frame_id", None)
            if isinstance(frame, str) and self._is_followed:
                text = frame.encode("utf-8", "replace")[:_MAX_BYTES]
                self._counts[len(text).to_bytes(_LENGTH_BYTES, "little") + text] += 1
                self._is_followed = len(self._counts) <= MAX_FRAMES
                return

    def report(self, findings: Findings, *, are_joints: bool) -> None:
        """Say if there are several; a warning where numbers depend on it."""
        if len(self._counts) < 2 or not self._is_followed:
            return
        told = [
            f"{frame[_LENGTH_BYTES:].rstrip(bytes(1)).decode('utf-8', 'replace') or 'none'} "
            f"({count})"
            for frame, count in self._counts.most_common()
        ]
        depends = findings.plan.kind is StreamKind.VECTOR and not are_joints
        say = findings.intake.warn if depends else findings.intake.note
        say(
            *(IntakeCode.SCHEMA_CHANGED, findings.plan.name),
            f"messages of {findings.plan.topic.name} are in several frames (header.frame_id): "
            f"{shortened(told)}" + ("; their numbers may not be comparable" if depends else ""),
            count=self._counts.total() - max(self._counts.values()),
        )


def _frame_of(batch: Batch, at: int, offset: int) -> bytes | None:
    """Length and text as they lie in one message; None if that is no frame's name."""
    try:
        head = bytes(batch.single(at).message.part(offset, offset + _LENGTH_BYTES + _MAX_BYTES))
    except LostMessage:
        return None
    length = int.from_bytes(head[:_LENGTH_BYTES], "little")
    if length > len(head) - _LENGTH_BYTES:
        return None
    return head[: _LENGTH_BYTES + length]
