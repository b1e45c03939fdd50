"""How often each dataset of a mixture is drawn: weights, and exact numbers of draws from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.errors import ConfigError

Counts = NDArray[np.int64]
Weights = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class BalanceReport:
    """By the datasets' names: how large they are, how often they should be and were drawn (over all
    epochs begun so far), and what was recorded of them last."""

    sizes: Mapping[str, int]
    weights: Mapping[str, float]
    drawn: Mapping[str, int]
    recorded: Mapping[str, float]


Callback = Callable[[BalanceReport], Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Balance:
    """The rule of a mixture; make one with the functions below.

    Whatever the rule, an epoch draws each dataset exactly its share of times (rounded by largest
    remainder), and within a dataset every item once before any comes again.
    """

    kind: Literal["fixed", "size", "temperature", "dynamic"] = "size"
    weights: Mapping[str, float] = field(default_factory=dict)
    temperature: float = 1.0
    callback: Callback | None = None

    @staticmethod
    def by_size() -> Balance:
        """In proportion to the items: every item exactly once an epoch."""
        return Balance()

    @staticmethod
    def fixed(weights: Mapping[str, float]) -> Balance:
        """By these weights, whatever the sizes."""
        return Balance("fixed", dict(weights))

    @staticmethod
    def by_temperature(temperature: float) -> Balance:
        """In proportion to items ** (1 / temperature): 1 is by size, large values near equal."""
        return Balance("temperature", temperature=temperature)

    @staticmethod
    def dynamic(
        weights: Mapping[str, float] | None = None, callback: Callback | None = None
    ) -> Balance:
        """Weights that change between epochs.

        Without ``callback``, what was drawn too little so far is made up for, so that all epochs
        together keep to ``weights`` (equal if not given) whatever they were before a resume. With
        ``callback``, its answer to each ``StreamDataset.record`` holds from the next epoch on.
        """
        return Balance("dynamic", dict(weights or {}), callback=callback)

    def targets(self, sizes: Mapping[str, int]) -> Weights:
        """The share of each dataset, in the order of ``sizes``; they sum to 1.

        Raises ``ConfigError`` for weights that name no dataset, or are none.
        """
        unknown = sorted(set(self.weights) - set(sizes))
        if unknown:
            raise ConfigError(
                f"weights name {', '.join(unknown)}; the datasets are {', '.join(sizes)}"
            )
        if self.kind == "fixed" and (
            absent := [name for name in sizes if name not in self.weights]
        ):
            raise ConfigError(f"weights say nothing of {', '.join(absent)}")
        if self.kind in ("size", "temperature"):
            if not self.temperature > 0:
                raise ConfigError(f"temperature is {self.temperature:g}, must be above 0")
            raw = np.asarray(list(sizes.values()), dtype=np.float64) ** (1 / self.temperature)
        else:
            raw = np.asarray([self.weights.get(name, 1.0) for name in sizes], dtype=np.float64)
        return normalised(raw)


def normalised(weights: Weights) -> Weights:
    """Shares that sum to 1. Raises ``ConfigError`` for negative, infinite or all-zero weights."""
    if not np.isfinite(weights).all() or (weights < 0).any() or weights.sum() <= 0:
        raise ConfigError(f"weights must be 0 or more, and not all 0: {weights.tolist()}")
    return np.asarray(weights / weights.sum())


def quotas(weights: Weights, items: int) -> Counts:
    """How many of ``items`` draws each dataset gets, by largest remainder; ties to the first."""
    exact = weights * items
    counts = np.floor(exact + 1e-9).astype(np.int64)
    left = items - int(counts.sum())
    order = np.argsort(-(exact - counts), kind="stable")
    counts[order[:left]] += 1
    return counts


def compensating(targets: Weights, drawn: Sequence[int], items: int) -> Weights:
    """The weights of the next ``items`` draws that bring all draws nearest to the targets."""
    wanted = targets * (sum(drawn) + items) - np.asarray(drawn, dtype=np.float64)
    return normalised(np.maximum(wanted, 0.0))
