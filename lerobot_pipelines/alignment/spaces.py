"""Values that are no plain numbers: angles that wrap and unit quaternions (xyzw).

Results of averaging or interpolating angles lie in [-half a turn, half a turn], whatever range the
stream uses; those of quaternions have length one and the sign of the earliest sample involved.
"""

from __future__ import annotations

import numpy as np

from lerobot_pipelines.config.schema import Interpolation
from lerobot_pipelines.model import Vectors

# Above this cosine the sine of the angle between two quaternions is too small to divide by; the
# chord is then within 1e-7 of the arc. The customary bound.
NEARLY_PARALLEL = 0.9995

_TURNS = {Interpolation.ANGLE: 2 * np.pi, Interpolation.ANGLE_DEGREES: 360.0}


def full_turn(space: Interpolation) -> float | None:
    """After how much a value repeats; None if it does not."""
    return _TURNS.get(space)


def wrapped(angles: Vectors, turn: float) -> Vectors:
    """The same angles within half a turn of zero; those already there keep every bit."""
    return angles - turn * np.rint(angles / turn)


def quaternions(vectors: Vectors) -> Vectors:
    """Shape (..., 4 k) as (..., k, 4)."""
    return vectors.reshape(*vectors.shape[:-1], vectors.shape[-1] // 4, 4)


def dots(a: Vectors, b: Vectors) -> Vectors:
    """Dot products of quaternions, shape (..., 1)."""
    products = a * b
    # Added in this order by hand, so that no summation scheme can change a bit.
    return (products[..., 0:1] + products[..., 1:2]) + (products[..., 2:3] + products[..., 3:4])


def normalised(q: Vectors) -> Vectors:
    """Length one; the zero quaternion stays as it is."""
    length = np.sqrt(dots(q, q))
    return np.divide(q, length, out=q.copy(), where=length > 0)


def same_sign(q: Vectors, reference: Vectors) -> Vectors:
    """q or -q (the same rotation), whichever lies on the reference's side."""
    return np.where(dots(q, reference) < 0, -q, q)


def slerp(a: Vectors, b: Vectors, weight: Vectors) -> Vectors:
    """From ``a`` (weight 0) to ``b`` (1) along the shorter arc; shapes (..., 4) and (..., 1)."""
    a = normalised(a)
    b = same_sign(normalised(b), a)
    cosine = np.minimum(dots(a, b), 1.0)
    straight = a + weight * (b - a)
    angle = np.arccos(cosine)
    sine = np.sin(angle)
    parallel = cosine > NEARLY_PARALLEL
    safe = np.where(parallel, 1.0, sine)
    arc = (np.sin((1 - weight) * angle) * a + np.sin(weight * angle) * b) / safe
    return normalised(np.where(parallel, straight, arc))
