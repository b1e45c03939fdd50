"""One camera's thread: decode, convert, encode, and count values for the statistics."""

from __future__ import annotations

import contextlib
import hashlib
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lerobot_pipelines.config.schema import DEFAULT_LIMITS, CameraConfig, VideoConfig
from lerobot_pipelines.errors import ContentChanged
from lerobot_pipelines.model import EncodedVideo, Picture
from lerobot_pipelines.video.codecs import EncoderSettings
from lerobot_pipelines.video.copying import CopyCheck
from lerobot_pipelines.video.depth import DepthFramer, DepthStatisticsBuilder
from lerobot_pipelines.video.framing import Framer
from lerobot_pipelines.video.memory import release
from lerobot_pipelines.video.pictures import Decoded, PictureDecoder
from lerobot_pipelines.video.plan import PACKET_ENCODINGS, Track
from lerobot_pipelines.video.probe import probe
from lerobot_pipelines.video.proof import FrameProof, PacketProof
from lerobot_pipelines.video.statistics import StatisticsBuilder
from lerobot_pipelines.video.writer import FrameWriter, JpegWriter

_POLL_S = 0.1  # how soon a waiting thread notices that another one failed


class _Stopped(Exception):
    """Another camera or the reader failed; nothing of this one will be used."""


@dataclass(slots=True)
class _Open:
    """The mp4 being written."""

    segment: int
    path: Path
    writer: FrameWriter | JpegWriter
    width: int
    height: int
    proof: FrameProof | PacketProof
    statistics: StatisticsBuilder | DepthStatisticsBuilder
    rows: int = 0  # written so far
    begun: float = field(default_factory=time.monotonic)


