"""What of a source becomes which key of an item: names resolved, deltas as rows, all checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lerobot_pipelines.config.slices import element_indices
from lerobot_pipelines.errors import ConfigError
from lerobot_pipelines.loading.config import KeyConfig, LoadingConfig
from lerobot_pipelines.loading.deltas import Rows, deltas_of, row_offsets
from lerobot_pipelines.loading.source import ROW_KEYS, FeatureSpec, Source

if TYPE_CHECKING:
    from lerobot_pipelines.config.schema import DatasetConfig

CAMERA_PREFIX = "observation.images."


@dataclass(frozen=True, slots=True)
class KeyPlan:
    """``feature`` is None where the source does not have the key and zeros stand for it.

    ``shape`` is that of one step in the item: (channels, height, width) for cameras. ``elements``
    are the positions taken from a vector of ``dimension`` elements; ``padded`` the number of
    elements after zeros were appended.
    """

    key: str
    config: KeyConfig
    spec: FeatureSpec
    feature: str | None
    offsets: Rows | None
    elements: range | None = None
    padded: int | None = None
    tells_missing: bool = False

    @property
    def is_camera(self) -> bool:
        return self.spec.is_camera

    @property
    def dimension(self) -> int:
        """Elements of a vector's last axis before zeros are appended."""
        return self.spec.shape[-1] if self.elements is None else len(self.elements)


def plan_keys(source: Source, config: LoadingConfig) -> dict[str, KeyPlan]:
    """The keys that a source can give, in the order of the configuration.

    A configured key that the source does not have is left out here; ``mixing`` decides about it.
    Raises ``ConfigError`` for one that makes no sense.
    """
    keys = config.keys or {key: KeyConfig() for key in source.features if key not in ROW_KEYS}
    pipeline = _pipeline(config)
    plans = {}
    for key, settings in keys.items():
        found = _resolve(source, settings.source or key, pipeline)
        if found is not None:
            feature, elements = found
            plans[key] = _plan(source, key, settings, feature, elements, config)
    return plans


def with_deltas(
    config: LoadingConfig, source: Source, deltas: Mapping[str, list[float]]
) -> LoadingConfig:
    """The configuration that gives lerobot's items for ``delta_timestamps``."""
    keys = dict(config.keys) or {key: KeyConfig() for key in source.features if key not in ROW_KEYS}
    for key, seconds in deltas.items():
        if not len(seconds):
            raise ConfigError(f"delta_timestamps of {key} is empty; leave the key out")
        if key not in source.features:
            raise ConfigError(
                f"delta_timestamps names {key}; {source.name} has {', '.join(source.features)}"
            )
        base = keys.get(key, KeyConfig())
        keys[key] = base.model_copy(update={"delta_timestamps": tuple(seconds)})
    return config.model_copy(update={"keys": keys})


def missing_plan(plan: KeyPlan) -> KeyPlan:
    """The same key of a source that does not have it."""
    return replace(plan, feature=None, tells_missing=True)


def _plan(
    source: Source,
    key: str,
    settings: KeyConfig,
    feature: str,
    part: range | None,
    config: LoadingConfig,
) -> KeyPlan:
    spec = source.features[feature]
    _check_form(key, settings, spec)
    deltas = deltas_of(settings, source.fps)
    offsets = (
        None
        if deltas is None
        else row_offsets(
            f"{source.name}: {key}",
            deltas,
            source.fps,
            config.tolerance_s,
            nearest=config.off_rate == "nearest",
        )
    )
    elements = _elements(key, settings, spec, part)
    return KeyPlan(key, settings, spec, feature, offsets, elements, settings.dimension)


def _elements(key: str, settings: KeyConfig, spec: FeatureSpec, part: range | None) -> range | None:
    """The positions in the feature, of which ``part`` is what the topic became."""
    if settings.elements is None:
        return part
    inside = part if part is not None else range(spec.shape[-1])
    try:
        taken = element_indices(settings.elements, len(inside))
    except ValueError as error:
        raise ConfigError(f"{key}: elements {error}") from error
    return inside[taken.start : taken.stop : taken.step]


def _check_form(key: str, settings: KeyConfig, spec: FeatureSpec) -> None:
    if spec.is_camera:
        if settings.elements is not None or settings.dimension is not None:
            raise ConfigError(f"{key} is a camera: elements and dimension are for vectors")
    elif settings.crop is not None or settings.resize is not None:
        raise ConfigError(f"{key} is no camera: it cannot be cropped or resized")
    if settings.normalize != "none" and not spec.is_camera and not spec.dtype.startswith("float"):
        raise ConfigError(f"{key} is {spec.dtype}; only float vectors and cameras are normalised")
    if spec.dtype == "string" and settings != KeyConfig(source=settings.source):
        raise ConfigError(f"{key} holds text, which is given as it is")


def _pipeline(config: LoadingConfig) -> DatasetConfig | None:
    if config.topics is None:
        return None
    from lerobot_pipelines.config import load_config

    return load_config(config.topics)


def _resolve(
    source: Source, wanted: str, pipeline: DatasetConfig | None
) -> tuple[str, range | None] | None:
    if wanted in source.features:
        return wanted, None
    if CAMERA_PREFIX + wanted in source.features:
        return CAMERA_PREFIX + wanted, None
    if pipeline is not None:
        from lerobot_pipelines.loading.topics import feature_of_topic

        return feature_of_topic(pipeline, source, wanted)
    return None
