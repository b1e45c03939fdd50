"""A small behaviour-cloning training: the loaders in use, on one process or several.

The part to copy is ``_train_rank``: nothing is sharded, reset, reseeded or counted by hand.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.nn.parallel import DistributedDataParallel

from lerobot_pipelines.errors import ConfigError
from lerobot_pipelines.loading.chunks import make_chunk_dataset
from lerobot_pipelines.loading.config import KeyConfig, LoadingConfig
from lerobot_pipelines.loading.loader import Loader, make_loader
from lerobot_pipelines.loading.opening import open_source

HORIZON = 8  # actions predicted, where the dataset does not hold chunks of its own
ACTION_MASK = "action_is_pad"
PICTURE = (48, 64)
BATCH = 16
HELD_OUT = 4  # every fourth episode
LEAST_EPOCHS = 3  # however long they take
_WIDTH = 64


@dataclass(slots=True)
class History:
    """Mean squared error of normalised actions: of each step, and of each epoch's held-out part
    (step, error)."""

    losses: list[float] = field(default_factory=list)
    held_out: list[tuple[int, float]] = field(default_factory=list)  # empty: nothing held out
    epochs: int = 0
    items_per_s: float = 0.0

    @property
    def fell(self) -> bool:
        """Whether the last fifth of the steps is better than the first."""
        part = max(len(self.losses) // 5, 1)
        return sum(self.losses[-part:]) < sum(self.losses[:part])

    def plot(self, path: Path) -> None:
        """Both curves as a PNG."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.subplots()
        axes.plot(self.losses, linewidth=0.8, label="training")
        if self.held_out:
            axes.plot(*zip(*self.held_out, strict=True), "o-", label="held-out episodes")
        axes.set(xlabel="step", ylabel="mean squared error", yscale="log")
        axes.legend()
        figure.savefig(path, dpi=120)


class Policy(torch.nn.Module):
    """Pictures (batch, 3, 48, 64) of each camera and a state to (batch, horizon, action)."""

    def __init__(self, cameras: Sequence[str], state: int, horizon: int, action: int) -> None:
        super().__init__()
        self._cameras = list(cameras)
        self._horizon = horizon
        self.eye = torch.nn.Sequential(
            torch.nn.Conv2d(3, 16, 5, 4),
            torch.nn.ReLU(),
            torch.nn.Conv2d(16, 32, 3, 2),
            torch.nn.ReLU(),
            torch.nn.Flatten(),
            torch.nn.LazyLinear(_WIDTH),
        )
        self.head = torch.nn.Sequential(
            torch.nn.Linear(_WIDTH * len(self._cameras) + state, 2 * _WIDTH),
            torch.nn.ReLU(),
            torch.nn.Linear(2 * _WIDTH, horizon * action),
        )

    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        seen = [self.eye(batch[camera]) for camera in self._cameras]
        flat: torch.Tensor = self.head(torch.cat([*seen, batch["state"]], 1))
        return flat.reshape(len(flat), self._horizon, -1)


def train(
    root: Path,
    *,
    seconds: float,
    workers: int = 0,
    ranks: int = 1,
    say: Callable[[str], None] = lambda line: None,
) -> History:
    """Train for about that many seconds, but for three epochs at least.

    Raises ``ConfigError`` for a dataset without actions.
    """
    if ranks == 1:
        return _train_rank(root, seconds, workers, say)
    with tempfile.TemporaryDirectory() as folder:
        arguments = (ranks, root, seconds, workers, folder)
        torch.multiprocessing.spawn(_rank, arguments, nprocs=ranks)  # type: ignore[attr-defined,no-untyped-call]
        known: dict[str, Any] = json.loads((Path(folder) / "history.json").read_text())
    known["held_out"] = [(step, error) for step, error in known["held_out"]]
    history = History(**known)
    say(_summary(history))
    return history


def _rank(rank: int, ranks: int, root: Path, seconds: float, workers: int, folder: str) -> None:
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(ranks))
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=ranks
    )
    history = _train_rank(root, seconds, workers, lambda line: None)
    if rank == 0:
        (Path(folder) / "history.json").write_text(json.dumps(asdict(history)))
    torch.distributed.destroy_process_group()


