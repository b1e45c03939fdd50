"""Workers use the memory of their batches again, and never while somebody still has a batch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lerobot_pipelines.loading import (
    KeyConfig,
    LoadingConfig,
    lending,
    make_interleave_dataset,
    make_loader,
)
from lerobot_pipelines.loading.loader import Loader
from lerobot_pipelines_tests.datasets.episodes import CAMERA

WHOLE = LoadingConfig(keys={CAMERA: KeyConfig(dtype="uint8"), "plain": KeyConfig(source=CAMERA)})


def loader(root: Path, workers: int, **settings: object) -> Loader:
    dataset = make_interleave_dataset([root], WHOLE, seed=3)
    return make_loader(dataset, 2, num_workers=workers, **settings)


def pictures(batch: dict[str, torch.Tensor]) -> torch.Tensor:
    assert (batch[CAMERA].dtype, batch["plain"].dtype) == (torch.uint8, torch.float32)
    torch.testing.assert_close(batch["plain"] * 255, batch[CAMERA].float())
    return batch["plain"]


def test_batches_that_are_kept_stay_as_they_are(root: Path) -> None:
    wanted = [pictures(batch).clone() for batch in loader(root, 0)]
    kept = [pictures(batch) for batch in loader(root, 1)]
    parts = [pictures(batch)[1, 2] for batch in loader(root, 1)]  # of a tensor that is gone
    for have, part, want in zip(kept, parts, wanted, strict=True):
        assert torch.equal(have, want)
        assert torch.equal(part, want[1, 2])


@pytest.mark.parametrize("persistent", [False, True])
def test_memory_is_lent_again_and_that_of_past_workers_is_given_up(
    root: Path, persistent: bool
) -> None:
    batches = loader(root, 1, persistent_workers=persistent)
    mapped = []
    for _ in range(3):
        for batch in batches:
            pictures(batch)
            del batch
            mapped.append(len(lending._MAPPED))
    # Of 17 batches an epoch a few are prefetched, two tensors each; and those of workers before.
    assert max(mapped) <= 2 * 2 * 6


def test_who_keeps_too_much_gets_memory_of_its_own(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lending, "MOST_LOANS", 3)
    wanted = [pictures(batch).clone() for batch in loader(root, 0)]
    kept = [pictures(batch) for batch in loader(root, 1)]
    assert len(lending._MAPPED) <= 3
    assert all(torch.equal(*pair) for pair in zip(kept, wanted, strict=True))


def test_spawned_workers_lend_too(root: Path) -> None:
    wanted = [pictures(batch).clone() for batch in loader(root, 0)]
    spawned = loader(root, 1, multiprocessing_context="spawn")
    assert all(
        torch.equal(pictures(have), want) for have, want in zip(spawned, wanted, strict=True)
    )
    assert lending._MAPPED
