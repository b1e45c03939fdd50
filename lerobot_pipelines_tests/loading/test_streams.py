from __future__ import annotations

import copy
import json
import multiprocessing
import os
import signal
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

from lerobot_pipelines.config.schema import Format
from lerobot_pipelines.errors import ConfigError
from lerobot_pipelines.loading import (
    Balance,
    KeyConfig,
    LoadingConfig,
    StreamDataset,
    make_chunk_dataset,
    make_interleave_dataset,
    make_loader,
)
from lerobot_pipelines.loading.balance import BalanceReport
from lerobot_pipelines_tests.datasets.episodes import CAMERA, brightness
from lerobot_pipelines_tests.loading.conftest import toy_dataset

NUMBERS = LoadingConfig(keys={"action": KeyConfig(horizon=2)})


@pytest.fixture
def other(tmp_path: Path) -> Path:
    return toy_dataset(tmp_path / "other", Format.V21, seed=20)


def indices(loader: DataLoader[dict[str, torch.Tensor]]) -> list[list[int]]:
    return [
        [int(d) * 1000 + int(i) for d, i in zip(b["dataset_index"], b["index"], strict=True)]
        for b in loader
    ]


def flat(batches: list[list[int]]) -> list[int]:
    return [one for batch in batches for one in batch]


def both(root: Path, other: Path, **settings: object) -> StreamDataset:
    places = {"one": root, "two": other}
    return make_interleave_dataset(places, NUMBERS, seed=5, **settings)  # type: ignore[arg-type]


EVERY_ITEM = [*range(34), *range(1000, 1034)]


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize(("workers", "persistent"), [(0, False), (1, True), (3, False), (3, True)])
@pytest.mark.parametrize("shuffle", ["full", "local"])
def test_a_plain_loader_gives_every_item_once_an_epoch_in_a_new_order(
    root: Path, other: Path, workers: int, persistent: bool, shuffle: str
) -> None:
    dataset = both(root, other, shuffle=shuffle)
    loader = DataLoader(dataset, batch_size=4, num_workers=workers, persistent_workers=persistent)
    epochs = [flat(indices(loader)) for _ in range(3)]
    assert [sorted(epoch) for epoch in epochs] == [EVERY_ITEM] * 3
    assert epochs[0] != epochs[1] != epochs[2]
    again = DataLoader(both(root, other, shuffle=shuffle), batch_size=4, num_workers=workers)
    assert [flat(indices(again)) for _ in range(2)] == epochs[:2]


def test_batches_of_our_loader_do_not_depend_on_workers(root: Path, other: Path) -> None:
    alone = make_loader(both(root, other), 5)
    shared = make_loader(both(root, other), 5, num_workers=2)
    assert indices(alone) == indices(shared)
    assert len(alone) == len(shared) == 14


@pytest.mark.parametrize("shuffle", ["full", "local"])
@pytest.mark.parametrize(("workers", "persistent"), [(0, False), (2, True)])
def test_training_resumes_within_an_epoch(
    root: Path, other: Path, shuffle: str, workers: int, persistent: bool
) -> None:
    def new() -> object:
        return make_loader(
            both(root, other, shuffle=shuffle), 5, num_workers=workers,
            persistent_workers=persistent,
        )  # fmt: skip

    loader = new()
    indices(loader)  # type: ignore[arg-type]
    taken, state = [], {}
    for number, batch in enumerate(loader):  # type: ignore[arg-type, var-annotated]
        taken.append(batch["index"].tolist())
        if number == 3:
            state = loader.state_dict()  # type: ignore[attr-defined]
    after = indices(loader)  # type: ignore[arg-type]
    resumed = new()
    resumed.load_state_dict(state)  # type: ignore[attr-defined]
    rest = []
    for number, batch in enumerate(resumed):  # type: ignore[arg-type, var-annotated]
        rest.append(batch["index"].tolist())
        if number == 1:
            state = resumed.state_dict()  # type: ignore[attr-defined]
    assert rest == taken[4:]
    assert indices(resumed) == after  # type: ignore[arg-type]
    twice = new()
    twice.load_state_dict(state)  # type: ignore[attr-defined]
    assert [batch["index"].tolist() for batch in twice] == taken[6:]  # type: ignore[attr-defined]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_of_ones_own_is_resumed_by_what_it_says_was_taken(
    root: Path, other: Path, workers: int
) -> None:
    def new() -> DataLoader[dict[str, torch.Tensor]]:
        return DataLoader(both(root, other), batch_size=5, num_workers=workers)

    loader = new()
    dataset: StreamDataset = loader.dataset  # type: ignore[assignment]
    indices(loader)
    epoch: list[list[int]] = []
    state: dict[str, object] = {}
    for number, batch in enumerate(loader):
        epoch.append(batch["index"].tolist())
        if number == 3:
            state = dataset.state_dict(loader, 4)
    again = new()
    again.dataset.load_state_dict(json.loads(json.dumps(state)))  # type: ignore[attr-defined]
    assert flat([batch["index"].tolist() for batch in again]) == flat(epoch[4:])
    assert indices(again) == indices(loader)


