"""What goes from the control loop's process to the recorder's, and back.

Down one pipe go samples and calls in the order they were made; up another one the answers; up a
third one the slots of shared memory whose pictures are done. Samples are packed by hand and fit
into one write each, for the loop pays for them; calls are few and pickled.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pickle
import select
import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_HEAD = struct.Struct("<BI")  # kind, length of what follows
_VECTOR = struct.Struct("<Hq")  # topic, stamp
_PICTURE = struct.Struct("<HqQQIIB")  # topic, stamp, offset, bytes, height, width, channels
_OFFSET = struct.Struct("<Q")
OFFSET_BYTES = _OFFSET.size
# Linux lets anybody have this much; the loop does not wait while less is on its way.
_PIPE_BYTES = 1 << 20


class Kind(IntEnum):
    TOPIC = 0
    VECTOR = 1
    PICTURE = 2
    CALL = 3


class Vector(NamedTuple):
    topic: int
    stamp_ns: int
    values: NDArray[np.float64]


class SharedPicture(NamedTuple):
    """``shape`` is (h, w, 3), (h, w), or (n,) for an encoded picture of n bytes."""

    topic: int
    stamp_ns: int
    offset: int
    shape: tuple[int, ...]


class Call(NamedTuple):
    number: int
    method: str
    arguments: dict[str, Any]


class Answer(NamedTuple):
    number: int
    value: Any
    error: BaseException | None


def pipe() -> tuple[int, int]:
    """A pipe with room for a second of samples, both ends closed on exec."""
    reading, writing = os.pipe()
    with contextlib.suppress(
        OSError, AttributeError
    ):  # a user's pipes together may be too large; then a small one
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    return reading, writing


def capacity(descriptor: int) -> int:
    """How many bytes a pipe takes while nobody reads."""
    with contextlib.suppress(OSError, AttributeError):
        return fcntl.fcntl(descriptor, fcntl.F_GETPIPE_SZ)
    return 1 << 12  # what every system promises


def send_topic(descriptor: int, name: str) -> None:
    _send(descriptor, Kind.TOPIC, name.encode())


def send_vector(descriptor: int, topic: int, stamp_ns: int, values: NDArray[np.float64]) -> None:
    _send(descriptor, Kind.VECTOR, _VECTOR.pack(topic, stamp_ns) + values.tobytes())


def send_picture(descriptor: int, picture: SharedPicture) -> None:
    topic, stamp_ns, offset, shape = picture
    count = int(np.prod(shape))
    height, width, channels = (*shape, 0, 0)[:3] if len(shape) > 1 else (0, 0, 0)
    payload = _PICTURE.pack(topic, stamp_ns, offset, count, height, width, channels)
    _send(descriptor, Kind.PICTURE, payload)


def send_call(descriptor: int, call: Call) -> None:
    _send(descriptor, Kind.CALL, pickle.dumps(tuple(call)))


def received(stream: IO[bytes]) -> Iterator[str | Vector | SharedPicture | Call]:
    """Everything that was sent, a topic's name as text, until the sender closes or dies."""
    while len(head := stream.read(_HEAD.size)) == _HEAD.size:
        kind, length = _HEAD.unpack(head)
        payload = stream.read(length)
        if len(payload) < length:
            return
        match kind:
            case Kind.TOPIC:
                yield payload.decode()
            case Kind.VECTOR:
                topic, stamp_ns = _VECTOR.unpack_from(payload)
                yield Vector(topic, stamp_ns, np.frombuffer(payload, np.float64, -1, _VECTOR.size))
            case Kind.PICTURE:
                topic, stamp_ns, offset, count, *size = _PICTURE.unpack(payload)
                shape = tuple(n for n in size if n) or (count,)
                yield SharedPicture(topic, stamp_ns, offset, shape)
            case _:
                yield Call(*pickle.loads(payload))


def send_answer(stream: IO[bytes], answer: Answer) -> None:
    try:
        data = pickle.dumps(tuple(answer))
        pickle.loads(data)  # some exceptions can be written and not read
    except Exception:
        fault = RuntimeError(f"{type(answer.error).__name__}: {answer.error}")
        data = pickle.dumps((answer.number, None, fault))
    stream.write(len(data).to_bytes(4, "little") + data)
    stream.flush()


def receive_answer(stream: IO[bytes]) -> Answer | None:
    """The next answer, None if there will be none."""
    head = stream.read(4)
    data = stream.read(int.from_bytes(head, "little")) if len(head) == 4 else b""
    return Answer(*pickle.loads(data)) if data else None


def send_offset(descriptor: int, offset: int) -> None:
    os.write(descriptor, _OFFSET.pack(offset))


def receive_offsets(descriptor: int, timeout_s: float) -> list[int] | None:
    """Offsets that came, after waiting ``timeout_s`` for the first; None if no more will."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    if not poll.poll(timeout_s * 1e3):
        return []
    data = os.read(descriptor, _OFFSET.size * 512)
    return [offset for (offset,) in _OFFSET.iter_unpack(data)] if data else None


def _send(descriptor: int, kind: Kind, payload: bytes) -> None:
    data = memoryview(_HEAD.pack(kind, len(payload)) + payload)
    while data:
        data = data[os.write(descriptor, data) :]
