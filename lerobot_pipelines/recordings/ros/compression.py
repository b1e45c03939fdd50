"""Unpacking chunks with bounded memory: no header is trusted with how much comes out."""

from __future__ import annotations

import bz2
import sys
from typing import Any

from lerobot_pipelines.recordings.ros.container import DamagedChunk

# Recorders write chunks of 1 to 4 MiB, or as large as one message. What claims to be larger than
# this is damage or an attack; unpacking it would break the promise on memory.
LARGEST_CHUNK_BYTES = 256 << 20

COMPRESSIONS = ("none", "bz2", "lz4", "zstd")


def decompress(compression: str, data: bytes, size: int | None, *, partial: bool = False) -> bytes:
    """The content of a chunk, exactly ``size`` bytes where the size is known.

    ``partial`` accepts a chunk whose end is missing and returns what is whole of it. Raises
    ``DamagedChunk``: "chunk_too_large", "rotten_chunk" (fails its checksum or structure) or
    "unknown_compression".
    """
    if compression not in COMPRESSIONS:
        raise DamagedChunk("unknown_compression")
    if (size or 0) > LARGEST_CHUNK_BYTES:
        raise DamagedChunk("chunk_too_large")
    if compression == "none":
        content = data
    else:
        limit = (LARGEST_CHUNK_BYTES if size is None else size) + 1
        content = _unpack(_decompressor(compression), data, limit, partial)
        if size is None and len(content) > LARGEST_CHUNK_BYTES:
            raise DamagedChunk("chunk_too_large")
    if size is not None and len(content) != size and not (partial and len(content) < size):
        raise DamagedChunk("rotten_chunk")
    return content


def _decompressor(compression: str) -> Any:
    if compression == "bz2":
        return bz2.BZ2Decompressor()
    if compression == "lz4":
        from lz4.frame import LZ4FrameDecompressor

        return LZ4FrameDecompressor()
    return zstd_module().ZstdDecompressor()


def zstd_module() -> Any:
    """Python's zstd, or its backport before 3.14 (which rosbags needs anyway)."""
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd


def _unpack(decompressor: Any, data: bytes, limit: int, partial: bool) -> bytes:
    # In one call when all is there; in steps when the end is missing, so that what came out before
    # the fault is kept.
    step = 65536 if partial else max(len(data), 1)
    pieces: list[bytes] = []
    produced = 0
    for start in range(0, len(data), step):
        feed = data[start : start + step]
        try:
            while produced < limit and not decompressor.eof:
                piece = decompressor.decompress(feed, limit - produced)
                feed = b""
                pieces.append(piece)
                produced += len(piece)
                if decompressor.needs_input or not piece:
                    break
        except Exception as error:  # each library has errors of its own
            if partial:
                break
            raise DamagedChunk("rotten_chunk") from error
        if decompressor.eof or produced >= limit:
            break
    if not partial and not decompressor.eof and produced < limit:
        raise DamagedChunk("rotten_chunk")
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