def test_a_resume_with_other_batches_and_workers_gives_what_is_left(
    root: Path, other: Path
) -> None:
    loader = make_loader(both(root, other, shuffle="local"), 5, num_workers=2)
    taken: list[int] = []
    state = {}
    for number, batch in enumerate(loader):
        if number == 4:
            break
        for dataset, index in zip(batch["dataset_index"], batch["index"], strict=True):
            taken.append(int(dataset) * 1000 + int(index))
        state = loader.state_dict()
    resumed = make_loader(both(root, other, shuffle="local"), 3)
    resumed.load_state_dict(state)
    assert sorted([*taken, *flat(indices(resumed))]) == EVERY_ITEM


def test_a_state_at_the_end_of_an_epoch_is_the_next_ones_beginning(root: Path) -> None:
    def loader() -> object:
        return make_loader(make_chunk_dataset(root, NUMBERS), 4, seed=9)

    first = loader()
    indices(first)  # type: ignore[arg-type]
    state = first.state_dict()  # type: ignore[attr-defined]
    second = loader()
    second.load_state_dict(state)  # type: ignore[attr-defined]
    assert indices(second) == indices(first)  # type: ignore[arg-type]


def test_weights_are_kept_exactly(root: Path, other: Path) -> None:
    weights = Balance.fixed({"one": 3, "two": 1})
    dataset = both(root, other, balance=weights, epoch_items=40)
    drawn = [flat(indices(make_loader(dataset, 8))) for _ in range(3)]
    for epoch in drawn:
        assert (sum(one < 1000 for one in epoch), len(epoch)) == (30, 40)
    assert dataset.report().drawn == {"one": 90, "two": 30}
    twos = [one for epoch in drawn for one in epoch if one >= 1000]
    assert len(set(twos)) == 30  # 34 items: none again before all were drawn


def test_a_callback_sets_the_weights_of_the_next_epoch(root: Path, other: Path) -> None:
    def by_loss(report: BalanceReport) -> dict[str, float]:
        assert report.sizes == {"one": 34, "two": 34}
        return dict(report.recorded)

    dataset = both(root, other, balance=Balance.dynamic(callback=by_loss), epoch_items=40)
    loader = make_loader(dataset, 8, num_workers=1)
    shares = []
    for loss in (1.0, 9.0, 0.0):
        epoch = flat(indices(loader))
        shares.append(sum(one >= 1000 for one in epoch))
        dataset.record({"one": 1.0, "two": loss})
    assert shares == [20, 20, 36]


