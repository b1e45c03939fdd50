"""The state of one stream is never taken for the state of another."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch.utils.data

from lerobot_pipelines.errors import ConfigError
from lerobot_pipelines.loading import make_chunk_dataset, make_interleave_dataset, make_loader
from lerobot_pipelines.loading.loader import Loader
from lerobot_pipelines_tests.loading.conftest import toy_dataset


def loader(root: Path, *, seed: int = 1, **how: Any) -> Loader:
    shuffle = how.pop("shuffle", True)
    return make_loader(make_chunk_dataset(root, **how), 4, seed=seed, shuffle=shuffle)


def seen(batches: Any, count: int | None = None) -> list[int]:
    found: list[int] = []
    for number, batch in enumerate(batches):
        found += batch["index"].tolist()
        if count is not None and number + 1 == count:
            break
    return found


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (lambda root: loader(root), "had 23 items and has 34"),  # the dataset grew
        (lambda root: loader(root, episodes=[0]), "had 23 items and has 9"),
        (lambda root: loader(root, episodes=[1, 2]), "items"),
        (lambda root: loader(root, episodes=[0, 1], seed=2), "seed was 1 and is 2"),
        (lambda root: loader(root, episodes=[0, 1], shuffle=False), "shuffle was 'full'"),
        (
            lambda root: loader(toy_dataset(root.parent / "b", seed=9), episodes=[0, 1]),
            "has other content",
        ),
        (
            lambda root: make_loader(make_interleave_dataset({"a": root, "b": root}, seed=1), 4),
            "1 datasets, not 2",
        ),
    ],
)
def test_the_state_of_another_stream_is_refused(
    root: Path, other: Callable[[Path], Loader], told: str
) -> None:
    interrupted = loader(root, episodes=[0, 1])
    seen(interrupted, 3)
    state = json.loads(json.dumps(interrupted.state_dict()))
    with pytest.raises(ConfigError, match=told):
        other(root).load_state_dict(state)


def test_a_dataset_that_was_moved_resumes_with_other_workers_and_batches(root: Path) -> None:
    interrupted = loader(root, episodes=[0, 1])
    before = seen(iter(interrupted), 3)
    state = json.loads(json.dumps(interrupted.state_dict()))
    moved = root.rename(root.parent / "moved")
    resumed = make_loader(make_chunk_dataset(moved, episodes=[0, 1]), 5, num_workers=2, seed=1)
    resumed.load_state_dict(state)
    assert sorted(before + seen(resumed)) == list(range(23))


def test_a_state_that_does_not_say_of_what_it_is_is_refused(root: Path) -> None:
    old = loader(root).state_dict()
    old["version"] = 1
    del old["stream"]
    with pytest.raises(ConfigError, match="start_at"):
        loader(root).load_state_dict(old)


def test_parts_of_a_dataset_go_into_a_loader(root: Path) -> None:
    dataset = make_chunk_dataset(root)
    some = torch.utils.data.Subset(dataset, [30, 3, 17])
    assert seen(make_loader(some, 2, shuffle=False)) == [30, 3, 17]
    nested = torch.utils.data.Subset(some, [2, 0])
    assert seen(make_loader(nested, 8, shuffle=False)) == [17, 30]
    one, two = torch.utils.data.random_split(dataset, [0.8, 0.2])
    assert sorted(seen(make_loader(one, 4)) + seen(make_loader(two, 4))) == list(range(34))


def test_other_datasets_are_refused_with_a_remedy(root: Path) -> None:
    dataset = make_chunk_dataset(root)
    both = torch.utils.data.ConcatDataset([dataset, dataset])
    with pytest.raises(ConfigError, match="make_interleave_dataset"):
        make_loader(both, 4)  # type: ignore[arg-type]
    stream = make_interleave_dataset({"a": root})
    with pytest.raises(ConfigError, match="a stream has no parts"):
        make_loader(torch.utils.data.Subset(stream, [0]), 4)