def _train_rank(root: Path, seconds: float, workers: int, say: Callable[[str], None]) -> History:
    torch.manual_seed(0)
    config, cameras = _config(root)
    episodes = range(len(open_source(root, config, lazy=True).lengths))
    held = [one for one in episodes if one % HELD_OUT == HELD_OUT - 1]
    if not held and len(episodes) > 1:
        held = [len(episodes) - 1]
    if not held:
        say("there is one episode, so none is held out: the loss says nothing of other episodes")
    kept = [one for one in episodes if one not in held]
    training = make_loader(
        make_chunk_dataset(root, config, episodes=kept),
        BATCH,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    testing = (
        make_loader(make_chunk_dataset(root, config, episodes=held), BATCH, shuffle=False)
        if held
        else None
    )
    first = next(iter(make_loader(make_chunk_dataset(root, config, episodes=kept[:1]), BATCH)))
    policy: torch.nn.Module = Policy(cameras, first["state"].shape[1], *first["action"].shape[1:])
    policy(first)  # sizes the lazy layer
    if torch.distributed.is_initialized():
        policy = DistributedDataParallel(policy)
    optimiser = torch.optim.AdamW(policy.parameters(), 1e-3)
    history, begun, items = History(), time.monotonic(), 0
    while history.epochs < LEAST_EPOCHS or not _over(begun, seconds):
        for batch in training:
            loss = _loss(policy, batch)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            history.losses.append(loss.item())
            items += len(batch["index"])
        history.epochs += 1
        if testing is not None:
            history.held_out.append((len(history.losses), _measured(policy, testing)))
        history.items_per_s = items / (time.monotonic() - begun)
        say(_summary(history))
    return history


def _config(root: Path) -> tuple[LoadingConfig, list[str]]:
    """What the policy takes of a dataset, and the keys of its cameras."""
    source = open_source(root, LoadingConfig(), lazy=True)
    states = [key for key in source.features if key.startswith("observation.state")]
    if "action" not in source.features or not states:
        raise ConfigError(f"{root} has no action or no observation.state to train on")
    cameras = [key for key, spec in source.features.items() if spec.is_camera]
    keys = {camera: KeyConfig(resize=PICTURE) for camera in cameras}
    keys["state"] = KeyConfig(source=states[0], normalize="mean_std")
    holds_chunks = len(source.features["action"].shape) > 1  # made by ``strategy: chunking``
    keys["action"] = KeyConfig(horizon=0 if holds_chunks else HORIZON, normalize="mean_std")
    if holds_chunks and ACTION_MASK in source.features:
        keys[ACTION_MASK] = KeyConfig()
    return LoadingConfig(keys=keys, tasks="index"), cameras


def _loss(policy: torch.nn.Module, batch: dict[str, Any]) -> torch.Tensor:
    """Mean squared error of the actions that are no padding."""
    difference: torch.Tensor = policy(batch) - batch["action"]
    if ACTION_MASK in batch:
        difference = difference[~batch[ACTION_MASK]]
    return difference.square().mean()


def _measured(policy: torch.nn.Module, loader: Loader) -> float:
    with torch.no_grad():
        losses = [float(_loss(policy, batch)) for batch in loader]
    return sum(losses) / len(losses)


def _over(begun: float, seconds: float) -> bool:
    """Whether the time is up, for all ranks alike: they must end after the same epoch."""
    over = torch.tensor(float(time.monotonic() - begun > seconds))
    if torch.distributed.is_initialized():
        torch.distributed.broadcast(over, 0)
    return bool(over)


def _summary(history: History) -> str:
    held_out = f"held out {history.held_out[-1][1]:.4f}" if history.held_out else "none held out"
    return (
        f"epoch {history.epochs}, step {len(history.losses)}: loss {history.losses[-1]:.4f}, "
        f"{held_out}, {history.items_per_s:.0f} items/s"
    )
