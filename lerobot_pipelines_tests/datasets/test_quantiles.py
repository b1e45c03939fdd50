from __future__ import annotations

import functools
import json

import hypothesis.strategies as st
import numpy as np
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays

from lerobot_pipelines.datasets.quantiles import Histogram, histogram, merge, pack, unpack

BINS = 64
VALUES = st.floats(-1e6, 1e6, width=32).map(float)
PART = arrays(np.float64, st.integers(1, 30), elements=VALUES)
SHARES = [0.0, 0.01, 0.1, 0.5, 0.9, 0.99, 1.0]


def same(one: Histogram, other: Histogram) -> bool:
    def trimmed(found: Histogram) -> tuple[int, list[int]]:
        used = np.flatnonzero(found.counts)
        return found.first + int(used[0]), found.counts[used[0] : used[-1] + 1].tolist()

    return (one.exponent, one.minimum, one.maximum, trimmed(one)) == (
        other.exponent,
        other.minimum,
        other.maximum,
        trimmed(other),
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(PART, min_size=2, max_size=6), st.randoms())
def test_merging_in_any_order_equals_the_histogram_of_all_data(parts, random) -> None:  # type: ignore[no-untyped-def]
    whole = histogram(np.concatenate(parts), BINS)
    random.shuffle(parts)
    assert same(functools.reduce(merge, (histogram(part, BINS) for part in parts)), whole)


@settings(max_examples=60, deadline=None)
@given(arrays(np.float64, st.integers(1, 200), elements=VALUES))
def test_a_quantile_is_off_by_at_most_one_bin_of_the_range(values) -> None:  # type: ignore[no-untyped-def]
    found = histogram(values, BINS).quantiles(SHARES)
    bound = np.ptp(values) / (BINS / 2 - 1)
    assert np.abs(np.quantile(values, SHARES) - found).max() <= bound + 1e-12


def test_a_constant_is_its_own_quantile() -> None:
    for value in (0.0, 3.25, -1e5, 1e-9):
        assert histogram(np.full(7, value), BINS).quantiles(SHARES) == [value] * len(SHARES)


def test_packing_survives_json() -> None:
    parts = [histogram(np.linspace(-3, top, 50), BINS) for top in (1.0, 7.0)]
    packed = json.loads(json.dumps(pack(parts)))
    found = unpack(packed, np.array([-3.0, -3.0]), np.array([1.0, 7.0]))
    assert all(same(one, other) for one, other in zip(found, parts, strict=True))
