"""Statistics in the metadata against what the rows measure.

Policies normalise by them: a standard deviation of 0 or one that belongs to other data trains
without an error, and badly.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.datasets.verify.moments import Moments
from lerobot_pipelines.datasets.verify.report import Findings
from lerobot_pipelines.datasets.verify.rows import Measured
from lerobot_pipelines.datasets.verify.view import DatasetView, Feature

MEASURES = ("min", "max", "mean", "std")
# Statistics are stored from float32 rows; another summation order moves the last digits.
RELATIVE = 1e-4
ABSOLUTE = 1e-5
CAMERA_SHAPE = (3, 1, 1)
DEPTH_SHAPE = (1, 1, 1)

Statistics = Mapping[str, Mapping[str, Any]]


def check_statistics(view: DatasetView, measured: Measured, findings: Findings) -> None:
    for episode in view.episodes:
        if episode.statistics is not None:
            where = f"statistics of episode {episode.index}"
            _check(view, where, episode.statistics, measured.get(episode.index, {}), findings)
    if view.statistics is not None:
        _check(view, "meta/stats.json", view.statistics, _over_all(measured), findings)


def _over_all(measured: Measured) -> dict[str, Moments]:
    total: dict[str, Moments] = {}
    for episode in measured.values():
        for key, moments in episode.items():
            total[key] = moments.merged(total.get(key))
    return total


def _check(
    view: DatasetView,
    where: str,
    statistics: Statistics,
    measured: Mapping[str, Moments],
    findings: Findings,
) -> None:
    for key, feature in view.info.features.items():
        if feature.dtype == "string":
            continue
        stated = statistics.get(key)
        if stated is None:
            findings.error("missing_statistics", where, f"nothing on {key}")
            continue
        try:
            values = {name: np.asarray(stated[name], np.float64) for name in MEASURES}
            count = int(np.asarray(stated["count"]).reshape(-1)[0])
        except (KeyError, TypeError, ValueError, IndexError) as error:
            findings.error("bad_statistics", where, f"{key}: {error!r}")
            continue
        if not all(np.isfinite(value).all() for value in values.values()):
            findings.error("bad_statistics", where, f"{key} is not finite")
        elif feature.dtype in ("video", "image"):
            _check_camera(key, feature, values, count, where, findings)
        else:
            _check_vector(key, feature, values, where, measured.get(key), findings)
            if key in measured and count != measured[key].count:
                findings.error(
                    "bad_statistics",
                    where,
                    f"{key}: count is {count}, there are {measured[key].count} rows",
                )


def _check_camera(
    key: str,
    feature: Feature,
    values: Mapping[str, NDArray[np.float64]],
    count: int,
    where: str,
    findings: Findings,
) -> None:
    wanted = DEPTH_SHAPE if feature.is_depth else CAMERA_SHAPE
    if any(value.shape != wanted for value in values.values()):
        shapes = {name: value.shape for name, value in values.items()}
        findings.error("bad_statistics", where, f"{key}: shapes {shapes}, must be {wanted}")
        return
    # Depth is told in the camera's unit, without an upper end.
    if (values["min"] < 0).any() or (not feature.is_depth and (values["max"] > 1).any()):
        findings.error("bad_statistics", where, f"{key}: pictures range from 0 to 1")
    if (values["std"] <= 0).any():
        findings.warning("zero_deviation", where, f"{key}: the pictures do not vary at all")
    if count < 1:
        findings.error("bad_statistics", where, f"{key}: no picture was sampled")


def _check_vector(
    key: str,
    feature: Feature,
    values: Mapping[str, NDArray[np.float64]],
    where: str,
    measured: Moments | None,
    findings: Findings,
) -> None:
    size = int(np.prod(feature.shape))
    if any(value.size != size for value in values.values()):
        findings.error("bad_statistics", where, f"{key}: not one value for each of {size} elements")
        return
    if measured is None:
        return
    truth = {
        "min": measured.minimum,
        "max": measured.maximum,
        "mean": measured.mean,
        "std": measured.std,
    }
    for name, expected in truth.items():
        stated = values[name].reshape(-1)
        if not np.allclose(stated, expected.reshape(-1), rtol=RELATIVE, atol=ABSOLUTE):
            worst = int(np.argmax(np.abs(stated - expected.reshape(-1))))
            findings.error(
                "bad_statistics",
                where,
                f"{key}: {name} of element {worst} is {stated[worst]:.6g}, "
                f"the rows have {expected.reshape(-1)[worst]:.6g}",
            )
