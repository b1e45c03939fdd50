"""What a control loop may record: each sample is checked while the mistake can still be told."""

from __future__ import annotations

from typing import Any

import numpy as np

# 2001 in nanoseconds; in any other unit today is far below it.
_EARLIEST_STAMP_NS = 10**18
_ENCODED = (b"\xff\xd8", b"\x89PNG")


class SampleCheck:
    """Remembers the last stamp of each topic of one take, and with ``one_size`` the size of its
    pictures, which those of a video all have."""

    def __init__(self, *, one_size: bool = False) -> None:
        self._one_size = one_size
        self._last: dict[str, int] = {}
        self._sizes: dict[str, tuple[int, ...]] = {}
        self._lengths: dict[str, int] = {}

    @property
    def is_empty(self) -> bool:
        return not self._last

    def admit(self, topic: str, stamp_ns: int, value: Any) -> Any:
        """The value to record: a picture as it is, numbers as a float64 (d,) array of their own;
        None for the same sample again. Raises ``ValueError`` for what cannot be recorded."""
        if (last := self._last.get(topic)) is None:
            _check_topic(topic)
            _check_stamp(stamp_ns)
        elif stamp_ns == last:
            return None
        elif stamp_ns < last:
            raise ValueError(f"{topic}: the stamp {stamp_ns} is before the last one, {last}")
        checked = _checked(topic, value)
        if not isinstance(checked, bytes) and checked.ndim == 1:
            self._check_length(topic, len(checked))
        if self._one_size:
            if isinstance(checked, bytes):
                self._check_kind(topic, ())
            elif checked.dtype == np.uint8:
                self._check_size(topic, checked.shape)
        self._last[topic] = stamp_ns
        return checked

    def _check_length(self, topic: str, length: int) -> None:
        if (before := self._lengths.setdefault(topic, length)) != length:
            raise ValueError(f"{topic}: {length} numbers, where the first sample had {before}")

    def _check_size(self, topic: str, shape: tuple[int, ...]) -> None:
        if shape[0] % 2 or shape[1] % 2:
            raise ValueError(f"{topic}: a video needs even sizes, not {shape[1]}x{shape[0]}")
        self._check_kind(topic, shape[:2])

    def _check_kind(self, topic: str, size: tuple[int, ...]) -> None:
        """Encoded pictures, of size (), are kept as they are and make no video."""
        if (before := self._sizes.setdefault(topic, size)) != size:
            shown = ["x".join(map(str, one)) or "an encoded one" for one in (size, before)]
            raise ValueError(f"{topic}: a picture ({shown[0]}) in a video of others ({shown[1]})")


def _check_topic(topic: str) -> None:
    if not topic or "/" in topic or topic.startswith(".") or len(topic.encode()) > 200:
        raise ValueError(f"{topic!r} cannot be the name of a file; choose another for the topic")


def _check_stamp(stamp_ns: int) -> None:
    if not isinstance(stamp_ns, int | np.integer) or stamp_ns < _EARLIEST_STAMP_NS:
        raise ValueError(f"the stamp {stamp_ns!r} is not in ns since 1970, as time.time_ns() is")


def _checked(topic: str, value: Any) -> Any:
    if isinstance(value, bytes):
        if not value.startswith(_ENCODED):
            raise ValueError(f"{topic}: these bytes are neither a JPEG nor a PNG")
        return value
    array = np.asarray(value)
    if not array.size:
        raise ValueError(f"{topic}: a sample of shape {array.shape} holds nothing")
    if array.dtype == np.uint8 and (array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)):
        return array
    if array.ndim > 1 or array.dtype.kind not in "fiub":
        raise ValueError(
            f"{topic}: {array.dtype} of shape {array.shape} is neither a picture, uint8 (h, w, 3) "
            "or (h, w), nor a vector of numbers"
        )
    return np.array(array, np.float64, ndmin=1)