def test_dynamic_weights_make_up_for_an_interrupted_past(root: Path, other: Path) -> None:
    dataset = both(root, other, balance=Balance.dynamic(), epoch_items=20)
    flat(indices(make_loader(dataset, 4)))
    dataset._book.set_weights([1.0, 0.0])
    assert max(flat(indices(make_loader(dataset, 4)))) < 1000
    fresh = both(root, other, balance=Balance.dynamic(), epoch_items=20)
    # 20 more of the first than of the second:
    fresh.load_state_dict(dataset.state_of(dataset.upcoming()))
    indices(make_loader(fresh, 4))
    indices(make_loader(fresh, 4))
    drawn = fresh.report().drawn
    assert abs(drawn["one"] - drawn["two"]) <= 1 or drawn["two"] > 10


def test_local_shuffle_shows_the_right_pictures_and_decodes_each_once(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lerobot_pipelines.loading import frames

    decoded: list[int] = []
    advance = frames._Video._advance

    def counting(self: frames._Video, target: int) -> object:
        for number, frame in advance(self, target):
            decoded.append(number)
            yield number, frame

    monkeypatch.setattr(frames._Video, "_advance", counting)
    dataset = make_interleave_dataset([root], shuffle="local", seed=1)
    seen = 0
    for batch in make_loader(dataset, 6):
        for position, picture in enumerate(batch[CAMERA]):
            episode, frame = (
                int(batch["episode_index"][position]),
                int(batch["frame_index"][position]),
            )
            assert abs(float(picture.mean()) * 255 - brightness(episode, frame)) < 3
            seen += 1
    assert seen == 34
    assert sorted(set(decoded)) == list(range(34))
    assert len(decoded) < 34 + 3 * 5  # but for what lies between a key frame and a run


def test_a_copy_counts_its_own_epochs(root: Path) -> None:
    dataset = make_interleave_dataset([root], NUMBERS)
    copied = copy.deepcopy(dataset)
    assert indices(make_loader(dataset, 4)) == indices(make_loader(copied, 4))


def test_validation_between_epochs_disturbs_nothing(root: Path, other: Path) -> None:
    plain = make_loader(both(root, other), 4, num_workers=1, persistent_workers=True)
    expected = [indices(plain) for _ in range(2)]
    loader = make_loader(both(root, other), 4, num_workers=1, persistent_workers=True)
    check = make_loader(make_interleave_dataset([other], NUMBERS, shuffle="none"), 4, num_workers=1)
    for epoch in expected:
        assert indices(loader) == epoch
        assert flat(indices(check)) == list(range(34))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("persistent", [False, True])
def test_a_worker_that_dies_is_reported(root: Path, persistent: bool) -> None:
    loader = make_loader(
        make_interleave_dataset([root]), 4, num_workers=2, persistent_workers=persistent
    )
    batches = iter(loader)
    next(batches)
    victim = multiprocessing.active_children()[0].pid
    assert victim is not None
    os.kill(victim, signal.SIGKILL)
    with pytest.raises(RuntimeError, match=rf"worker .*{victim}"):
        for _ in batches:
            pass


def test_a_worker_that_dies_as_it_starts_is_reported(root: Path) -> None:
    dataset = make_interleave_dataset([root], NUMBERS)
    loader = make_loader(dataset, 4, num_workers=1, worker_init_fn=die)
    with pytest.raises(RuntimeError, match="worker"):
        indices(loader)


def test_a_file_that_breaks_during_training_is_named(root: Path) -> None:
    dataset = make_interleave_dataset([root])
    video = next(root.glob(f"videos/{CAMERA}/*/*.mp4"))
    video.write_bytes(b"rubbish")
    for workers in (0, 1):
        with pytest.raises(Exception, match=video.name):
            list(make_loader(dataset, 4, num_workers=workers))


def test_workers_may_be_spawned(root: Path, other: Path) -> None:
    forked = make_loader(both(root, other), 6, num_workers=1)
    spawned = make_loader(both(root, other), 6, num_workers=1, multiprocessing_context="spawn")
    assert indices(spawned) == indices(forked)


def test_nothing_to_stream_is_refused() -> None:
    with pytest.raises(ConfigError, match="no dataset"):
        make_interleave_dataset([])


def die(worker: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
