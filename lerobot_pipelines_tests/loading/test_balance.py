from __future__ import annotations

import numpy as np
import pytest

from lerobot_pipelines.errors import ConfigError
from lerobot_pipelines.loading.balance import Balance, compensating, quotas

SIZES = {"large": 900, "small": 100}


@pytest.mark.parametrize(
    ("balance", "shares"),
    [
        (Balance.by_size(), [0.9, 0.1]),
        (Balance.fixed({"large": 1, "small": 3}), [0.25, 0.75]),
        (Balance.by_temperature(1), [0.9, 0.1]),
        (Balance.by_temperature(2), [0.75, 0.25]),
        (Balance.dynamic(), [0.5, 0.5]),
    ],
)
def test_shares_follow_the_rule(balance: Balance, shares: list[float]) -> None:
    np.testing.assert_allclose(balance.targets(SIZES), shares)


def test_draws_of_an_epoch_are_exact() -> None:
    assert quotas(np.asarray([1 / 3, 1 / 3, 1 / 3]), 10).tolist() == [4, 3, 3]
    assert quotas(Balance.by_size().targets(SIZES), 1000).tolist() == [900, 100]


def test_what_was_drawn_too_little_is_made_up_for() -> None:
    targets = np.asarray([0.5, 0.5])
    assert compensating(targets, [90, 10], 100).tolist() == [0.1, 0.9]
    assert compensating(targets, [500, 0], 100).tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    "weights", [{"large": 1.0}, {"large": 1, "small": -1}, {"large": 1, "other": 1}]
)
def test_weights_that_make_no_sense_are_refused(weights: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        Balance.fixed(weights).targets(SIZES)
