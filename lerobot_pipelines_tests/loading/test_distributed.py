"""Several ranks (gloo) on this machine: equal numbers of batches, every item once, no hang."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from typing import Any

import pytest

from lerobot_pipelines_tests.loading.ranks import run_ranks

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

ROWS = 34
WORLDS = pytest.mark.parametrize("world", [2, 3])


def flat(batches: list[list[int]]) -> list[int]:
    return [one for batch in batches for one in batch]


def assert_shared(by_rank: list[Any], world: int) -> None:
    """Each epoch: the same number of batches on every rank, and every row, the last ones twice."""
    for epochs in zip(*by_rank, strict=True):
        assert len({len(batches) for batches in epochs}) == 1
        drawn = [one for batches in epochs for one in flat(batches)]
        assert set(drawn) == set(range(ROWS))
        assert len(drawn) == math.ceil(ROWS / world) * world
    if len(by_rank[0]) > 1:
        assert by_rank[0][0] != by_rank[0][1]


@WORLDS
def test_ranks_share_every_epoch(root: Path, tmp_path: Path, world: int) -> None:
    answers = run_ranks("plain", world, root, tmp_path)
    for name in ("plain 0", "plain 1", "plain 3", "ours 0", "ours 1", "ours 3", "sampler"):
        assert_shared([answer[name] for answer in answers], world)
    for answer in answers:
        assert answer["ours 0"] == answer["ours 1"] == answer["ours 3"]
        assert answer["length 3"] == len(answer["ours 3"][0])
    dropped = [flat(answer["drop"][0]) for answer in answers]
    assert {len(one) for one in dropped} == {ROWS // world}
    assert len({one for rank in dropped for one in rank}) == ROWS // world * world


@WORLDS
def test_distributed_training_accumulates_validates_and_resumes(
    root: Path, tmp_path: Path, world: int
) -> None:
    answers = run_ranks("training", world, root, tmp_path)
    batches = math.ceil(math.ceil(ROWS / world) / 2)
    for answer in answers:
        assert [count for count, _ in answer["steps"]] == [
            2 * math.ceil(batches / accumulation) for accumulation in (1, 3, 7)
        ]
        assert answer["resumed"] == answer["rest"]


@pytest.mark.skipif(importlib.util.find_spec("accelerate") is None, reason="needs accelerate")
@WORLDS
def test_accelerate_works_as_it_comes(root: Path, tmp_path: Path, world: int) -> None:
    answers = run_ranks("accelerated", world, root, tmp_path)
    for name in answers[0].keys() - {"resumed"}:
        for epochs in zip(*[answer[name] for answer in answers], strict=True):
            assert len({len(batches) for batches in epochs}) == 1, name
            drawn = [one for batches in epochs for one in flat(batches)]
            assert set(drawn) == set(range(ROWS)), name
            # Accelerate fills the last step up with items of the first.
            assert len(drawn) <= ROWS + 4 * world, name
        assert answers[0][name][0] != answers[0][name][1]
    for answer in answers:
        for rest, resumed in answer["resumed"]:
            assert resumed[:-1] == rest[:-1]
            assert len(resumed[-1]) == len(rest[-1])  # the last one is filled up
