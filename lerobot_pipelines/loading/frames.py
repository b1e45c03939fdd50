"""Pictures out of mp4 files: few decoders open, few pictures kept, each decoded once if it can be.

A picture is found by its number (row of the file): the decoder goes forward where that is shorter,
else it seeks to the key frame before. What it passes on the way is kept, undecoded to RGB, where
the caller said that it will be asked for soon.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.loading.forks import PerProcess, keep_untouched
from lerobot_pipelines.loading.source import Picture

if TYPE_CHECKING:
    import av


class VideoReader(Protocol):
    """Pictures of one dataset's mp4 files, safe from several threads and after a fork."""

    def read(self, name: str, numbers: Sequence[int], keep: range | None) -> list[Picture]:
        """Frames of a file in the order asked, RGB uint8 (height, width, 3).

        Raises ``Refused`` (corrupt_artifact), naming the file, for what cannot be decoded.
        """
        ...


class PyavReader(PerProcess):
    """``locate`` gives the local path of a file's name; ``fps`` is that of every file."""

    SETTINGS = ("_locate", "_fps", "_max_open", "_cache_bytes")

    def __init__(
        self, locate: Callable[[str], Path], fps: int, *, max_open: int, cache_bytes: int
    ) -> None:
        self._locate = locate
        self._fps = fps
        self._max_open = max_open
        self._cache_bytes = cache_bytes
        self._start()

    def _start(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._open: OrderedDict[str, _Video] = OrderedDict()
        self._cache = FrameCache(self._cache_bytes)
        self._local = threading.local()

    @property
    def open_files(self) -> int:
        """Decoders open in this process."""
        return len(self._open)

    @property
    def kept_bytes(self) -> int:
        """Size of the decoded pictures kept in this process."""
        return self._cache.bytes

    def read(self, name: str, numbers: Sequence[int], keep: range | None) -> list[Picture]:
        if os.getpid() != self._process:
            keep_untouched(self._lock, self._open, self._cache, self._local)
            self._start()
        video = self._video(name)
        with video.lock:
            frames = self._decode(video, name, numbers, keep or range(0))
        return [self._rgb(frames[number]) for number in numbers]

    def _decode(
        self, video: _Video, name: str, numbers: Sequence[int], keep: range
    ) -> dict[int, av.VideoFrame]:
        found: dict[int, av.VideoFrame] = {}
        missing = []
        for number in sorted(set(numbers)):
            frame = self._cache.get((name, number))
            if frame is None:
                missing.append(number)
            else:
                found[number] = frame
        if not missing:
            return found
        wanted = set(missing)
        for number, frame in video.frames(self._targets(name, missing, keep)):
            if number in wanted:
                found[number] = frame
            if number in wanted or number in keep:
                self._cache.put((name, number), frame)
        for number in missing:
            if number not in found:
                raise Refused(
                    Reason.CORRUPT_ARTIFACT,
                    f"{video.path}: frame {number} cannot be decoded; the file is damaged",
                )
        return found

    def _targets(self, name: str, missing: list[int], keep: range) -> list[int]:
        """The frames to decode, rising: those missing, and with them the rest of ``keep``."""
        touched = [number for number in missing if number in keep]
        if not touched:
            return missing
        first = self._cache.first_missing(name, keep.start, touched[0])
        return sorted({*missing, *range(first, keep.stop)})

    def _video(self, name: str) -> _Video:
        with self._lock:
            video = self._open.get(name)
            if video is None:
                video = self._open[name] = _Video(self._locate(name), self._fps)
                self._close_oldest()
            self._open.move_to_end(name)
            return video

    def _close_oldest(self) -> None:
        for name in list(self._open)[: max(len(self._open) - self._max_open, 0)]:
            video = self._open[name]
            if video.lock.acquire(blocking=False):  # else another thread is reading it
                self._open.pop(name)
                video.close()
                video.lock.release()

    def _rgb(self, frame: av.VideoFrame) -> Picture:
        import av.video.reformatter

        # One per thread: it keeps FFmpeg's converter, which is dear to set up.
        reformatter = getattr(self._local, "reformatter", None)
        if reformatter is None:
            reformatter = self._local.reformatter = av.video.reformatter.VideoReformatter()
        picture: Picture = reformatter.reformat(frame, format="rgb24", threads=1).to_ndarray()
        return picture


class FrameCache:
    """Decoded pictures, the longest unused given up first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._frames: OrderedDict[tuple[str, int], tuple[av.VideoFrame, int]] = OrderedDict()
        self.bytes = 0

    def get(self, key: tuple[str, int]) -> av.VideoFrame | None:
        with self._lock:
            entry = self._frames.get(key)
            if entry is None:
                return None
            self._frames.move_to_end(key)
            return entry[0]

    def first_missing(self, name: str, first: int, last: int) -> int:
        """The first of these frames that is not kept."""
        with self._lock:
            return next((n for n in range(first, last) if (name, n) not in self._frames), last)

    def put(self, key: tuple[str, int], frame: av.VideoFrame) -> None:
        size = sum(plane.buffer_size for plane in frame.planes)
        with self._lock:
            if key in self._frames:
                return
            self._frames[key] = (frame, size)
            self.bytes += size
            while self.bytes > self._limit and len(self._frames) > 1:
                _, (_, freed) = self._frames.popitem(last=False)
                self.bytes -= freed


class _Video:
    """One open file. Not safe from several threads: take ``lock``."""

    def __init__(self, path: Path, fps: int) -> None:
        import av

        self.path = path
        self.lock = threading.Lock()
        try:
            self._container = av.open(str(path))
            self._stream = self._container.streams.video[0]
        except (av.FFmpegError, OSError, IndexError) as fault:
            raise Refused(
                Reason.CORRUPT_ARTIFACT, f"{path} cannot be read as a video: {fault}"
            ) from fault
        self._stream.thread_type = "NONE"  # frame threads decode ahead of what is asked for
        self._step = 1 / (fps * Fraction(self._stream.time_base))
        self._decoder: Iterator[av.VideoFrame] = iter(())
        self._last: tuple[int, av.VideoFrame] | None = None  # decoded last
        self._since_key = 0
        self._longest_gop = 1  # as far as seen

    def close(self) -> None:
        self._container.close()

    def frames(self, targets: Sequence[int]) -> Iterator[tuple[int, av.VideoFrame]]:
        """Decode up to each target (rising); also yields what is decoded on the way.

        The file may end before the last target.
        """
        import av

        try:
            for target in targets:
                if self._last is not None and self._last[0] == target:
                    yield self._last
                else:
                    yield from self._advance(target)
        except av.FFmpegError as fault:
            self._last = None
            raise Refused(
                Reason.CORRUPT_ARTIFACT, f"{self.path} cannot be decoded: {fault}"
            ) from fault

    def _advance(self, target: int) -> Iterator[tuple[int, av.VideoFrame]]:
        if self._last is None or not 0 < target - self._last[0] <= self._longest_gop:
            self._last = None
            self._container.seek(int(target * self._step), stream=self._stream, backward=True)
            self._decoder = self._container.decode(self._stream)
        while self._last is None or self._last[0] < target:
            frame = next(self._decoder, None)
            if frame is None or frame.pts is None:
                self._last = None
                return
            self._since_key = 1 if frame.key_frame else self._since_key + 1
            self._longest_gop = max(self._longest_gop, self._since_key)
            self._last = (round(frame.pts / self._step), frame)
            yield self._last
