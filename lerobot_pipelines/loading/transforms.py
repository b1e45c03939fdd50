"""From what a dataset holds to what a policy takes: crop, resize, normalise, dtype."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lerobot_pipelines.errors import ConfigError
from lerobot_pipelines.loading.config import KeyConfig
from lerobot_pipelines.loading.source import Picture

DTYPES = {
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float32": torch.float32,
    "float64": torch.float64,
    "int64": torch.int64,
    "uint8": torch.uint8,
}
_SMALLEST_SPREAD = 1e-8  # of a value that never changes


class Scale:
    """Value * factor + shift, with shapes that broadcast over (steps, *shape of one row)."""

    def __init__(self, factor: NDArray[np.float64], shift: NDArray[np.float64]) -> None:
        self.factor = np.asarray(factor, dtype=np.float32)
        self.shift = np.asarray(shift, dtype=np.float32)

    def apply_to(self, values: NDArray[np.float32]) -> None:
        """Change ``values`` in place."""
        values *= self.factor
        values += self.shift


def scale_of(
    key: str,
    config: KeyConfig,
    statistics: Mapping[str, NDArray[np.float64]] | None,
    elements: range | None,
) -> Scale | None:
    """The normalisation of a key. Raises ``ConfigError`` if the dataset lacks the statistics."""
    if config.normalize == "none":
        return None
    needed = {"mean_std": ("mean", "std"), "min_max": ("min", "max"), "quantiles": ("q01", "q99")}
    low, high = needed[config.normalize]
    if statistics is None or low not in statistics or high not in statistics:
        raise ConfigError(
            f"{key}: the dataset has no statistics {low} and {high} for normalize: "
            f"{config.normalize}"
        )
    first, second = statistics[low], statistics[high]
    if elements is not None:
        first, second = first[..., list(elements)], second[..., list(elements)]
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise ConfigError(
            f"{key}: the dataset's statistics {low} and {high} hold NaN or infinity, so normalize: "
            f"{config.normalize} would make every item so; lerobot-pipelines verify says more, and "
            "converting the recordings again writes them anew"
        )
    if config.normalize == "mean_std":
        spread = np.maximum(second, _SMALLEST_SPREAD)
        return Scale(1 / spread, -first / spread)
    span = np.maximum(second - first, _SMALLEST_SPREAD)
    return Scale(2 / span, -2 * first / span - 1)


class PicturesToCome:
    """Pictures of an item, cut and scaled, that are not numbers yet: they become them where the
    batch lies, so that the largest part of an item is written once.

    In numpy and Pillow: torch would share this little work out to threads, which on a busy machine
    wait for one another ten times longer than it takes.
    """

    def __init__(
        self, pictures: list[Picture], config: KeyConfig, scale: Scale | None, *, steps: bool
    ) -> None:
        self._pictures = _resized(_cropped(pictures, config), config)
        self._config = config
        self._scale = scale
        size = (3, *self._pictures[0].shape[:2])
        self.shape = (len(pictures), *size) if steps else size
        self.is_whole = config.dtype == "uint8"  # from 0 to 255
        self.is_final = config.dtype in (None, "uint8", "float32")  # what is written is the result

    def write(self, out: NDArray[Any]) -> None:
        """Into an array of ``shape``, uint8 if ``is_whole``, else float32."""
        steps = out.reshape(len(self._pictures), 3, *out.shape[-2:])
        for step, picture in zip(steps, self._pictures, strict=True):
            channels = picture.transpose(2, 0, 1)
            if self.is_whole:
                step[...] = channels
            else:
                np.divide(channels, np.float32(255), out=step, dtype=np.float32)
        if self._scale is not None:
            self._scale.apply_to(steps)

    def converted(self, tensor: torch.Tensor) -> torch.Tensor:
        """What was written, in the configured dtype."""
        return tensor if self._config.dtype is None else tensor.to(DTYPES[self._config.dtype])

    def tensor(self) -> torch.Tensor:
        """The pictures by themselves: from 0 to 1 before normalisation, or uint8."""
        plain = np.empty(self.shape, dtype=np.uint8 if self.is_whole else np.float32)
        self.write(plain)
        return self.converted(torch.from_numpy(plain))


def vector_tensor(
    values: NDArray[Any], config: KeyConfig, scale: Scale | None, padded: int | None
) -> torch.Tensor:
    """Numbers in lerobot's dtypes (float32, int64, bool) unless the configuration has another."""
    kind = values.dtype.kind
    if kind == "f":
        values = values.astype(np.float32, copy=config.dtype != "float64")
    elif kind in "iu":
        values = values.astype(np.int64)
    if scale is not None:
        values = values * scale.factor + scale.shift
    tensor = torch.from_numpy(np.ascontiguousarray(values))
    if padded is not None and tensor.shape[-1] < padded:
        tensor = torch.nn.functional.pad(tensor, (0, padded - tensor.shape[-1]))
    return tensor if config.dtype is None else tensor.to(DTYPES[config.dtype])


def _cropped(pictures: list[Picture], config: KeyConfig) -> list[Picture]:
    if config.crop is None:
        return pictures
    height, width = config.crop
    have = pictures[0].shape[:2]
    room = (have[0] - height, have[1] - width)
    if min(room) < 0:
        raise ConfigError(f"pictures of {list(have)} cannot be cropped to {list(config.crop)}")
    if config.random_crop:
        top, left = (int(torch.randint(one + 1, ())) for one in room)
    else:
        top, left = room[0] // 2, room[1] // 2
    return [picture[top : top + height, left : left + width] for picture in pictures]


def _resized(pictures: list[Picture], config: KeyConfig) -> list[Picture]:
    if config.resize is None or pictures[0].shape[:2] == config.resize:
        return pictures
    from PIL import Image

    height, width = config.resize
    bilinear = Image.Resampling.BILINEAR
    return [
        np.asarray(Image.fromarray(np.ascontiguousarray(one)).resize((width, height), bilinear))
        for one in pictures
    ]
