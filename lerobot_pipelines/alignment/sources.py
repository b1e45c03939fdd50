"""The streams of a recording with their settings resolved; refuses a recording that lacks one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lerobot_pipelines.alignment.sampling import Limits, Method
from lerobot_pipelines.alignment.search import NS_PER_S, Indices, exact_rate, ns_of_ms
from lerobot_pipelines.alignment.strategies import METHODS
from lerobot_pipelines.alignment.thinning import thinned
from lerobot_pipelines.config.schema import (
    CameraConfig,
    CameraRole,
    DatasetConfig,
    Interpolation,
    StreamConfig,
    TimelineKind,
)
from lerobot_pipelines.config.schema import Strategy as StrategyName
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.model import Recording, Stamps


@dataclass(frozen=True, slots=True)
class VectorSource:
    """A numeric stream that has samples. ``reach_ns``: see ``gaps``."""

    name: str
    stamps: Stamps
    required: bool
    dimension: int
    element_names: tuple[str, ...] | None
    strategy: StrategyName
    method: Method
    limits: Limits

    @property
    def covers_until_ns(self) -> int:
        """A value that holds is in force for its maximum age after the last sample."""
        held = self.limits.max_age_ns if self.method.holds else 0
        return int(self.stamps[-1]) + held


@dataclass(frozen=True, slots=True)
class PictureSource:
    """A camera that has pictures.

    ``ids`` are the positions in ``Recording.timestamps`` of the pictures that may be used, and
    ``stamps`` their stamps; ``all_stamps`` are those of every picture the camera took.
    """

    name: str
    feature: str
    all_stamps: Stamps
    stamps: Stamps
    ids: Indices
    required: bool
    older_ns: int  # how much older than the row a picture may be
    newer_ns: int  # how much newer

    @property
    def covers_until_ns(self) -> int:
        return int(self.stamps[-1])


Source = VectorSource | PictureSource


def base_camera(config: DatasetConfig) -> CameraConfig | None:
    """The camera whose frames are the rows; None where the timeline is uniform.

    Raises ``Refused`` (bad_config) if the timeline needs a camera and there is none.
    """
    if config.alignment.timeline is not TimelineKind.BASE:
        return None
    if config.base_camera is None:
        raise Refused(
            Reason.BAD_CONFIG,
            "timeline: base takes its rows from a camera, but the configuration names none; "
            "add one or set timeline: uniform",
        )
    return config.base_camera


def vector_sources(recording: Recording, config: DatasetConfig) -> dict[str, VectorSource]:
    """The configured numeric streams that the recording has, by name.

    Raises ``Refused``: missing_stream if a required one is missing or empty, missing_field if one
    has another dimension than the configuration expects, bad_config if it cannot hold quaternions.
    """
    sources = {}
    for stream in config.streams:
        found = recording.streams.get(stream.name)
        if found is None or found.count == 0:
            if stream.required:
                fault = "is not in the recording" if found is None else "holds no sample"
                raise Refused(
                    Reason.MISSING_STREAM,
                    f"stream {stream.name} {fault}; record it, or set required: false and give "
                    "the features that use it a fallback",
                )
            continue
        dimension = found.dimension
        if dimension is None:
            dimension = int(recording.vectors(stream.name).shape[1])
        if stream.expected_dimension not in (None, dimension):
            raise Refused(
                Reason.MISSING_FIELD,
                f"stream {stream.name} has {dimension} elements where the configuration expects "
                f"{stream.expected_dimension}; check the selected columns or field",
            )
        if stream.space is Interpolation.QUATERNION and dimension % 4:
            raise Refused(
                Reason.BAD_CONFIG,
                f"stream {stream.name} has {dimension} elements, but quaternions come in blocks of "
                "four; make the quaternion a stream of its own",
            )
        strategy = stream.strategy or config.alignment.strategy
        sources[stream.name] = VectorSource(
            name=stream.name,
            stamps=recording.timestamps(stream.name),
            required=stream.required,
            dimension=dimension,
            element_names=found.element_names,
            strategy=strategy,
            method=METHODS[strategy],
            limits=_limits(stream, config),
        )
    return sources


def picture_sources(recording: Recording, config: DatasetConfig) -> dict[str, PictureSource]:
    """The configured cameras that the recording has, by name.

    A camera that is missing altogether is refused (missing_camera) if it is the base camera, or if
    it is required and so are all cameras (``require_all_cameras``); otherwise its feature is left
    out.
    """
    base = base_camera(config)
    sources = {}
    for camera in config.cameras:
        is_base = base is not None and camera.name == base.name
        found = recording.streams.get(camera.name)
        if found is None or found.count == 0:
            if is_base or (camera.required and config.filtering.require_all_cameras):
                what = "base camera" if is_base else "camera"
                raise Refused(
                    Reason.MISSING_CAMERA,
                    f"{what} {camera.name} has no picture in the recording"
                    + ("" if is_base else "; set require_all_cameras: false to go without it"),
                )
            continue
        stamps = recording.timestamps(camera.name)
        ids = _usable_pictures(stamps, camera, config)
        older_ns, newer_ns = picture_limits(camera, config)
        sources[camera.name] = PictureSource(
            name=camera.name,
            feature=camera.feature,
            all_stamps=stamps,
            stamps=stamps[ids],
            ids=ids,
            required=camera.required or is_base,
            older_ns=older_ns,
            newer_ns=newer_ns,
        )
    return sources


def _limits(stream: StreamConfig, config: DatasetConfig) -> Limits:
    alignment = config.alignment
    return Limits(
        tolerance_ns=ns_of_ms(stream.tolerance_ms or alignment.tolerance_ms),
        max_age_ns=ns_of_ms(stream.max_age_ms or alignment.max_age_ms),
        window_ns=ns_of_ms(alignment.window_ms),
        min_samples=alignment.min_samples,
        aggregation=alignment.aggregation,
        space=stream.space,
        causal=alignment.causal,
    )


def _usable_pictures(stamps: Stamps, camera: CameraConfig, config: DatasetConfig) -> Indices:
    if camera.role is CameraRole.DOWNSAMPLE:
        return thinned(stamps, exact_rate(camera.target_fps or config.dataset.fps))
    return np.arange(len(stamps), dtype=np.int64)


def picture_limits(camera: CameraConfig, config: DatasetConfig) -> tuple[int, int]:
    """How much older and how much newer than its row a picture may be, ns; see ``pictures``."""
    alignment = config.alignment
    if camera.tolerance_ms is not None:
        tolerance = ns_of_ms(camera.tolerance_ms)
    elif alignment.picture_tolerance_ms is not None:
        tolerance = ns_of_ms(alignment.picture_tolerance_ms)
    else:
        # Half a period away is as near as a picture at the rows' rate can be promised. Causal rows
        # look back only, so there it is a whole one.
        periods = 2 if alignment.causal else 1
        tolerance = periods * NS_PER_S // (2 * config.dataset.fps)
        tolerance += ns_of_ms(alignment.tolerance_ms)
    if camera.max_age_ms is not None:
        tolerance = min(tolerance, ns_of_ms(camera.max_age_ms))
    return tolerance, 0 if alignment.causal else tolerance
