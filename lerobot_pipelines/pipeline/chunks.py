"""Aligned rows with decoded pictures, a chunk at a time: for a sink of one's own.

The rows are those that a conversion writes, so a training loop, a viewer or another file format
sees exactly what the dataset holds. Chunks bound the memory and change nothing else: pictures are
read once, in the order of the file, and those that come early wait in their encoded form.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.alignment import align
from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.model import AlignedFrames, Picture, Recording, Stamps
from lerobot_pipelines.pictures.orientation import upright
from lerobot_pipelines.video.pictures import Decoded, PictureDecoder
from lerobot_pipelines.video.plan import Track, plan_tracks, wanted_pictures


# EXIF orientation -> what makes the picture upright (rows, columns, channels).
@dataclass(frozen=True, slots=True)
class AlignedChunk:
    """Rows ``first_row`` to ``first_row + len(row_times_ns) - 1`` of one segment.

    ``features`` are slices of ``AlignedFrames.features``. ``pictures`` maps a camera's feature to
    uint8 (n, height, width, 3) RGB, or, for depth, to uint16 (n, height, width) in millimetres or
    float32 in metres.
    """

    segment: int
    first_row: int  # within the segment
    row_times_ns: Stamps
    features: Mapping[str, NDArray[Any]]
    pictures: Mapping[str, NDArray[Any]]

    def __len__(self) -> int:
        return len(self.row_times_ns)

    def frame(self, row: int) -> dict[str, NDArray[Any]]:
        """Row ``row`` of the chunk: every feature and every picture under its feature's name."""
        both = {**self.features, **self.pictures}
        return {name: values[row] for name, values in both.items()}


def aligned_chunks(
    recording: Recording, config: DatasetConfig, chunk_size: int | None = None
) -> Iterator[AlignedChunk]:
    """The recording's rows in chunks of at most ``chunk_size`` (default: ``chunk_frames``).

    A chunk never reaches over the end of a segment. Memory is the numbers of the recording plus
    one chunk of decoded pictures. Raises ``Refused`` as ``align`` does, and for a picture that
    cannot be decoded or whose size changes.
    """
    size = config.chunk_frames if chunk_size is None else chunk_size
    if size < 1:
        raise ValueError(f"chunk_size must be 1 or more, not {size}")
    frames = align(recording, config)
    tracks = plan_tracks(frames)
    lanes = [
        _Lane(track, frames.pictures[track.feature], config.limits.max_pixels) for track in tracks
    ]
    reader = _Reader(recording.pictures(wanted_pictures(recording, tracks)), lanes)
    for segment, first, stop in _segments(frames):
        for start in range(first, stop, size):
            end = min(start + size, stop)
            yield AlignedChunk(
                segment=segment,
                first_row=start - first,
                row_times_ns=frames.row_times_ns[start:end],
                features={name: values[start:end] for name, values in frames.features.items()},
                pictures={lane.feature: lane.rows(start, end, reader) for lane in lanes},
            )


def each_frame(
    recording: Recording,
    config: DatasetConfig,
    frame_callback: Callable[[dict[str, NDArray[Any]], int], None],
    save_callback: Callable[[], None] | None = None,
    chunk_size: int | None = None,
) -> int:
    """Call ``frame_callback(frame, frame_index)`` for every row; returns how many there were.

    ``frame_index`` counts from 0 in every segment, and ``save_callback()`` is called after the
    last row of each, as an episode of its own. An exception in either ends the walk.
    """
    rows = 0
    segment: int | None = None
    for chunk in aligned_chunks(recording, config, chunk_size):
        if segment not in (None, chunk.segment) and save_callback is not None:
            save_callback()
        segment = chunk.segment
        for row in range(len(chunk)):
            frame_callback(chunk.frame(row), chunk.first_row + row)
        rows += len(chunk)
    if segment is not None and save_callback is not None:
        save_callback()
    return rows


def _segments(frames: AlignedFrames) -> Iterator[tuple[int, int, int]]:
    """Number, first row and end of each segment."""
    starts = np.flatnonzero(np.diff(frames.segments, prepend=-1)).tolist()
    for first, stop in zip(starts, [*starts[1:], len(frames.segments)], strict=True):
        yield int(frames.segments[first]), first, stop


class _Reader:
    """Deals the recording's pictures out to the lanes that wait for them."""

    def __init__(self, pictures: Iterator[Picture], lanes: list[_Lane]) -> None:
        self._pictures = pictures
        self._lanes: dict[str, list[_Lane]] = {}
        for lane in lanes:
            self._lanes.setdefault(lane.stream, []).append(lane)

    def read_one(self) -> bool:
        """Take the next picture from the file; False after the last."""
        picture = next(self._pictures, None)
        if picture is None:
            return False
        for lane in self._lanes[picture.stream]:
            lane.waiting.append(picture)
        return True


class _Lane:
    """One camera feature's way from encoded pictures to rows."""

    def __init__(self, track: Track, ids: NDArray[np.int64], max_pixels: int) -> None:
        self.feature = track.feature
        self.stream = track.stream
        self.waiting: deque[Picture] = deque()
        self._ids = ids  # of every row
        self._decoder = PictureDecoder(max_pixels)
        self._decoded: Iterator[tuple[int, Callable[[], NDArray[Any]]]] | None = None
        self._id = -1
        self._pixels: NDArray[Any] | None = None

    def rows(self, start: int, end: int, reader: _Reader) -> NDArray[Any]:
        """Pictures of rows ``start`` to ``end - 1``, (n, height, width[, 3])."""
        result: NDArray[Any] | None = None
        for row in range(start, end):
            pixels = self._picture(int(self._ids[row]), reader)
            if result is None:
                result = np.empty((end - start, *pixels.shape), pixels.dtype)
            if pixels.shape != result.shape[1:]:
                raise Refused(
                    Reason.PICTURE_SIZE_CHANGED,
                    f"picture {self._id} of {self.stream} has the shape {pixels.shape}, those "
                    f"before it {result.shape[1:]}",
                )
            result[row - start] = pixels
        assert result is not None
        return result

    def _picture(self, id: int, reader: _Reader) -> NDArray[Any]:
        if self._decoded is None:
            self._decoded = self._decode(reader)
        while self._id != id:
            found = next(self._decoded, None)
            if found is None:
                raise Refused(
                    Reason.CORRUPT_PICTURE, f"picture {id} of {self.stream} cannot be decoded"
                )
            self._id, pixels = found
            if self._id == id:
                self._pixels = pixels()
        assert self._pixels is not None
        return self._pixels

    def _decode(self, reader: _Reader) -> Iterator[tuple[int, Callable[[], NDArray[Any]]]]:
        while self.waiting or reader.read_one():
            if not self.waiting:
                continue
            picture = self.waiting.popleft()
            for decoded in self._decoder.decode(picture):
                yield decoded.id, lambda decoded=decoded: _pixels(decoded)  # type: ignore[misc]
        for decoded in self._decoder.flush():
            yield decoded.id, lambda decoded=decoded: _pixels(decoded)  # type: ignore[misc]


def _pixels(decoded: Decoded) -> NDArray[Any]:
    if decoded.is_depth:
        distances = decoded.frame.to_ndarray()
        pixels = np.asarray(distances, dtype=distances.dtype.newbyteorder("="))
    else:
        pixels = np.asarray(decoded.frame.to_ndarray(format="rgb24"))
    return upright(pixels, decoded.orientation)
