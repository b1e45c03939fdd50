"""Unpacking chunks with bounded memory: no header is trusted with how much comes out."""

from __future__ import annotations

import bz2
import sys
from pathlib import Path
from typing import Any

from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.recordings.ros.container import DamagedChunk, LostMessage, Message

# Recorders write chunks of 1 to 4 MiB, or as large as one message. What claims to be larger than
# this is damage or an attack; unpacking it would break the promise on memory.
LARGEST_CHUNK_BYTES = 256 << 20

_BLOCK_BYTES = 1 << 20

# Recordings of black pictures and standing robots are packed to a fiftieth; a file made to fill a
# disk to a ten-thousandth.
_MAX_RATIO = 250
_UNPACKED_FREELY = 256 << 20

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"

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
        from lz4.frame import LZ4FrameDecompressor  # type: ignore[import-untyped]

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


def unpacked(message: Message, where: str) -> Message:
    """A ROS 2 message as it was before the recorder compressed it, if it did.

    Told by the first bytes, which are 0 in every serialised message, so that ``metadata.yaml``,
    which is lost more often than the bag, is not needed. Raises ``LostMessage``.
    """
    if message.part(0, len(ZSTD_MAGIC)) != ZSTD_MAGIC:
        return message
    try:
        data = decompress("zstd", bytes(message.whole()), None)
    except DamagedChunk as error:
        raise LostMessage(where, str(error)) from None
    return Message(memoryview(data), 0, 0, len(data))


def decompress_file(path: Path, target: Path) -> Path:
    """Unpack a ``.zstd`` file as far as it goes; returns ``target``.

    Needed because SQLite reads files, not streams. Raises ``Refused`` if it is no zstd at all, and
    (too_large) before it fills the disk with more than any recording unpacks to.
    """
    written = 0
    most = _UNPACKED_FREELY + path.stat().st_size * _MAX_RATIO
    with path.open("rb") as packed, target.open("wb") as unpacked:
        try:
            with zstd_module().ZstdFile(packed) as content:
                while piece := content.read(_BLOCK_BYTES):
                    if written + len(piece) > most:
                        raise Refused(
                            Reason.TOO_LARGE,
                            f"{path.name} unpacks to more than {most / 1e6:.0f} MB, {_MAX_RATIO} "
                            "times its size; unpack it by hand if it is as meant",
                        )
                    unpacked.write(piece)
                    written += len(piece)
        except (zstd_module().ZstdError, EOFError) as error:
            # Cut or rotten: what came before is still the beginning of a bag.
            if written == 0:
                raise Refused(
                    Reason.CORRUPT_CONTAINER, f"{path.name} is not compressed with zstd"
                ) from error
    return target
