"""What each rank of a distributed test runs; started in processes of their own."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader

from lerobot_pipelines.loading import (
    EpochSampler,
    KeyConfig,
    LoadingConfig,
    make_chunk_dataset,
    make_interleave_dataset,
    make_loader,
)

NUMBERS = LoadingConfig(keys={"action": KeyConfig(horizon=2)})
LIMIT_S = 150


def run_ranks(function: str, world: int, root: Path, folder: Path) -> list[dict[str, Any]]:
    """Run a function of this module on every rank; the answers by rank. A hang is a failure."""
    spawning = multiprocessing.get_context("spawn")
    processes = [
        spawning.Process(target=_rank, args=(function, rank, world, root, folder), daemon=False)
        for rank in range(world)
    ]
    for process in processes:
        process.start()
    deadline = time.monotonic() + LIMIT_S
    try:
        for process in processes:
            process.join(max(0.0, deadline - time.monotonic()))
        hung = [number for number, process in enumerate(processes) if process.is_alive()]
    finally:
        for process in processes:
            process.kill()
    assert not hung, f"ranks {hung} of {world} did not end"
    assert [process.exitcode for process in processes] == [0] * world
    return [json.loads((folder / f"{function}-{rank}.json").read_text()) for rank in range(world)]


def _rank(function: str, rank: int, world: int, root: Path, folder: Path) -> None:
    import torch

    warnings.filterwarnings("ignore", message="This DataLoader will create")
    torch.set_num_threads(1)
    # This process was spawned, and would spawn its workers too: a second apiece.
    multiprocessing.set_start_method("fork", force=True)
    os.environ.update(
        RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(world), ACCELERATE_USE_CPU="true",
        MASTER_ADDR="127.0.0.1",
    )  # fmt: skip
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/{function}.store", rank=rank, world_size=world
    )
    answer = getattr(sys.modules[__name__], function)(root, world)
    (folder / f"{function}-{rank}.json").write_text(json.dumps(answer))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


def plain(root: Path, world: int) -> dict[str, Any]:
    """Epochs of plain and of our loaders, with 0, 1 and 3 workers."""
    answer: dict[str, Any] = {}
    for workers in (0, 1, 3):
        dataset = make_interleave_dataset([root], NUMBERS, seed=4)
        loader = DataLoader(dataset, 4, num_workers=workers, persistent_workers=workers == 3)
        answer[f"plain {workers}"] = [_indices(loader) for _ in range(2)]
        ours = make_loader(make_chunk_dataset(root, NUMBERS), 4, seed=4, num_workers=workers)
        answer[f"ours {workers}"] = [_indices(ours) for _ in range(2)]
        answer[f"length {workers}"] = len(ours)
    chunks = make_chunk_dataset(root, NUMBERS)
    sampled = DataLoader(chunks, 4, sampler=EpochSampler(chunks, seed=4), num_workers=1)
    answer["sampler"] = [_indices(sampled) for _ in range(2)]
    lazy = make_interleave_dataset([root], NUMBERS, shuffle="local", ends="drop")
    answer["drop"] = [_indices(make_loader(lazy, 4, num_workers=1))]
    return answer


def training(root: Path, world: int) -> dict[str, Any]:
    """DistributedDataParallel with gradient accumulation, validation between epochs, a resume."""
    import torch
    from torch.nn.parallel import DistributedDataParallel

    model = DistributedDataParallel(torch.nn.Linear(4, 1))
    steps = []
    for accumulation in (1, 3, 7):
        loader = make_loader(make_chunk_dataset(root, NUMBERS), 2, num_workers=1)
        held = make_loader(make_chunk_dataset(root, NUMBERS), 4, shuffle=False)
        count = 0
        for _ in range(2):
            for number, batch in enumerate(loader):
                loss = model(batch["action"].flatten(1)).square().mean() / accumulation
                loss.backward()
                if (number + 1) % accumulation == 0 or number + 1 == len(loader):
                    model.zero_grad()
                    count += 1
            with torch.no_grad():
                seen = _indices(held)
        steps.append([count, len(seen)])
    state = {}
    taken = []
    loader = make_loader(make_chunk_dataset(root, NUMBERS), 2, num_workers=1)
    for number, batch in enumerate(loader):
        taken.append(batch["index"].tolist())
        if number == 2:
            state = loader.state_dict()
    resumed = make_loader(make_chunk_dataset(root, NUMBERS), 2)
    resumed.load_state_dict(state)
    return {"steps": steps, "rest": taken[3:], "resumed": _indices(resumed)}


def accelerated(root: Path, world: int) -> dict[str, Any]:
    """Accelerate as it comes: iterable datasets are dispatched, map-style ones sharded."""
    from accelerate import Accelerator

    answer: dict[str, Any] = {"resumed": []}
    for workers, accumulation in ((0, 1), (2, 3), (1, 7)):
        accelerator = Accelerator(cpu=True, gradient_accumulation_steps=accumulation)
        train = _Accelerated(accelerator, accelerator.prepare(_loader(root, workers)))
        held = accelerator.prepare(make_loader(make_chunk_dataset(root, NUMBERS), 4, shuffle=False))
        epochs, lengths = [], [len(train.loader)]
        for _ in range(2):
            epochs.append([indices for indices, _ in train.epoch()])
            lengths.append(len(train.loader))
            seen = [accelerator.gather_for_metrics(batch["index"]).tolist() for batch in held]
            assert sorted(one for batch in seen for one in batch) == list(range(34)), seen
        answer[f"stream {workers} {accumulation}"] = epochs
        assert lengths == [len(epochs[0])] * 3, (lengths, len(epochs[0]))
        steps = sum(train.stepped)
        assert steps == 2 * -(-len(epochs[0]) // accumulation), (steps, accumulation)
        if workers == 1:
            continue
        (_, state), *rest = train.epoch()
        again = _Accelerated(accelerator, accelerator.prepare(_loader(root, workers)))
        again.loader.dataset.load_state_dict(_of_main_process(state))
        answer["resumed"].append([[one for one, _ in part] for part in (rest, again.epoch())])
    chunks = make_chunk_dataset(root, NUMBERS)
    loader = DataLoader(chunks, 4, sampler=EpochSampler(chunks, seed=4))
    loader = accelerator.prepare(loader)
    answer["map"] = [[batch["index"].tolist() for batch in loader] for _ in range(2)]
    ours = accelerator.prepare(make_loader(make_chunk_dataset(root, NUMBERS), 4, num_workers=1))
    answer["ours"] = [[batch["index"].tolist() for batch in ours] for _ in range(2)]
    return answer


class _Accelerated:
    """A model that is trained the way that Accelerate's own guide has it."""

    def __init__(self, accelerator: Any, loader: Any) -> None:
        import torch

        model = torch.nn.Linear(4, 1)
        self.accelerator = accelerator
        self.model, self.optimiser = accelerator.prepare(
            model, torch.optim.SGD(model.parameters(), 0.0)
        )
        self.loader = loader
        self.stepped: list[bool] = []

    def epoch(self) -> Iterator[tuple[list[int], dict[str, Any]]]:
        """The indices of each batch, and the state after it."""
        for number, batch in enumerate(self.loader):
            with self.accelerator.accumulate(self.model):
                loss = self.model(batch["action"].flatten(1)).square().mean()
                self.accelerator.backward(loss)
                self.optimiser.step()
                self.optimiser.zero_grad()
            self.stepped.append(self.accelerator.sync_gradients)
            yield batch["index"].tolist(), self.loader.dataset.state_dict(self.loader, number + 1)


def _loader(root: Path, workers: int) -> Any:
    stream = make_interleave_dataset([root], NUMBERS, seed=4)
    return DataLoader(stream, batch_size=4, num_workers=workers)


def _of_main_process(state: dict[str, Any]) -> dict[str, Any]:
    import torch

    told = [state]
    torch.distributed.broadcast_object_list(told, 0)
    return told[0]


def _indices(loader: Any) -> list[list[int]]:
    return [batch["index"].tolist() for batch in loader]
