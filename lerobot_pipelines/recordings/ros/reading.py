"""Chunks and parts of messages out of a file whose lengths are not trusted."""

from __future__ import annotations

from collections.abc import Callable

from lerobot_pipelines.recordings.ros.compression import LARGEST_CHUNK_BYTES, decompress
from lerobot_pipelines.recordings.ros.container import DamagedChunk, LostMessage
from lerobot_pipelines.recordings.ros.filebytes import FileBytes, OutOfFile


def read_chunk(
    file: FileBytes, place: tuple[int, int], compression: str, size: int, *, partial: bool
) -> bytes:
    """The unpacked chunk whose data have this (start, length); raises ``DamagedChunk``.

    ``partial`` accepts one that is cut and returns what is whole of it.
    """
    start, length = place[0], min(place[1], file.size - place[0])
    if length > LARGEST_CHUNK_BYTES:
        raise DamagedChunk("chunk_too_large")
    return decompress(compression, file.read(start, length), size, partial=partial)


def fetcher(file: FileBytes) -> Callable[[int, int], bytes]:
    """What a ``Message`` reads its further parts with; raises ``LostMessage``."""

    def fetch(start: int, length: int) -> bytes:
        try:
            return file.read(start, length)
        except OutOfFile:
            raise LostMessage(f"byte {start}", "bad_record") from None

    return fetch
