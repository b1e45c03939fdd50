"""Memory in which workers hand batches over, lent and given back instead of made anew.

A fresh page of shared memory costs the kernel more than decoding the picture that is written to
it. So a worker keeps the memory of its batches: the training process marks a loan as given back
when the last tensor that lies in it is gone, and the worker lends it again. Who keeps batches
keeps the memory; the worker then takes more, and past ``MOST_LOANS`` leaves it to torch.
"""

from __future__ import annotations

import math
import mmap
import os
import weakref
from dataclasses import dataclass
from multiprocessing import reduction
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lerobot_pipelines.loading.forks import keep_untouched

MOST_LOANS = 64  # per worker
_HEADER = mmap.PAGESIZE  # its first byte: whether the loan is out
_DTYPES: dict[torch.dtype, np.dtype[Any]] = {
    torch.uint8: np.dtype(np.uint8),
    torch.float32: np.dtype(np.float32),
}


@dataclass(slots=True)
class _Slab:
    """Memory of a worker, which the training process maps too."""

    file: int
    memory: mmap.mmap

    @property
    def room(self) -> int:
        return len(self.memory) - _HEADER

    @property
    def is_out(self) -> bool:
        return self.memory[0] != 0


@dataclass(slots=True)
class Lent:
    """A worker's array that is a tensor where it is unpickled; shape and dtype as they were."""

    slab: _Slab
    array: NDArray[Any]

    def __reduce__(self) -> tuple[Any, ...]:
        return _received, (
            reduction.DupFd(self.slab.file),
            os.getpid(),
            self.array.shape,
            self.array.dtype.str,
        )


class _Lender:
    """The slabs of this process."""

    def __init__(self) -> None:
        self._process = os.getpid()
        self._slabs: list[_Slab] = []

    def lend(self, shape: tuple[int, ...], dtype: torch.dtype) -> Lent | None:
        if os.getpid() != self._process:
            keep_untouched(self._slabs)
            self.__init__()  # type: ignore[misc]
        kind = _DTYPES[dtype]
        size = math.prod(shape) * kind.itemsize
        fitting = [slab for slab in self._slabs if not slab.is_out and slab.room >= size]
        slab = min(fitting, key=lambda one: one.room, default=None)
        if slab is None:
            if len(self._slabs) >= MOST_LOANS:
                return None
            slab = _new_slab(size)
            self._slabs.append(slab)
        slab.memory[0] = 1
        array = np.frombuffer(slab.memory, kind, math.prod(shape), _HEADER).reshape(shape)
        return Lent(slab, array)


_LENDER = _Lender()
# What this process has mapped of its workers: by file, the worker and the memory.
_MAPPED: dict[tuple[int, int], tuple[int, mmap.mmap]] = {}


def lend(shape: tuple[int, ...], dtype: torch.dtype) -> Lent | None:
    """An array (float32 or uint8) to write to and send to the training process; None where that
    is not possible: too much is out, or the system has no such memory."""
    if dtype not in _DTYPES or not hasattr(os, "memfd_create"):
        return None
    return _LENDER.lend(shape, dtype)


def _new_slab(size: int) -> _Slab:
    file = os.memfd_create("loading-batch")
    os.ftruncate(file, size + _HEADER)
    return _Slab(file, mmap.mmap(file, size + _HEADER))


def _received(sent: Any, worker: int, shape: tuple[int, ...], dtype: str) -> torch.Tensor:
    file = sent.detach()
    try:
        memory = _mapped(file, worker)
    finally:
        os.close(file)
    kind = np.dtype(dtype)
    # Every tensor in this memory keeps this one array alive, and so the loan.
    loan = np.frombuffer(memory, kind, math.prod(shape), _HEADER)
    weakref.finalize(loan, _give_back, memory, os.getpid()).atexit = False
    return torch.from_numpy(loan).view(shape)


def _mapped(file: int, worker: int) -> mmap.mmap:
    facts = os.fstat(file)
    key = (facts.st_dev, facts.st_ino)
    if key not in _MAPPED:
        for gone in [one for one, (owner, _) in _MAPPED.items() if not _is_alive(owner)]:
            del _MAPPED[gone]
        _MAPPED[key] = (worker, mmap.mmap(file, facts.st_size))
    return _MAPPED[key][1]


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except OSError:
        return False
    return True


def _give_back(memory: mmap.mmap, borrower: int) -> None:
    if os.getpid() == borrower:  # not a child that was forked meanwhile
        memory[0] = 0
