"""Items to batches, the pictures written straight to where the training process reads them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.utils.data

from lerobot_pipelines.loading.transforms import PicturesToCome


def collate(items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """As torch's ``default_collate``, for items whose cameras are ``PicturesToCome``."""
    batch: dict[str, Any] = {}
    for key in items[0]:
        values = [item[key] for item in items]
        pending = [value for value in values if isinstance(value, PicturesToCome)]
        if len(pending) == len(values) and len({one.shape for one in pending}) == 1:
            batch[key] = _written(pending)
        elif pending:  # some datasets of a mixture lack this camera
            batch[key] = torch.stack(
                [one.tensor() if isinstance(one, PicturesToCome) else one for one in values]
            )
        else:
            batch[key] = torch.utils.data.default_collate(values)
    return batch


def _written(pictures: Sequence[PicturesToCome]) -> torch.Tensor:
    first = pictures[0]
    out = _empty((len(pictures), *first.shape), torch.uint8 if first.is_whole else torch.float32)
    numbers = out.numpy()
    for place, one in zip(numbers, pictures, strict=True):
        one.write(place)
    return first.converted(out)


def _empty(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    if torch.utils.data.get_worker_info() is None:
        return torch.empty(shape, dtype=dtype)
    # In a worker: memory that the training process sees, as ``default_collate`` takes it.
    size = math.prod(shape) * dtype.itemsize
    storage: torch.UntypedStorage = torch.UntypedStorage._new_shared(size)  # type: ignore[no-untyped-call]
    return torch.empty(0, dtype=dtype).set_(storage).view(shape)
