"""Reading single frames out of an mp4."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.video.probe import VideoProbe, probe

if TYPE_CHECKING:
    import av


def decode_frames(path: Path, indices: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
    """The frames of those numbers in the order asked, RGB uint8 (height, width, 3).

    Frames in rising order are decoded forward; any other jump seeks to the key frame before.
    Raises ``IndexError`` for a number the file does not have, ``Refused`` (corrupt_artifact) for
    a file that cannot be decoded.
    """
    facts = probe(path)
    for index in indices:
        if not 0 <= index < facts.frames:
            raise IndexError(f"{path.name} has frames 0 to {facts.frames - 1}, not {index}")
    for frame in select_frames(path, facts, indices):
        yield frame.to_ndarray(format="rgb24")


def select_frames(path: Path, facts: VideoProbe, indices: Sequence[int]) -> Iterator[av.VideoFrame]:
    """The decoded frames of those numbers, in the order asked."""
    import av

    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "NONE"  # frame threads decode ahead of what is asked for
            step = 1 / (facts.fps * stream.time_base)
            reader = _Reader(container, stream, facts, step)
            for index in indices:
                yield reader.frame(index)
    except av.FFmpegError as fault:
        raise Refused(Reason.CORRUPT_ARTIFACT, f"{path.name} cannot be decoded: {fault}") from fault


class _Reader:
    def __init__(
        self,
        container: av.container.InputContainer,
        stream: av.VideoStream,
        facts: VideoProbe,
        step: Fraction,
    ) -> None:
        self._container = container
        self._stream = stream
        self._facts = facts
        self._step = step
        self._frames: Iterator[av.VideoFrame] = iter(())
        self._number = -1  # of the frame decoded last
        self._frame: av.VideoFrame | None = None

    def frame(self, index: int) -> av.VideoFrame:
        keys = self._facts.key_frames
        key = keys[bisect_right(keys, index) - 1]
        if self._frame is None or index < self._number or key > self._number:
            pts = self._facts.first_pts + int(key * self._step)
            self._container.seek(pts, stream=self._stream, backward=True)
            self._frames = self._container.decode(self._stream)
            self._number = -1
        while self._number < index or self._frame is None:
            self._frame = next(self._frames, None)
            if self._frame is None or self._frame.pts is None:
                raise Refused(
                    Reason.CORRUPT_ARTIFACT, f"frame {index} cannot be decoded; the file is damaged"
                )
            self._number = round((self._frame.pts - self._facts.first_pts) / self._step)
        return self._frame
