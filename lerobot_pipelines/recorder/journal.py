"""A take on disk while it is recorded: one file, only ever appended to, checked record by record.

After a crash everything up to the last whole record is there. The last record of a take that was
submitted says how many samples each topic has; without it the take was interrupted.
"""

from __future__ import annotations

import json
import os
import secrets
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SUFFIX = ".take"
_MAGIC = b"LPTAKE1\n"
_HEAD = struct.Struct(
    "<IIBHq"
)  # checksum of all that follows, payload's length, kind, topic, stamp
_CHECKED_FROM = 4
# Few system calls, and no more than this to write when a take ends.
_BUFFER_BYTES = 1 << 18


class Kind(IntEnum):
    START = 0
    TOPIC = 1
    VECTOR = 2
    PICTURE = 3
    END = 4


class DamagedTake(ValueError):
    """The file is no take, or a submitted take is not whole."""


@dataclass(frozen=True, slots=True)
class TakeInfo:
    """``key`` names the episode; ``identity`` is this take's alone, whatever its key."""

    key: str
    task: str
    metadata: dict[str, Any] = field(default_factory=dict)
    identity: str = field(default_factory=lambda: secrets.token_hex(8))


@dataclass(frozen=True, slots=True)
class Sample:
    """``value`` is a float64 (d,) vector, or a picture as an encoded file."""

    topic: str
    stamp_ns: int
    value: NDArray[np.float64] | bytes


class TakeJournal:
    """Writes a take. For one thread."""

    def __init__(self, path: Path, info: TakeInfo) -> None:
        self.path = path
        self._topics: dict[str, int] = {}
        self._counts: dict[str, int] = {}
        self._file = path.open("xb", buffering=_BUFFER_BYTES)
        self._file.write(_MAGIC)
        start = {"key": info.key, "task": info.task, "metadata": info.metadata}
        self._append(Kind.START, 0, 0, _json({**start, "identity": info.identity}))

    def add(self, sample: Sample) -> None:
        if (topic := self._topics.get(sample.topic)) is None:
            topic = self._topics[sample.topic] = len(self._topics)
            self._append(Kind.TOPIC, topic, 0, _json({"name": sample.topic}))
        kind, payload = Kind.PICTURE, sample.value
        if not isinstance(payload, bytes):
            kind, payload = Kind.VECTOR, payload.astype("<f8").tobytes()
        self._append(kind, topic, sample.stamp_ns, payload)
        self._counts[sample.topic] = self._counts.get(sample.topic, 0) + 1

    def sync(self) -> None:
        """What was added so far survives a power loss."""
        self._file.flush()
        os.fdatasync(self._file.fileno())

    def submit(self) -> None:
        """The take is complete, for good. Raises ``OSError`` if the disk is full."""
        self._append(Kind.END, 0, 0, _json({"counts": self._counts}))
        self.sync()
        self._file.close()

    def abandon(self) -> None:
        """Close the file as it is, as far as the disk still takes it."""
        try:
            self._file.close()
        except OSError:
            # What is missing at the end is noticed by whoever reads it.
            return

    def _append(self, kind: Kind, topic: int, stamp_ns: int, payload: bytes) -> None:
        head = _HEAD.pack(0, len(payload), kind, topic, stamp_ns)[_CHECKED_FROM:]
        checksum = zlib.crc32(payload, zlib.crc32(head))
        self._file.write(checksum.to_bytes(4, "little") + head)
        self._file.write(payload)


class Take:
    """Reads a take. Raises ``DamagedTake`` if even its first record is not whole."""

    def __init__(self, path: Path) -> None:
        self.path = path
        first = next(self._records(), None)
        if first is None or first[0] is not Kind.START:
            raise DamagedTake(f"{path} is not a take, or it was cut off before anything was in it")
        self.info = TakeInfo(**json.loads(first[3]))

    @property
    def is_submitted(self) -> bool:
        """Its last record is the end; found without reading the pictures."""
        return self._end() is not None

    def samples(self, *, salvage: bool = False) -> Iterator[Sample]:
        """Every sample, topic by topic in order of time, topics interleaved as they were written.

        Raises ``DamagedTake`` at the end if something is missing, unless ``salvage`` is wanted.
        """
        names: dict[int, str] = {}
        counts: dict[str, int] = {}
        told: Mapping[str, int] | None = None
        for kind, topic, stamp_ns, payload in self._records():
            if kind is Kind.TOPIC:
                names[topic] = json.loads(payload)["name"]
            elif kind is Kind.END:
                told = json.loads(payload)["counts"]
            elif kind in (Kind.VECTOR, Kind.PICTURE):
                name = names[topic]
                counts[name] = counts.get(name, 0) + 1
                value = payload if kind is Kind.PICTURE else np.frombuffer(payload, "<f8")
                yield Sample(name, stamp_ns, value)
        if not salvage and counts != told:
            raise DamagedTake(f"{self.path} was submitted with {told} samples and holds {counts}")

    def _records(self) -> Iterator[tuple[Kind, int, int, bytes]]:
        with self.path.open("rb", buffering=1 << 20) as stream:
            if stream.read(len(_MAGIC)) != _MAGIC:
                return
            while len(head := stream.read(_HEAD.size)) == _HEAD.size:
                checksum, length, kind, topic, stamp_ns = _HEAD.unpack(head)
                payload = stream.read(length)
                if zlib.crc32(payload, zlib.crc32(head[_CHECKED_FROM:])) != checksum:
                    return
                yield Kind(kind), topic, stamp_ns, payload

    def _end(self) -> bytes | None:
        """The last record, if it is the end of a take: jumps from head to head."""
        size = self.path.stat().st_size
        with self.path.open("rb") as stream:
            position = len(_MAGIC)
            while position + _HEAD.size <= size:
                stream.seek(position)
                head = stream.read(_HEAD.size)
                checksum, length, kind, _, _ = _HEAD.unpack(head)
                position += _HEAD.size + length
                if kind == Kind.END and position == size:
                    payload = stream.read(length)
                    whole = zlib.crc32(payload, zlib.crc32(head[_CHECKED_FROM:])) == checksum
                    return payload if whole else None
        return None


def _json(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content).encode()
