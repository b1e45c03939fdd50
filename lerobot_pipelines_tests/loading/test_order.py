from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lerobot_pipelines.loading.order import (
    Draws,
    Items,
    Layout,
    draw,
    rank_sequence,
    runs_of,
    worker_stream,
)

STARTS = np.asarray([0, 17, 40, 47])
ITEMS = Items(np.arange(47), runs_of(np.arange(47), STARTS, 8))
LAYOUT = Layout(world=1, batch=4, workers=1, ends="pad", mixed_runs=0, seed=(3, 0))


def one_epoch(shuffle: str, epoch: int = 0) -> Draws:
    return draw([ITEMS], [47], [47 * epoch], 3, shuffle)  # type: ignore[arg-type]


def test_runs_stay_within_episodes_and_under_their_length() -> None:
    assert np.bincount(ITEMS.runs).tolist() == [8, 8, 1, 8, 8, 7, 7]


@pytest.mark.parametrize("shuffle", ["full", "local", "none"])
def test_an_epoch_draws_every_item_once(shuffle: str) -> None:
    assert sorted(one_epoch(shuffle).item) == list(range(47))


@pytest.mark.parametrize("shuffle", ["full", "local"])
def test_epochs_differ_and_seeds_repeat(shuffle: str) -> None:
    assert one_epoch(shuffle).item.tolist() == one_epoch(shuffle).item.tolist()
    assert one_epoch(shuffle, 1).item.tolist() != one_epoch(shuffle).item.tolist()


@pytest.mark.parametrize("world", [1, 2, 3, 5])
@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("mixed_runs", [0, 3])
@pytest.mark.parametrize("ends", ["pad", "drop"])
def test_ranks_share_an_epoch_equally(world: int, workers: int, mixed_runs: int, ends: str) -> None:
    draws = one_epoch("local" if mixed_runs else "full")
    layout = replace(
        LAYOUT,
        world=world,
        workers=workers,
        mixed_runs=mixed_runs,
        ends=ends,  # type: ignore[arg-type]
    )
    sequences = [rank_sequence(draws, np.arange(47), layout, rank) for rank in range(world)]
    share = 47 // world if ends == "drop" else -(-47 // world)
    assert {len(sequence) for sequence in sequences} == {share}
    drawn = np.concatenate(sequences)
    assert len(np.unique(drawn)) == min(47, share * world)
    streams = [worker_stream(sequences[0], layout, worker) for worker in range(workers)]
    assert sorted(np.concatenate(streams)) == sorted(sequences[0])
    assert max(len(stream) for stream in streams) - min(len(s) for s in streams) <= layout.batch


def test_local_shuffle_mixes_few_runs_at_any_time() -> None:
    items = Items(np.arange(800), runs_of(np.arange(800), np.asarray([0, 800]), 8))
    draws = draw([items], [800], [0], 1, "local")
    layout = replace(LAYOUT, mixed_runs=5)
    runs = draws.run[rank_sequence(draws, np.arange(800), layout, 0)]
    first = {run: int(np.flatnonzero(runs == run)[0]) for run in np.unique(runs)}
    last = {run: int(np.flatnonzero(runs == run)[-1]) for run in np.unique(runs)}
    open_at = [sum(first[run] <= at <= last[run] for run in first) for at in range(800)]
    assert max(open_at) <= 7
    assert np.mean(np.diff(runs) != 0) > 0.5


def test_weighted_draws_go_through_a_dataset_before_repeating() -> None:
    small = Items(np.arange(5), np.zeros(5, dtype=np.int64))
    epochs = [draw([small, ITEMS], [8, 10], [8 * e, 10 * e], 7, "full") for e in range(5)]
    taken = np.concatenate([one.item[one.source == 0] for one in epochs])
    assert np.bincount(taken).tolist() == [8] * 5
    large = np.concatenate([one.item[one.source == 1] for one in epochs])
    assert np.bincount(large, minlength=47).max() <= 2
    assert (np.bincount(large, minlength=47) >= 1).all()
