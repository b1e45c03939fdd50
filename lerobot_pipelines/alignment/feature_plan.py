"""Which elements of which streams make up each feature, resolved against one recording."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from lerobot_pipelines.alignment.search import Indices
from lerobot_pipelines.alignment.sources import VectorSource
from lerobot_pipelines.config.schema import DatasetConfig, FeatureConfig, FeaturePart, Strategy
from lerobot_pipelines.config.slices import element_indices
from lerobot_pipelines.errors import Reason, Refused


@dataclass(frozen=True, slots=True)
class PartSource:
    """Some columns of a stream."""

    stream: VectorSource
    columns: Indices


@dataclass(frozen=True, slots=True)
class PartPlan:
    """``sources`` in order of preference: the first with a valid sample serves the row."""

    sources: tuple[PartSource, ...]
    threshold: float | None

    @property
    def dimension(self) -> int:
        return len(self.sources[0].columns)


@dataclass(frozen=True, slots=True)
class FeaturePlan:
    key: str
    parts: tuple[PartPlan, ...]
    names: tuple[str, ...]
    chunked: bool
    recorded_names: tuple[str, ...] = ()  # see ``AlignedFrames``; empty: as ``names``

    @property
    def dimension(self) -> int:
        return sum(part.dimension for part in self.parts)

    @property
    def mask_key(self) -> str:
        return f"{self.key}_is_pad"


def plan_features(
    config: DatasetConfig, vectors: Mapping[str, VectorSource]
) -> tuple[FeaturePlan, ...]:
    """The features in the order of the configuration.

    A feature none of whose (optional) streams is in the recording is left out. Raises ``Refused``:
    missing_stream if only some of its parts are there, missing_field if a stream is too narrow for
    a slice, bad_config if the feature is not well defined.
    """
    chunking = config.alignment.strategy is Strategy.CHUNKING
    plans = []
    for key, feature in config.features.items():
        sources = [_part_sources(key, part, vectors) for part in feature.parts]
        if any(sources):
            _require_all(key, feature, sources)
            plans.append(_plan(key, feature, sources, chunked=chunking and feature.chunk))
    return tuple(plans)


def streams_of(plans: Iterable[FeaturePlan]) -> dict[str, VectorSource]:
    """Every stream that some feature uses, by name."""
    return {
        source.stream.name: source.stream
        for plan in plans
        for part in plan.parts
        for source in part.sources
    }


def _plan(
    key: str, feature: FeatureConfig, sources: list[tuple[PartSource, ...]], *, chunked: bool
) -> FeaturePlan:
    parts = tuple(
        PartPlan(part_sources, part.binary_threshold)
        for part, part_sources in zip(feature.parts, sources, strict=True)
    )
    for part, plan in zip(feature.parts, parts, strict=True):
        widths = [len(source.columns) for source in plan.sources]
        if len(set(widths)) > 1:
            raise Refused(
                Reason.BAD_CONFIG,
                f"feature {key} takes {widths[0]} elements of stream {part.stream} but "
                f"{widths[1]} of its fallback {part.fallback}; make slice and fallback_slice equal "
                "in length",
            )
        if part.names is not None and len(part.names) != widths[0]:
            raise Refused(
                Reason.BAD_CONFIG,
                f"feature {key} gives {len(part.names)} names to the {widths[0]} elements of "
                f"stream {part.stream}",
            )
    if chunked:
        _require_chunkable(key, parts)
    names = _names(feature, parts)
    return FeaturePlan(key, parts, names, chunked, _recorded_names(feature, parts))


def _part_sources(
    key: str, part: FeaturePart, vectors: Mapping[str, VectorSource]
) -> tuple[PartSource, ...]:
    choices = [(part.stream, part.slice), (part.fallback, part.fallback_slice)]
    return tuple(
        PartSource(vectors[name], _columns(key, vectors[name], text))
        for name, text in choices
        if name is not None and name in vectors
    )


def _require_all(key: str, feature: FeatureConfig, sources: list[tuple[PartSource, ...]]) -> None:
    missing = [part.stream for part, found in zip(feature.parts, sources, strict=True) if not found]
    if missing:
        raise Refused(
            Reason.MISSING_STREAM,
            f"feature {key} needs stream {missing[0]}, which is not in the recording and has no "
            "fallback there; give the part a fallback, or record the stream",
        )


def _columns(key: str, source: VectorSource, text: str | None) -> Indices:
    try:
        return np.array(element_indices(text, source.dimension), dtype=np.int64)
    except ValueError as error:
        raise Refused(
            Reason.MISSING_FIELD,
            f"feature {key}: the slice of stream {source.name} does not fit the recording: {error}",
        ) from error


def _names(feature: FeatureConfig, parts: tuple[PartPlan, ...]) -> tuple[str, ...]:
    """Given names, else the recording's, else <stream>_<i>; with the stream where they collide."""
    plain: list[str] = []
    qualified: list[str] = []
    for part, plan in zip(feature.parts, parts, strict=True):
        source = plan.sources[0]
        known = source.stream.element_names
        for position, column in enumerate(source.columns):
            if part.names is not None:
                plain.append(part.names[position])
                qualified.append(part.names[position])
                continue
            numbered = f"{part.stream}_{column}"
            plain.append(known[column] if known else numbered)
            qualified.append(f"{part.stream}_{known[column]}" if known else numbered)
    return tuple(plain if len(set(plain)) == len(plain) else qualified)


def _recorded_names(feature: FeatureConfig, parts: tuple[PartPlan, ...]) -> tuple[str, ...]:
    """The recording's own names where given ones stand before them, which say nothing of what
    the recording calls the elements now."""
    if all(part.names is None for part in feature.parts):
        return ()
    names: list[str] = []
    for plan in parts:
        stream = plan.sources[0].stream
        known = stream.element_names
        names.extend(
            f"{stream.name}.{known[column]}" if known else "" for column in plan.sources[0].columns
        )
    return tuple(names) if any(names) else ()


def _require_chunkable(key: str, parts: tuple[PartPlan, ...]) -> None:
    for stream in (source.stream for part in parts for source in part.sources):
        if stream.strategy not in (Strategy.CHUNKING, Strategy.HOLD):
            raise Refused(
                Reason.BAD_CONFIG,
                f"feature {key} holds chunks, which take samples as they are, but its stream "
                f"{stream.name} has strategy: {stream.strategy}; remove that, or use hold",
            )
