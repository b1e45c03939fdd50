"""Items to batches, the pictures written straight to where the training process reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.utils.data

from lerobot_pipelines.loading.lending import Lent, lend
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


def _written(pictures: Sequence[PicturesToCome]) -> torch.Tensor | Lent:
    first = pictures[0]
    shape, dtype = (len(pictures), *first.shape), torch.uint8 if first.is_whole else torch.float32
    in_worker = torch.utils.data.get_worker_info() is not None
    lent = lend(shape, dtype) if in_worker and first.is_final else None
    out = torch.empty(shape, dtype=dtype).numpy() if lent is None else lent.array
    for place, one in zip(out, pictures, strict=True):
        one.write(place)
    return first.converted(torch.from_numpy(out)) if lent is None else lent
