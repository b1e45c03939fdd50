"""Count, extremes, mean and squared deviations of rows, merged exactly enough to judge by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Moments:
    """Over axis 0; every array has the shape of one row, float64."""

    count: int
    minimum: NDArray[np.float64]
    maximum: NDArray[np.float64]
    mean: NDArray[np.float64]
    squares: NDArray[np.float64]  # sum of squared deviations from the mean

    @staticmethod
    def of(values: NDArray[Any]) -> Moments:
        numbers = values.astype(np.float64)
        mean = numbers.mean(axis=0)
        return Moments(
            len(numbers),
            numbers.min(axis=0),
            numbers.max(axis=0),
            mean,
            ((numbers - mean) ** 2).sum(axis=0),
        )

    def merged(self, other: Moments | None) -> Moments:
        """Both together (Chan, Golub and LeVeque 1979, parallel variance)."""
        if other is None:
            return self
        count = self.count + other.count
        step = other.mean - self.mean
        return Moments(
            count,
            np.minimum(self.minimum, other.minimum),
            np.maximum(self.maximum, other.maximum),
            self.mean + step * other.count / count,
            self.squares + other.squares + step**2 * self.count * other.count / count,
        )

    @property
    def std(self) -> NDArray[np.float64]:
        """Population standard deviation, as lerobot has it."""
        return np.asarray(np.sqrt(self.squares / self.count))
