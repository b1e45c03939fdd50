"""The rows of an open recording, for a sink of one's own.

What makes them (alignment, decoding) lies above this package and is imported when it is called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from numpy.typing import NDArray

from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.model import Recording

if TYPE_CHECKING:
    from lerobot_pipelines.pipeline.chunks import AlignedChunk


class AlignedRows:
    """Mixed into recordings: see ``pipeline.chunks`` for what rows and chunks are."""

    def aligned_chunks(
        self: Recording, config: DatasetConfig, chunk_size: int | None = None
    ) -> Iterator[AlignedChunk]:
        """The rows that a conversion writes, with decoded pictures, ``chunk_size`` at a time.

        ``config`` is the one that the recording was opened with. The default size is
        ``config.chunk_frames``; it bounds memory and changes nothing else. Raises ``Refused`` for
        what a conversion would refuse, and ``ValueError`` for a size below 1.
        """
        from lerobot_pipelines.pipeline.chunks import aligned_chunks

        return aligned_chunks(self, config, chunk_size)

    def each_frame(
        self: Recording,
        config: DatasetConfig,
        frame_callback: Callable[[dict[str, NDArray[Any]], int], None],
        save_callback: Callable[[], None] | None = None,
        chunk_size: int | None = None,
    ) -> int:
        """Call ``frame_callback(aligned_frame, frame_index)`` for every row; returns their number.

        ``aligned_frame`` maps each feature to its values or picture. ``frame_index`` counts from 0
        in every segment, after whose last row ``save_callback()`` is called. An exception in
        either ends the walk. Raises as ``aligned_chunks`` does.
        """
        from lerobot_pipelines.pipeline.chunks import each_frame

        return each_frame(self, config, frame_callback, save_callback, chunk_size)


class OpenRecording(Recording, Protocol):
    """What ``open_recording`` gives: a ``Recording`` that can also be walked row by row."""

    def aligned_chunks(
        self, config: DatasetConfig, chunk_size: int | None = None
    ) -> Iterator[AlignedChunk]: ...

    def each_frame(
        self,
        config: DatasetConfig,
        frame_callback: Callable[[dict[str, NDArray[Any]], int], None],
        save_callback: Callable[[], None] | None = None,
        chunk_size: int | None = None,
    ) -> int: ...
