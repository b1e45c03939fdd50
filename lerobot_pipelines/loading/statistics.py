"""Statistics of a whole dataset: v3.0 has them; v2.1's are those of its episodes together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.datasets.verify.view import DatasetView

Measures = Mapping[str, NDArray[np.float64]]  # "min", "max", "mean", "std", perhaps "q01", "q99"


def dataset_statistics(view: DatasetView) -> dict[str, Measures]:
    """Feature -> measure -> array of one row's shape; of cameras (3, 1, 1), from 0 to 1."""
    if view.statistics is not None:
        return {key: _arrays(found) for key, found in view.statistics.items()}
    features: dict[str, list[Measures]] = {}
    for episode in view.episodes:
        for key, found in (episode.statistics or {}).items():
            features.setdefault(key, []).append(_arrays(found))
    return {key: merged(parts) for key, parts in features.items()}


def merged(parts: list[Measures]) -> Measures:
    """Episodes together, weighted by their counts; quantiles cannot be merged and are left out."""
    counts = np.asarray([float(part["count"].ravel()[0]) for part in parts])
    weights = counts / counts.sum()
    means = np.stack([part["mean"] for part in parts])
    spread = np.stack([part["std"] for part in parts]) ** 2
    shares = weights.reshape(-1, *[1] * (means.ndim - 1))
    mean = (shares * means).sum(axis=0)
    return {
        "min": np.min([part["min"] for part in parts], axis=0),
        "max": np.max([part["max"] for part in parts], axis=0),
        "mean": mean,
        "std": np.sqrt((shares * (spread + (means - mean) ** 2)).sum(axis=0)),
        "count": np.asarray([counts.sum()]),
    }


def _arrays(found: Mapping[str, Any]) -> Measures:
    return {measure: np.asarray(value, dtype=np.float64) for measure, value in found.items()}
