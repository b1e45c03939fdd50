"""Statistics of an episode's vectors and pictures, computed in float64 from the data.

LeRobot's keys: ``min``, ``max``, ``mean``, ``std`` (population), ``count`` and the quantiles
``q01`` ... ``q99``. Vectors keep their full shape, also action chunks; pictures have shape
(3, 1, 1) on the 0-1 scale, depth (1, 1, 1) in the camera's unit. Next to LeRobot's keys a vector
carries ``histogram``, from which the dataset's own quantiles are taken (see ``quantiles``); the
writers leave it out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.datasets.quantiles import bins_for, histogram, pack
from lerobot_pipelines.datasets.records import VideoRecord
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.model import DepthCoding
from lerobot_pipelines.video.depth import distances

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
BASIC_KEYS = ("min", "max", "mean", "std", "count")
ALL_KEYS = (*BASIC_KEYS, *QUANTILES)

_PIXEL_SCALE = 255.0


def vector_statistics(values: NDArray[Any]) -> dict[str, Any]:
    """Over the first axis of a (n, ...) array, JSON-able; a (n,) array counts as (n, 1).

    ``min`` and ``max`` keep the kind of the data (int, bool, float). Elements that hold NaN or
    infinity have None in place of what that spoils, and no histogram is taken; such an episode
    cannot enter a dataset. Raises ``Refused`` (too_few_frames) if there are no rows.
    """
    if len(values) == 0:
        raise Refused(Reason.TOO_FEW_FRAMES, "there are no rows to take statistics of")
    rows = values.reshape(len(values), -1)
    shape = values.shape[1:] or (1,)
    data = rows.astype(np.float64)
    finite = bool(np.isfinite(data).all())

    def shaped(per_element: NDArray[Any]) -> Any:
        if not finite:
            per_element = per_element.astype(object)
            per_element[~np.isfinite(per_element.astype(np.float64))] = None
        return per_element.reshape(shape).tolist()

    with np.errstate(invalid="ignore"):
        mean = data.mean(axis=0)
        result = {
            "min": shaped(rows.min(axis=0)),
            "max": shaped(rows.max(axis=0)),
            "mean": shaped(mean),
            "std": shaped(np.sqrt(np.square(data - mean).mean(axis=0))),
            "count": [len(rows)],
        }
        quantiles = np.quantile(data, list(QUANTILES.values()), axis=0)
    result |= {key: shaped(row) for key, row in zip(QUANTILES, quantiles, strict=True)}
    if finite:
        bins = bins_for(rows.shape[1])
        result["histogram"] = pack([histogram(column, bins) for column in data.T])
    return result


def picture_statistics(video: VideoRecord) -> dict[str, Any]:
    """Of the sampled pictures of one video, exact from their histogram."""
    counts = np.asarray(video.histogram, dtype=np.int64)
    return histogram_statistics(counts, video.sampled_frames, video.depth)


def histogram_statistics(
    counts: NDArray[np.int64], frames: int, depth: DepthCoding | None
) -> dict[str, Any]:
    """From counts of pixel values or depth codes, (channels, levels); ``count`` is the number of
    pictures."""
    levels = np.arange(counts.shape[1], dtype=np.float64)
    values, scale = (levels, _PIXEL_SCALE) if depth is None else (distances(levels, depth), 1.0)
    channels = [_channel_statistics(channel, values) for channel in counts]
    result: dict[str, Any] = {
        key: [[[channel[key] / scale]] for channel in channels]
        for key in ALL_KEYS
        if key != "count"
    }
    result["count"] = [frames]
    return {key: result[key] for key in ALL_KEYS}


def written(statistics: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    """Only LeRobot's keys, in its order."""
    return {key: statistics[key] for key in keys}


def _channel_statistics(counts: NDArray[np.int64], values: NDArray[np.float64]) -> dict[str, float]:
    """``values`` are what each level stands for, increasing."""
    present = values[np.flatnonzero(counts)]
    total = int(counts.sum())
    mean = float(counts @ values) / total
    variance = float(counts @ np.square(values - mean)) / total
    result = {
        "min": float(present[0]),
        "max": float(present[-1]),
        "mean": mean,
        "std": float(np.sqrt(variance)),
    }
    ends = np.cumsum(counts)
    for key, share in QUANTILES.items():
        position = share * (total - 1)
        low = int(np.floor(position))
        ranks = [low, min(low + 1, total - 1)]
        below, above = values[np.searchsorted(ends, ranks, side="right")]
        result[key] = float(below + (above - below) * (position - low))
    return result
