"""Counting the passes over a dataset, across all processes of its loader.

A DataLoader's workers each hold a copy of the dataset, new ones every epoch or the same ones
(persistent workers), and nothing in the main process is told when an epoch begins. So the count
lives in a small file that all of them lock: the first worker of a pass numbers it, the others
find its number. What they have in common, and other passes do not, is the DataLoader's base seed.
"""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

_REMEMBERED = 32  # passes; workers of one that was abandoned may still ask


@dataclass(frozen=True, slots=True)
class Consumed:
    """Batches that every rank's training took, and how they were laid out then.

    ``dealt``: in what numbers items were dealt to workers, where that was not the batch size.
    """

    batches: int
    batch: int
    world: int
    workers: int
    dealt: int = 0


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass: ``quotas`` draws of each dataset, after ``drawn`` in the epochs before."""

    epoch: int
    drawn: tuple[int, ...]
    quotas: tuple[int, ...]
    consumed: tuple[Consumed, ...] = ()

    def after(self, taken: Consumed) -> Pass:
        """What is left of this pass when that was taken, too."""
        before = self.consumed
        if before and replace(before[-1], batches=0) == replace(taken, batches=0):
            taken = replace(taken, batches=before[-1].batches + taken.batches)
            before = before[:-1]
        return replace(self, consumed=(*before, taken))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(state: dict[str, Any]) -> Pass:
        return Pass(
            int(state["epoch"]),
            tuple(state["drawn"]),
            tuple(state["quotas"]),
            tuple(Consumed(**one) for one in state.get("consumed", ())),
        )


@dataclass(slots=True)
class _State:
    """What the file holds."""

    next_epoch: int
    drawn: list[int]
    weights: list[float] | None = None  # for the next pass, in place of the rule's own
    resume: dict[str, Any] | None = None  # the next pass, if it is the rest of an earlier one
    passes: list[dict[str, Any]] = field(default_factory=list)


# From the draws so far and the weights set, the draws of each dataset in the next epoch.
Quotas = Callable[[Sequence[int], list[float] | None], Sequence[int]]


class EpochBook:
    """The count of one dataset. Copies that workers hold share it; ``deepcopy`` starts anew."""

    def __init__(self, sources: int) -> None:
        self._sources = sources
        handle, name = tempfile.mkstemp(prefix="loading-epochs-")
        os.close(handle)
        self._path = Path(name)
        self._finalizer = weakref.finalize(self, _remove, self._path, os.getpid())
        self._store(_State(0, [0] * sources))

    def __deepcopy__(self, memo: dict[int, object]) -> EpochBook:
        return EpochBook(self._sources)

    def __getstate__(self) -> dict[str, object]:
        return {"_sources": self._sources, "_path": self._path}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        if not self._path.exists():  # a copy that outlived its origin counts by itself
            self.__init__(self._sources)  # type: ignore[misc]

    def claim(self, token: int | None, worker: int, quotas: Quotas) -> Pass:
        """The pass that this worker begins. ``token`` is the base seed its loader's workers share;
        None where there are no workers: then every claim is a pass."""
        with self._locked() as state:
            for known in state.passes:
                if token is not None and known["token"] == token and worker not in known["claimed"]:
                    known["claimed"].append(worker)
                    return Pass.from_json(known["pass"])
            begun = self._next(state, quotas)
            state.passes.append({"token": token, "claimed": [worker], "pass": begun.to_json()})
            del state.passes[:-_REMEMBERED]
            return begun

    def begun(self, token: int | None) -> Pass | None:
        """The last pass that workers with that token began."""
        with self._locked() as state:
            found = [known["pass"] for known in state.passes if known["token"] == token]
        return Pass.from_json(found[-1]) if found else None

    def latest(self) -> Pass | None:
        """The pass that was begun last, by whichever loader."""
        with self._locked() as state:
            return Pass.from_json(state.passes[-1]["pass"]) if state.passes else None

    def upcoming(self, quotas: Quotas) -> Pass:
        """The pass that would begin now."""
        with self._locked() as state:
            return self._next(replace(state), quotas)

    def resume(self, rest: Pass) -> None:
        """Let the next pass be the rest of this one, and count on from there."""
        with self._locked() as state:
            state.resume = rest.to_json()

    def set_weights(self, weights: list[float]) -> None:
        """Weights of every pass from the next one on."""
        with self._locked() as state:
            state.weights = weights

    @property
    def drawn(self) -> list[int]:
        """Draws of each dataset in all passes begun."""
        with self._locked() as state:
            return list(state.drawn)

    def _next(self, state: _State, quotas: Quotas) -> Pass:
        if state.resume is not None:
            begun = Pass.from_json(state.resume)
            state.resume = None
        else:
            counts = quotas(state.drawn, state.weights)
            begun = Pass(state.next_epoch, tuple(state.drawn), tuple(int(one) for one in counts))
        state.next_epoch = begun.epoch + 1
        state.drawn = [before + now for before, now in zip(begun.drawn, begun.quotas, strict=True)]
        return begun

    @contextmanager
    def _locked(self) -> Iterator[_State]:
        with self._path.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            state = _State(**json.load(file))
            yield state
            file.seek(0)
            json.dump(asdict(state), file)
            file.truncate()

    def _store(self, state: _State) -> None:
        self._path.write_text(json.dumps(asdict(state)))


def _remove(path: Path, owner: int) -> None:
    if os.getpid() == owner:  # a forked worker that ends must not take it from the others
        path.unlink(missing_ok=True)
