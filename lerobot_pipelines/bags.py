"""Bag scripts of one's own: rows and pictures of a bag, chunk by chunk, without a dataset.

For programs that were written around a bag reader with callbacks; they change their import. What
they get are the rows that a conversion writes: aligned, in final units, in bounded memory.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypedDict

from numpy.typing import NDArray

from lerobot_pipelines.config.places import CONFIG_VARIABLE, config_of
from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.errors import ConfigError
from lerobot_pipelines.pipeline.chunks import AlignedChunk, aligned_chunks
from lerobot_pipelines.recordings import open_recording, source_from_path

_NS_PER_S = 1e9


class Sample(TypedDict):
    """``data``: a vector float32 (n,), a chunk (steps, n), a picture uint8 (height, width, 3) RGB
    or distances (height, width). ``timestamp``: the row's moment in seconds, as stamped."""

    data: NDArray[Any]
    timestamp: float


AlignedFrame = Mapping[str, Sample]  # by LeRobot feature, cameras too
FrameCallback = Callable[[AlignedFrame, int], object]
SaveCallback = Callable[[], object]


class RosbagReader:
    """Reads bags (ROS1, db3, MCAP) as one configuration says."""

    def __init__(self, config: DatasetConfig | str | Path | None = None) -> None:
        """``config``: the configuration, its file, or the name of a shipped one. None: what the
        environment variable LEROBOT_PIPELINES_CONFIG names, else what ``inspect --suggest-config``
        suggests for each bag."""
        named = config if config is not None else os.environ.get(CONFIG_VARIABLE) or None
        self._config = None if named is None else config_of(named)

    def process_rosbag_chunked(
        self,
        bag_file: str | Path,
        frame_callback: FrameCallback,
        chunk_size: int = 100,
        save_callback: SaveCallback | None = None,
    ) -> int:
        """Call ``frame_callback(aligned_frame, frame_index)`` for every row of a bag, in order, and
        ``save_callback()`` after each chunk of up to ``chunk_size`` rows; returns their number.

        ``aligned_frame["observation.state"]["data"]`` is a row's vector, ``["timestamp"]`` its
        moment. ``frame_index`` counts from 0 over the whole bag; a chunk ends also where the
        recording has a hole. Memory is one row of decoded pictures, the bag's numbers, and what the
        callback keeps. Raises ``Refused`` for a bag that a conversion would refuse, ``ConfigError``
        for a configuration that is wrong, ``ValueError`` for a ``chunk_size`` below 1. An exception
        in a callback ends the walk.
        """
        if chunk_size < 1:
            raise ValueError(f"chunk_size must be 1 or more, not {chunk_size}")
        save = save_callback if save_callback is not None else lambda: None
        frame_index = in_chunk = segment = 0
        # Row by row: whoever needs a chunk of pictures keeps it, and nobody keeps a second one.
        for row in self.chunks(bag_file, 1):
            if in_chunk and row.segment != segment:
                save()
                in_chunk = 0
            segment = row.segment
            frame_callback(_frame(row, 0), frame_index)
            frame_index += 1
            in_chunk += 1
            if in_chunk == chunk_size:
                save()
                in_chunk = 0
        if in_chunk:
            save()
        return frame_index

    def chunks(self, bag_file: str | Path, chunk_size: int = 100) -> Iterator[AlignedChunk]:
        """The same rows as arrays; see ``pipeline.chunks.AlignedChunk``."""
        source = source_from_path(Path(bag_file))
        config = self._config or _suggested(Path(bag_file))
        recording = open_recording(source, config)
        try:
            yield from aligned_chunks(recording, config, chunk_size)
        finally:
            recording.close()


def process_rosbag_chunked(
    bag_file: str | Path,
    frame_callback: FrameCallback,
    chunk_size: int = 100,
    save_callback: SaveCallback | None = None,
    *,
    config: DatasetConfig | str | Path | None = None,
) -> int:
    """``RosbagReader(config).process_rosbag_chunked(...)``."""
    reader = RosbagReader(config)
    return reader.process_rosbag_chunked(bag_file, frame_callback, chunk_size, save_callback)


def _frame(chunk: AlignedChunk, row: int) -> dict[str, Sample]:
    timestamp = int(chunk.row_times_ns[row]) / _NS_PER_S
    return {name: {"data": data, "timestamp": timestamp} for name, data in chunk.frame(row).items()}


def _suggested(bag: Path) -> DatasetConfig:
    from lerobot_pipelines.suggestions import suggest
    from lerobot_pipelines.suggestions.trial import loaded

    recording = open_recording(source_from_path(bag))
    try:
        suggestion = suggest(recording)
    finally:
        recording.close()
    if suggestion.problem is not None:
        raise ConfigError(
            f"{bag.name}: nothing can be read of it without a configuration: {suggestion.problem}; "
            f"name one (RosbagReader(config), or {CONFIG_VARIABLE})"
        )
    return loaded(suggestion.text)
