"""Statistics of a whole dataset, carried along so that an append reads none of the old rows.

Totals are folded episode by episode in the dataset's order: a fold continued from a stored state
gives the same bytes as one over all episodes. Moments merge by the parallel formula, histograms of
vectors and of pixel values by addition.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from lerobot_pipelines.datasets.quantiles import merge, pack, unpack
from lerobot_pipelines.datasets.records import VideoRecord
from lerobot_pipelines.datasets.statistics import ALL_KEYS, QUANTILES, histogram_statistics
from lerobot_pipelines.model import DepthCoding


class VectorTotal(BaseModel):
    """``minimum`` ... ``squares`` are flat, one value per element; ``squares`` is the sum of
    squared differences from the mean."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shape: tuple[int, ...]
    dtype: str
    count: int
    minimum: list[float]
    maximum: list[float]
    mean: list[float]
    squares: list[float]
    histogram: dict[str, Any]


class PictureTotal(BaseModel):
    """Counts of pixel values or depth codes, (channels, levels), over ``frames`` pictures."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    frames: int
    histogram: list[list[int]]
    depth: DepthCoding | None = None


def vector_total(statistics: dict[str, Any], dtype: str) -> VectorTotal:
    """The total of one episode, from ``statistics.vector_statistics``."""
    count = int(statistics["count"][0])
    mean = np.asarray(statistics["mean"], dtype=np.float64)
    std = _flat(statistics["std"])
    return VectorTotal(
        shape=mean.shape,
        dtype=dtype,
        count=count,
        minimum=_flat(statistics["min"]).tolist(),
        maximum=_flat(statistics["max"]).tolist(),
        mean=mean.ravel().tolist(),
        squares=(np.square(std) * count).tolist(),
        histogram=statistics["histogram"],
    )


def add_vectors(one: VectorTotal, other: VectorTotal) -> VectorTotal:
    count = one.count + other.count
    mean, other_mean = np.asarray(one.mean), np.asarray(other.mean)
    apart = other_mean - mean
    squares = np.asarray(one.squares) + np.asarray(other.squares)
    squares += np.square(apart) * (one.count * other.count / count)
    return VectorTotal(
        shape=one.shape,
        dtype=one.dtype,
        count=count,
        minimum=np.minimum(one.minimum, other.minimum).tolist(),
        maximum=np.maximum(one.maximum, other.maximum).tolist(),
        mean=(mean + apart * (other.count / count)).tolist(),
        squares=squares.tolist(),
        histogram=pack(
            [merge(a, b) for a, b in zip(_histograms(one), _histograms(other), strict=True)]
        ),
    )


def vector_total_statistics(total: VectorTotal) -> dict[str, Any]:
    """LeRobot's keys of all episodes together; quantiles within the bound of ``quantiles``."""
    kind = np.dtype(total.dtype).kind

    def shaped(values: Any) -> Any:
        return np.asarray(values).reshape(total.shape).tolist()

    def of_kind(values: list[float]) -> Any:
        whole = {"b": bool, "i": np.int64, "u": np.int64}.get(kind)
        return shaped(np.asarray(values).astype(whole) if whole else values)

    result = {
        "min": of_kind(total.minimum),
        "max": of_kind(total.maximum),
        "mean": shaped(total.mean),
        "std": shaped(np.sqrt(np.asarray(total.squares) / total.count)),
        "count": [total.count],
    }
    rows = [one.quantiles(list(QUANTILES.values())) for one in _histograms(total)]
    for key, values in zip(QUANTILES, np.asarray(rows).T, strict=True):
        result[key] = shaped(values)
    return {key: result[key] for key in ALL_KEYS}


def picture_total(video: VideoRecord) -> PictureTotal:
    return PictureTotal(frames=video.sampled_frames, histogram=video.histogram, depth=video.depth)


def add_pictures(one: PictureTotal, other: PictureTotal) -> PictureTotal:
    counts = np.asarray(one.histogram) + np.asarray(other.histogram)
    return one.model_copy(
        update={"frames": one.frames + other.frames, "histogram": counts.tolist()}
    )


def picture_total_statistics(total: PictureTotal) -> dict[str, Any]:
    counts = np.asarray(total.histogram, dtype=np.int64)
    return histogram_statistics(counts, total.frames, total.depth)


def _flat(values: Any) -> NDArray[np.float64]:
    return np.asarray(values, dtype=np.float64).ravel()


def _histograms(total: VectorTotal) -> list[Any]:
    return unpack(total.histogram, np.asarray(total.minimum), np.asarray(total.maximum))
