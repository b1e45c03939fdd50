"""From seconds to rows: lerobot's ``delta_timestamps``, and the history and horizon of a key."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.errors import ConfigError
from lerobot_pipelines.loading.config import KeyConfig

Rows = NDArray[np.int64]


def deltas_of(key: KeyConfig, fps: int) -> tuple[float, ...] | None:
    """The seconds that a key's steps are away from the present row; None: no time axis."""
    if key.delta_timestamps is not None:
        return key.delta_timestamps
    if not key.history and not key.horizon:
        return None
    rate = key.rate_hz or float(fps)
    return tuple(step / rate for step in range(-key.history, max(key.horizon, 1)))


def row_offsets(
    name: str, deltas_s: Sequence[float], fps: int, tolerance_s: float, *, nearest: bool = False
) -> Rows:
    """The deltas as numbers of rows, int64 (steps,).

    Each must be a whole number of rows within ``tolerance_s``, as lerobot wants it, unless
    ``nearest`` allows rounding (halves to even). Raises ``ConfigError`` that names the deltas.
    """
    rows = [round(delta * fps) for delta in deltas_s]
    off = [
        delta
        for delta, row in zip(deltas_s, rows, strict=True)
        if abs(delta * fps - row) / fps > tolerance_s
    ]
    if off and not nearest:
        raise ConfigError(
            f"{name}: {', '.join(f'{delta:g}' for delta in off[:5])} s is no whole number of rows "
            f"at {fps} fps; use multiples of 1/{fps} s, or off_rate: nearest"
        )
    return np.asarray(rows, dtype=np.int64)


def window(row: int, length: int, offsets: Rows) -> tuple[Rows, NDArray[np.bool_]]:
    """The rows of a window inside an episode of ``length`` rows, and which are padding.

    ``row`` and the result count within the episode; what lies outside becomes its first or last
    row and is marked. Both have shape (steps,).
    """
    wanted = row + offsets
    inside = np.clip(wanted, 0, length - 1)
    return inside, inside != wanted
