"""What an item holds and what loading may cost: one configuration for every way in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from lerobot_pipelines.config.schema import Name, Section
from lerobot_pipelines.errors import ConfigError

Pixels = Annotated[int, Field(gt=0)]
Normalisation = Literal["none", "mean_std", "min_max", "quantiles"]
Dtype = Literal["float32", "float16", "bfloat16", "float64", "int64", "uint8"]


class KeyConfig(Section):
    """One entry of an item: which topic it is, how much of its past and future, in what form."""

    source: Name | None = None
    """A feature, a camera's name, or, where `topics` names the conversion's configuration, a topic
    or stream of the recording. null: the key itself."""
    elements: str | None = None
    """Which elements of a vector, as Python writes it: `0:7`, `-1`, `::2`. null: all."""
    history: Annotated[int, Field(ge=0)] = 0
    """Earlier steps, before the present one."""
    horizon: Annotated[int, Field(ge=0)] = 0
    """Steps from the present one on. 0 without `history`: the present value, no time axis."""
    rate_hz: float | None = Field(default=None, gt=0)
    """How far apart the steps are. null: the dataset's fps."""
    delta_timestamps: tuple[float, ...] | None = None
    """Instead of the three above: seconds from the present row, as lerobot has them."""
    crop: tuple[Pixels, Pixels] | None = None
    """Pictures: height and width cut out, before `resize`."""
    random_crop: bool = False
    """Pictures: cut out anywhere (the same place in all steps), else in the middle."""
    resize: tuple[Pixels, Pixels] | None = None
    """Pictures: height and width to scale to (bilinear, antialiased, by Pillow)."""
    normalize: Normalisation = "none"
    """By the dataset's own statistics: `mean_std`: mean 0, std 1; `min_max` and `quantiles` (1 %
    and 99 %): from -1 to 1."""
    dtype: Dtype | None = None
    """null: as lerobot: float32 for numbers and pictures (0 to 1), int64 for whole numbers, bool.
    `uint8`: pictures from 0 to 255, a quarter of the bytes between processes."""
    dimension: Annotated[int, Field(gt=0)] | None = None
    """Vectors: zeros are appended up to this many elements; `<key>_is_missing` tells them."""

    @model_validator(mode="after")
    def _one_way_to_say_it(self) -> KeyConfig:
        steps = self.history or self.horizon or self.rate_hz
        if self.delta_timestamps is not None and steps:
            raise ValueError("delta_timestamps excludes history, horizon and rate_hz")
        if self.delta_timestamps is not None and not self.delta_timestamps:
            raise ValueError("delta_timestamps is empty")
        if self.random_crop and self.crop is None:
            raise ValueError("random_crop needs crop")
        if self.dtype in ("uint8", "int64") and self.normalize != "none":
            raise ValueError(f"{self.dtype} cannot hold normalised values; say float32")
        return self


class ValidationConfig(Section):
    """What is checked once before training, and what its faults exclude."""

    level: Literal["off", "files", "frames"] = "frames"
    """`files`: rows, timestamps, NaN, and the index of every mp4. `frames`: every picture is
    decoded too, by all cores, about 1,000 of 640x480 per second and core. The verdict is kept
    beside the dataset, so that this is done once, and again when a file changes."""
    exclude: Literal["frame", "episode", "error"] = "episode"
    """What a fault takes out: the rows that show it, its episode, or nothing: an error is raised.
    Faults of a whole file always concern its episodes."""
    black_below: Annotated[float, Field(ge=0, le=255)] = 4.0
    """`frames`: a picture whose mean and deviation of grey are both below this is black."""
    frozen_s: Annotated[float, Field(gt=0)] = 1.0
    """`frames`: a camera that shows exactly the same picture for longer is frozen."""
    keep_black: bool = False
    """Whether black pictures are reported only."""
    keep_frozen: bool = True
    """Whether frozen pictures are reported only (a robot may well stand still)."""


class LoadingConfig(Section):
    """Everything about items and resources. Also a YAML file: see ``read_loading_config``."""

    keys: dict[str, KeyConfig] = Field(default_factory=dict)
    """Empty: every feature of the dataset, as lerobot gives them."""
    tasks: Literal["index", "text", "both"] | None = None
    """The task as `task_index`, as the string `task`, or both. null: both for a single dataset, as
    lerobot (Accelerate, which dispatches tensors only, gets the index); the index for mixtures."""
    tolerance_s: Annotated[float, Field(gt=0)] = 1e-4
    """How far a delta may be from a whole number of rows."""
    off_rate: Literal["error", "nearest"] = "error"
    """A delta that is no whole number of rows (mixed rates): refuse, or take the nearest row."""
    missing: Literal["error", "select", "pad"] = "error"
    """Mixed datasets, a key that one of them does not have: refuse, leave the key out everywhere,
    or fill with zeros and say so in `<key>_is_missing`."""
    dimensions: Literal["error", "pad"] = "error"
    """Mixed datasets, vectors of different length: refuse, or append zeros up to the longest."""
    decoder: Literal["pyav", "torchcodec"] = "pyav"
    """What decodes mp4 files; torchcodec must be installed."""
    decoder_device: str = "cpu"
    """torchcodec: `cuda` decodes on the GPU (with num_workers 0)."""
    max_open_files: Annotated[int, Field(ge=1)] = 24
    """Decoders kept open per process."""
    frame_cache_mb: Annotated[float, Field(gt=0)] = 192.0
    """Decoded pictures kept per process; also bounds how many runs `shuffle: local` mixes."""
    row_cache_mb: Annotated[float, Field(gt=0)] = 64.0
    """Lazy datasets: numbers of episodes kept per process."""
    read_ahead: Annotated[int, Field(ge=0)] = 2
    """Streams: items decoded in the background while one is being used."""
    bucket_cache_dir: Path | None = None
    """Datasets in a bucket: where fetched files are kept. null: this machine's usual cache."""
    bucket_cache_gb: Annotated[float, Field(gt=0)] = 20.0
    """Most that is kept there, by all processes together."""
    topics: Path | None = None
    """The configuration that the dataset was converted with, to name keys by topic or stream."""
    validation: ValidationConfig = ValidationConfig()


def read_loading_config(path: Path) -> LoadingConfig:
    """A ``LoadingConfig`` from a YAML file. Raises ``ConfigError`` naming every fault."""
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: {error}") from error
    return checked_config(content, str(path))


def checked_config(content: Any, where: str) -> LoadingConfig:
    """``content`` as a configuration; ``where`` names it in errors."""
    try:
        return LoadingConfig.model_validate(content)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc']) or 'file'}: {fault['msg']}"
            for fault in error.errors(include_url=False, include_input=False)
        )
        raise ConfigError(f"{where}: {faults}") from error
