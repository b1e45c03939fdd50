"""Items of one source: read (numpy, in any thread) and finished (torch, in the caller's)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from lerobot_pipelines.loading.config import KeyConfig
from lerobot_pipelines.loading.deltas import window
from lerobot_pipelines.loading.plan import KeyPlan
from lerobot_pipelines.loading.source import ROW_KEYS, Picture, Source, starts_of
from lerobot_pipelines.loading.transforms import (
    DTYPES,
    PicturesToCome,
    Scale,
    scale_of,
    vector_tensor,
)

Item = dict[str, Any]
Tasks = Literal["index", "text", "both"]

_AS_IT_IS = KeyConfig()


@dataclass(slots=True)
class RawItem:
    """What was read for one item; ``row`` counts over the whole source."""

    row: int
    index: Mapping[str, NDArray[Any]]
    values: dict[str, NDArray[Any]] = field(default_factory=dict)
    pictures: dict[str, list[Picture]] = field(default_factory=dict)
    is_pad: dict[str, NDArray[np.bool_]] = field(default_factory=dict)


class ItemBuilder:
    """Makes the items of a source by its key plans.

    ``tasks`` None is ``both``, but that the text may be left out where it cannot be sent.
    ``task_numbers`` maps the source's task_index to another numbering (of mixed datasets).
    """

    def __init__(
        self,
        source: Source,
        plans: Mapping[str, KeyPlan],
        tasks: Tasks | None,
        task_numbers: list[int] | None = None,
    ) -> None:
        self.source = source
        self.plans = dict(plans)
        self.tells_task = tasks != "index"
        self.must_tell_task = tasks in ("text", "both")
        self._task_numbers = task_numbers
        self._starts = starts_of(source.lengths)
        self._scales: dict[str, Scale | None] = {
            key: scale_of(key, plan.config, source.statistics.get(plan.feature), plan.elements)
            for key, plan in self.plans.items()
            if plan.feature is not None
        }

    def __len__(self) -> int:
        return int(self._starts[-1])

    def place(self, row: int) -> tuple[int, int]:
        """The episode of a row of the source, and the row within it."""
        episode = int(np.searchsorted(self._starts, row, side="right")) - 1
        return episode, row - int(self._starts[episode])

    def read(self, row: int, run: range | None = None) -> RawItem:
        """Everything of a row that must be read. Rows of ``run`` (of the source) come soon too."""
        episode, present = self.place(row)
        length = int(self.source.lengths[episode])
        here = np.asarray([present], dtype=np.int64)
        raw = RawItem(row, {key: self.source.values(key, episode, here) for key in ROW_KEYS})
        for key, plan in self.plans.items():
            rows = here
            if plan.offsets is not None:
                rows, raw.is_pad[key] = window(present, length, plan.offsets)
            if plan.feature is None:
                continue
            if plan.is_camera:
                keep = None if run is None else self._keep(plan, episode, run)
                raw.pictures[key] = self.source.pictures(plan.feature, episode, rows, keep)
            else:
                values = self.source.values(plan.feature, episode, rows)
                if plan.elements is not None:
                    values = values[..., list(plan.elements)]
                raw.values[key] = values
        return raw

    def finish(self, raw: RawItem, *, pictures_later: bool = False) -> Item:
        """The item: tensors, and ``task`` where asked for. Keys as in lerobot.

        With ``pictures_later`` cameras are ``PicturesToCome``, for ``batches.collate``.
        """
        item: Item = {}
        for key, plan in self.plans.items():
            if plan.feature is None:
                value: Any = _zeros(plan)
            elif plan.is_camera:
                # As in lerobot: no time axis without deltas, nor for one frame of a video.
                steps = len(raw.pictures[key]) > 1 or (
                    plan.offsets is not None and plan.spec.dtype != "video"
                )
                pending = PicturesToCome(
                    raw.pictures[key], plan.config, self._scales[key], steps=steps
                )
                item[key] = pending if pictures_later else pending.tensor()
            elif plan.spec.dtype == "string":
                value = list(raw.values[key]) if plan.offsets is not None else raw.values[key][0]
            else:
                value = vector_tensor(raw.values[key], plan.config, self._scales[key], plan.padded)
            if key not in item:
                item[key] = self._without_time(plan, value)
            if plan.tells_missing:
                item[f"{key}_is_missing"] = _missing(plan)
        for key, mask in raw.is_pad.items():
            # As in lerobot, it takes the place of a mask that the dataset itself has.
            own = self.plans.get(f"{key}_is_pad")
            if own is None or own.offsets is None:
                item[f"{key}_is_pad"] = torch.from_numpy(mask)
        self._add_row_keys(item, raw)
        return item

    def _without_time(self, plan: KeyPlan, value: Any) -> Any:
        """lerobot drops the time axis where there are no deltas, and for one frame of a video."""
        if not isinstance(value, torch.Tensor):
            return value
        one_frame = plan.spec.dtype == "video" and value.shape[0] == 1
        if plan.offsets is None or one_frame:
            value = value[0]
        if plan.offsets is None and not plan.is_camera and plan.spec.shape == (1,):
            return value[0] if value.shape == (1,) else value
        if plan.offsets is not None and plan.spec.shape == (1,) and value.shape[1:] == (1,):
            return value[:, 0]
        return value

    def _add_row_keys(self, item: Item, raw: RawItem) -> None:
        for key in ROW_KEYS:
            if key not in self.plans:
                item[key] = vector_tensor(raw.index[key], _AS_IT_IS, None, None).reshape(())
        number = int(raw.index["task_index"].ravel()[0])
        if self._task_numbers is not None:
            item["task_index"] = torch.tensor(self._task_numbers[number])
        if self.tells_task:
            item["task"] = self.source.tasks[number]

    def _keep(self, plan: KeyPlan, episode: int, run: range) -> range:
        """The rows of the episode that items of the run show of this camera."""
        first = int(self._starts[episode])
        before, after = 0, 0
        if plan.offsets is not None:
            before, after = int(plan.offsets.min()), int(plan.offsets.max())
        last = int(self.source.lengths[episode]) - 1
        start = run.start - first + min(before, 0)
        end = run.stop - 1 - first + max(after, 0)
        return range(max(start, 0), min(end, last) + 1)


def _shape(plan: KeyPlan) -> tuple[int, ...]:
    """Of one step."""
    if plan.is_camera:
        size = plan.config.resize or plan.config.crop or plan.spec.shape[:2]
        return (3, *size)
    return (*plan.spec.shape[:-1], plan.padded or plan.dimension)


def _zeros(plan: KeyPlan) -> torch.Tensor:
    steps = 1 if plan.offsets is None else len(plan.offsets)
    whole = plan.spec.dtype.startswith(("int", "uint"))
    plain = torch.int64 if whole and not plan.is_camera else torch.float32
    dtype = DTYPES[plan.config.dtype] if plan.config.dtype else plain
    if plan.spec.dtype == "bool":
        dtype = torch.bool
    return torch.zeros((steps, *_shape(plan)), dtype=dtype)


def _missing(plan: KeyPlan) -> torch.Tensor:
    """Which elements of a vector were made up; of a camera, whether it was."""
    if plan.is_camera:
        return torch.tensor(plan.feature is None)
    padded = plan.padded or plan.dimension
    here = 0 if plan.feature is None else plan.dimension
    return torch.arange(padded) >= here