class CameraEncoder:
    """Encodes the pictures of one track, given in the order of their ids, in its own thread."""

    def __init__(
        self,
        track: Track,
        video: VideoConfig,
        settings: EncoderSettings,
        *,
        fps: int,
        folder: Path,
        queue_length: int,
        depth: CameraConfig | None = None,
        max_pixels: int = DEFAULT_LIMITS.max_pixels,
    ) -> None:
        """``depth`` makes it a depth camera; ``settings`` are then ``depth_settings``."""
        self.encoded = 0  # frames so far, for progress
        self._track = track
        self._video = video
        self._settings = settings
        self._fps = fps
        self._folder = folder
        self._queue: queue.Queue[Picture | None] = queue.Queue(queue_length)
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._videos: list[EncodedVideo] = []
        self._thread = threading.Thread(
            target=self._run, name=f"encode {track.feature}", daemon=True
        )
        self._next = 0  # position in track.ids
        self._decoder = PictureDecoder(max_pixels)
        self._framer = Framer(track.feature, video) if depth is None else DepthFramer(depth, video)
        self._copies = CopyCheck(track.feature)
        self._copies_pictures = settings.encoder == "copy"
        self._open: _Open | None = None

    @property
    def stream(self) -> str:
        return self._track.stream

    def start(self) -> None:
        self._thread.start()

    def put(self, picture: Picture | None, waiting: Callable[[], None]) -> None:
        """Hand over a picture, or None after the last; waits while the queue is full.

        Raises what the thread failed of. ``waiting`` is called each time.
        """
        while True:
            if self._failure is not None:
                raise self._failure
            try:
                self._queue.put(picture, timeout=_POLL_S)
            except queue.Full:
                waiting()
                continue
            waiting()
            return

    def join(self, waiting: Callable[[], None]) -> list[EncodedVideo]:
        """The videos, once all are written. Raises what the thread failed of."""
        while self._thread.is_alive():
            self._thread.join(_POLL_S)
            waiting()
        if self._failure is not None:
            raise self._failure
        return self._videos

    def stop(self) -> None:
        """End the thread without a result and remove its files."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        for video in self._videos:
            video.path.unlink(missing_ok=True)

    def _run(self) -> None:
        try:
            while (picture := self._take()) is not None:
                self._accept(picture)
            for decoded in self._decoder.flush():
                self._show(decoded)
            if self._next < self._track.ids.size:
                raise self._incomplete()
            self._finish()
        except _Stopped:
            pass
        except BaseException as failure:
            self._failure = failure
        finally:
            if self._open is not None:
                # On a full disk closing fails as writing did; the first failure is the one to tell.
                with contextlib.suppress(Exception):
                    self._open.writer.abandon()
                self._open.path.unlink(missing_ok=True)

    def _take(self) -> Picture | None:
        while not self._stop.is_set():
            try:
                return self._queue.get(timeout=_POLL_S)
            except queue.Empty:
                continue
        raise _Stopped

    def _accept(self, picture: Picture) -> None:
        is_wanted = self._is_next(picture.id)
        if self._copies_pictures:
            if is_wanted:
                self._copy(picture)
        elif is_wanted or picture.encoding in PACKET_ENCODINGS:
            for decoded in self._decoder.decode(picture):
                self._show(decoded)

    def _is_next(self, picture_id: int) -> bool:
        ids = self._track.ids
        return self._next < ids.size and int(ids[self._next]) == picture_id

    def _rows(self) -> range:
        first = int(self._track.first_rows[self._next])
        return range(first, first + int(self._track.repeats[self._next]))

    def _show(self, decoded: Decoded) -> None:
        if not self._is_next(decoded.id):  # a packet decoded only for the ones after it
            return
        framed = self._framer.frame(decoded)
        for row in self._rows():
            if self._stop.is_set():
                raise _Stopped
            target = self._target(row, framed.frame.width, framed.frame.height)
            assert isinstance(target.writer, FrameWriter)
            assert isinstance(target.proof, FrameProof)
            target.writer.write(framed.frame)
            target.proof.add(target.rows, framed.frame)
            target.rows += 1
            if self._track.sampled[row]:
                target.statistics.add(framed.picture)
            self.encoded += 1
        self._next += 1

    def _copy(self, picture: Picture) -> None:
        header = self._copies.accept(picture)
        decoded = None
        for row in self._rows():
            target = self._target(row, header.width, header.height)
            assert isinstance(target.writer, JpegWriter)
            assert isinstance(target.proof, PacketProof)
            target.writer.write(picture.data)
            target.proof.add(target.rows, picture.data)
            target.rows += 1
            if self._track.sampled[row]:
                decoded = decoded or next(self._decoder.decode(picture))
                target.statistics.add(decoded.frame)
            self.encoded += 1
        self._next += 1

    def _target(self, row: int, width: int, height: int) -> _Open:
        """The mp4 of the row's segment, begun if need be."""
        segment = int(self._track.segments[row])
        if self._open is None or self._open.segment != segment:
            self._finish()
            self._open = self._begin(segment, width, height)
        return self._open

    def _begin(self, segment: int, width: int, height: int) -> _Open:
        path = self._folder / self._track.feature / f"segment_{segment:03d}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        count = int(np.count_nonzero(self._track.segments == segment))
        counts = self._framer.statistics()
        if self._copies_pictures:
            jpegs = JpegWriter(path, self._fps, width, height, count)
            return _Open(segment, path, jpegs, width, height, PacketProof(count), counts)
        frames = FrameWriter(path, self._settings, self._fps, width, height)
        return _Open(segment, path, frames, width, height, FrameProof(count), counts)

    def _finish(self) -> None:
        """Close the current mp4 and check that it is what the rows need."""
        if (done := self._open) is None:
            return
        done.writer.close()
        self._open = None
        release()
        seconds = time.monotonic() - done.begun
        made = probe(done.path)
        rows = int(np.count_nonzero(self._track.segments == done.segment))
        fits = made.frames == rows and made.first_pts == 0 and made.fps == self._fps
        if not (fits and made.constant_rate and made.closed_gops):
            raise RuntimeError(f"{done.path} should hold {rows} frames, but is {made}")
        with done.path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        self._videos.append(
            EncodedVideo(
                feature=self._track.feature,
                segment=done.segment,
                path=done.path,
                frames=made.frames,
                bytes=done.path.stat().st_size,
                sha256=digest,
                codec=made.codec,
                pix_fmt=made.pix_fmt,
                width=done.width,
                height=done.height,
                fps=self._fps,
                parameters=made.parameters,
                statistics=done.statistics.result(),
                proof=(
                    done.proof.proven(done.path)
                    if isinstance(done.proof, PacketProof)
                    else done.proof.proven(done.path, made)
                ),
                depth=self._framer.coding,
                details={
                    "encoder": self._settings.encoder,
                    "encoder_fps": round(made.frames / max(seconds, 1e-9), 1),
                    "gop": 1 if self._copies_pictures else self._video.gop,
                    "key_frames": len(made.key_frames),
                    "repeated_frames": self._track.repeated(done.segment),
                    **(self._framer if self._copies.first is None else self._copies).details,
                },
            )
        )

    def _incomplete(self) -> ContentChanged:
        missing = int(self._track.ids[self._next])
        return ContentChanged(
            f"the recording did not hand over picture {missing} of {self._track.stream} "
            f"({self._next} of {self._track.ids.size} came)"
        )
