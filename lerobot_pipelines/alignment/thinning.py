"""Thinning a camera to a lower rate by time: one picture per point of a grid, never every k-th."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from lerobot_pipelines.alignment.search import NS_PER_S, Indices, grid_points_ns, nearest_index
from lerobot_pipelines.model import Stamps


def thinned(stamps: Stamps, target_hz: Fraction) -> Indices:
    """Positions of the pictures nearest to first stamp + k / target_hz, strictly increasing.

    A grid point without a picture within half a target period takes none (the camera was silent),
    and no picture is taken twice, so the result never exceeds the target rate nor the camera's.
    """
    last = int(int(stamps[-1] - stamps[0]) * target_hz / NS_PER_S) + 1
    # Only points beside a picture can take one; stamps may span any time.
    beside = np.floor((stamps - stamps[0]) * (float(target_hz) / NS_PER_S)).astype(np.int64)
    points = np.unique(np.concatenate([beside + step for step in (-1, 0, 1, 2)]))
    grid = stamps[0] + grid_points_ns(points[(points >= 0) & (points <= last)], target_hz)
    nearest = nearest_index(stamps, grid)
    half_period = NS_PER_S * target_hz.denominator // (2 * target_hz.numerator)
    near_enough = np.abs(stamps[nearest] - grid) <= half_period
    return np.unique(nearest[near_enough])
