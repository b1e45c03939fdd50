from __future__ import annotations

import json

import numpy as np
import pytest

from lerobot_pipelines.datasets.records import VideoRecord
from lerobot_pipelines.datasets.statistics import (
    ALL_KEYS,
    QUANTILES,
    picture_statistics,
    vector_statistics,
)
from lerobot_pipelines.datasets.totals import (
    add_pictures,
    add_vectors,
    picture_total,
    picture_total_statistics,
    vector_total,
    vector_total_statistics,
)
from lerobot_pipelines.errors import Refused


def video(pixels: np.ndarray) -> VideoRecord:
    """``pixels``: uint8 (frames, height, width, 3)."""
    counts = [np.bincount(pixels[..., c].ravel(), minlength=256).tolist() for c in range(3)]
    return VideoRecord(
        key="k",
        bytes=1,
        sha256="",
        frames=len(pixels),
        codec="h264",
        pix_fmt="yuv420p",
        width=1,
        height=1,
        fps=10,
        sampled_frames=len(pixels),
        histogram=counts,
    )


@pytest.mark.parametrize("shape", [(50,), (50, 3), (50, 4, 2)])
def test_vectors_are_described_as_numpy_would_in_float64(shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(1).normal(1000, 1e-3, shape).astype(np.float32)
    found = json.loads(json.dumps(vector_statistics(values)))
    data = values.astype(np.float64)
    expected = {
        "min": data.min(axis=0),
        "max": data.max(axis=0),
        "mean": data.mean(axis=0),
        "std": data.std(axis=0),
    } | {key: np.quantile(data, share, axis=0) for key, share in QUANTILES.items()}
    for key, wanted in expected.items():
        assert np.shape(found[key]) == (shape[1:] or (1,))
        np.testing.assert_allclose(
            found[key], wanted.reshape(np.shape(found[key])), rtol=1e-12, atol=1e-14
        )
    assert found["count"] == [50]


def test_minimum_and_maximum_keep_the_kind_of_the_data() -> None:
    flags = vector_statistics(np.array([[True, False], [True, True]]))
    assert (flags["min"], flags["max"], flags["mean"]) == ([True, False], [True, True], [1.0, 0.5])
    whole = vector_statistics(np.arange(5))
    assert (whole["min"], whole["max"]) == ([0], [4])
    assert type(whole["max"][0]) is int


def test_values_that_are_not_finite_are_told_as_none() -> None:
    found = vector_statistics(np.array([[1.0, np.nan], [2.0, 3.0], [3.0, np.inf]]))
    assert found["mean"] == [2.0, None]
    assert found["std"][1] is None
    assert "histogram" not in found
    json.dumps(found, allow_nan=False)


def test_no_rows_are_refused() -> None:
    with pytest.raises(Refused, match="no rows"):
        vector_statistics(np.zeros((0, 3)))


def test_pictures_are_described_exactly_from_their_histogram() -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (4, 6, 5, 3), dtype=np.uint8)
    found = picture_statistics(video(pixels))
    flat = pixels.reshape(-1, 3).astype(np.float64) / 255
    expected = {
        "min": flat.min(axis=0),
        "max": flat.max(axis=0),
        "mean": flat.mean(axis=0),
        "std": flat.std(axis=0),
    } | {key: np.quantile(flat, share, axis=0) for key, share in QUANTILES.items()}
    assert list(found) == list(ALL_KEYS)
    assert found["count"] == [4]
    for key, wanted in expected.items():
        assert np.shape(found[key]) == (3, 1, 1)
        np.testing.assert_allclose(np.ravel(found[key]), wanted, rtol=1e-12, atol=1e-15)


def test_totals_of_vectors_are_those_of_all_rows_together() -> None:
    random = np.random.default_rng(3)
    episodes = [
        random.normal(offset, 1 + abs(offset), (length, 2)).astype(np.float32)
        for offset, length in ((0, 700), (5, 1), (-3, 90), (100, 1200))
    ]
    total = vector_total(vector_statistics(episodes[0]), "float32")
    for one in episodes[1:]:
        total = add_vectors(total, vector_total(vector_statistics(one), "float32"))
    found = vector_total_statistics(total)
    rows = np.concatenate(episodes).astype(np.float64)
    np.testing.assert_allclose(found["mean"], rows.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(found["std"], rows.std(axis=0), rtol=1e-12)
    assert (found["min"], found["max"]) == (rows.min(axis=0).tolist(), rows.max(axis=0).tolist())
    assert found["count"] == [1991]
    for key, share in QUANTILES.items():
        off = np.abs(np.quantile(rows, share, axis=0) - found[key])
        assert (off <= np.ptp(rows, axis=0) / 2047).all()


def test_totals_of_pictures_are_those_of_all_pixels_together() -> None:
    random = np.random.default_rng(4)
    parts = [
        random.integers(0, top, (n, 4, 4, 3), dtype=np.uint8) for n, top in ((2, 90), (5, 256))
    ]
    found = picture_total_statistics(
        add_pictures(picture_total(video(parts[0])), picture_total(video(parts[1])))
    )
    assert found == picture_statistics(video(np.concatenate(parts)))


def test_flags_stay_flags_in_totals() -> None:
    parts = [np.array([[True], [True]]), np.array([[False], [True]])]
    one, other = (vector_total(vector_statistics(part), "bool") for part in parts)
    found = vector_total_statistics(add_vectors(one, other))
    assert (found["min"], found["max"], found["mean"]) == ([False], [True], [0.75])
