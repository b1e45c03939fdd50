"""Writes lerobot's pictures by threads, in bounded memory, as PNG that costs next to nothing.

lerobot's own writer keeps every waiting picture in memory, prints a failure and forgets it, and
compresses: far slower than three cameras deliver. Here ``save_image`` waits while too many bytes
are pending, a failure spoils the episode it belongs to and no other, and PNG holds the pixels as
they are, since the encoder reads and deletes them soon.
"""

from __future__ import annotations

import struct
import threading
import zlib
from collections import Counter, deque
from collections.abc import Collection
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_RGB = 2
# zlib's levels for pictures that become a video soon, and for those that stay.
_PASSING, _KEPT = 0, 6


class PictureFailed(OSError):
    """A picture of the episode could not be written."""


class PictureWriter:
    """Stands in for ``AsyncImageWriter``, for paths as ``Spool.pictures`` makes them.

    Pictures of the cameras in ``compressed`` stay in the dataset as they are, so they are made
    small.
    """

    def __init__(
        self,
        *,
        compressed: Collection[str] = (),
        threads: int = 2,
        max_bytes: int = 512 << 20,
    ) -> None:
        self._max_bytes = max_bytes
        self._compressed = frozenset(compressed)
        self._changed = threading.Condition()
        self._queue: deque[tuple[int, Any, Path, int]] = deque()
        self._bytes = 0
        self._pending: Counter[int] = Counter()
        self._faults: dict[int, str] = {}
        self._discarded: set[int] = set()
        self._stopping = False
        self._threads = [
            threading.Thread(target=self._work, name=f"picture-writer-{k}", daemon=True)
            for k in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def save_image(self, image: Any, fpath: Path, compress_level: int | None = None) -> None:
        """Queue a picture: HWC or CHW, uint8 or float in [0, 1], or a PIL picture.

        It must not change afterwards. Waits while more than ``max_bytes`` are pending.
        """
        number = take_number(fpath)
        size = int(getattr(image, "nbytes", 1 << 20))
        with self._changed:
            while self._bytes and self._bytes + size > self._max_bytes:
                self._changed.wait()
            self._queue.append((number, image, fpath, size))
            self._bytes += size
            self._pending[number] += 1
            self._changed.notify_all()

    def wait_for(self, number: int) -> None:
        """Wait for the pictures of one take. Raises ``PictureFailed`` if one was not written."""
        with self._changed:
            while self._pending[number]:
                self._changed.wait()
            if number in self._faults:
                raise PictureFailed(self._faults.pop(number))

    def wait_until_done(self) -> None:
        """lerobot's name, called in a save: the pictures of its take are there already."""

    def discard(self, number: int) -> None:
        """Write no more pictures of a take, and wait for those being written."""
        with self._changed:
            self._discarded.add(number)
            while self._pending[number]:
                self._changed.wait()
            self._discarded.discard(number)
            self._faults.pop(number, None)

    def stop(self) -> None:
        """Write what is queued and end the threads."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._queue:
                    if self._stopping:
                        return
                    self._changed.wait()
                number, image, path, size = self._queue.popleft()
                wanted = number not in self._discarded
            fault = self._write(image, path) if wanted else None
            with self._changed:
                self._bytes -= size
                self._pending[number] -= 1
                if fault is not None:
                    self._faults.setdefault(number, fault)
                self._changed.notify_all()

    def _write(self, image: Any, path: Path) -> str | None:
        try:
            if path.suffix != ".png":
                _write_as_lerobot(image, path)
                return None
            level = _KEPT if path.parent.name in self._compressed else _PASSING
            data = png(as_rgb(image), level)
            try:
                path.write_bytes(data)
            except FileNotFoundError:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
        except Exception as error:
            return f"{path.parent.name}/{path.name}: {type(error).__name__}: {error}"
        return None


def take_number(path: Path) -> int:
    """The take of a picture in the spool: ``<number>/pictures/<camera>/frame-000000.png``."""
    return int(path.parents[2].name)


def as_rgb(image: Any) -> NDArray[np.uint8]:
    """uint8 (h, w, 3) of whatever lerobot accepts as a picture. Raises ``ValueError``."""
    if hasattr(image, "cpu"):
        image = image.cpu().numpy()
    array = np.asarray(image)
    if array.ndim == 3 and array.shape[0] == 3:
        array = array.transpose(1, 2, 0)
    if array.ndim != 3 or array.shape[2] != 3:
        raise ValueError(f"a picture of shape {array.shape} is not RGB")
    if array.dtype == np.uint8:
        return array
    if array.min() < 0 or array.max() > 1:
        raise ValueError("a picture of floats must lie in [0, 1]")
    return (array * 255).astype(np.uint8)


def png(rgb: NDArray[np.uint8], compress_level: int) -> bytes:
    """A PNG of uint8 (h, w, 3); level 0 stores the pixels."""
    height, width = rgb.shape[:2]
    lines = np.empty((height, 1 + 3 * width), np.uint8)
    lines[:, 0] = 0  # no filter
    lines[:, 1:].reshape(height, width, 3)[...] = rgb
    header = struct.pack(">IIBBBBB", width, height, 8, _RGB, 0, 0, 0)
    pixels = zlib.compress(lines.data, compress_level)
    return b"".join(
        (_SIGNATURE, *_chunk(b"IHDR", header), *_chunk(b"IDAT", pixels), *_chunk(b"IEND", b""))
    )


def _chunk(kind: bytes, data: bytes) -> tuple[bytes, ...]:
    checksum = zlib.crc32(data, zlib.crc32(kind))
    return struct.pack(">I", len(data)), kind, data, struct.pack(">I", checksum)


def _write_as_lerobot(image: Any, path: Path) -> None:
    """What is no PNG (depth, since 0.6) is lerobot's own business. Raises ``OSError``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    import_module("lerobot.datasets.image_writer").write_image(image, path)
    if not path.exists():  # lerobot logs a failure and goes on
        raise OSError(f"lerobot could not write {path.name}")
