"""The resolved configuration of one dataset: every default filled in, every shorthand expanded.

This module holds the schema only. Reading YAML, ``${ENV}`` substitution, the field's older key
names and the ``arms`` shorthand live beside it and produce this form. All models are frozen and
refuse unknown keys.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from lerobot_pipelines.model import Clock

Name = Annotated[str, Field(min_length=1, max_length=200)]
PositiveMs = Annotated[float, Field(gt=0)]


class Section(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", use_enum_values=False, allow_inf_nan=False
    )


class Strategy(StrEnum):
    """How a stream's samples become one value per row (explained in ``alignment``)."""

    NEAREST = "nearest"
    CHUNKING = "chunking"
    WINDOW = "window"
    LINEAR = "linear"
    HOLD = "hold"


class Interpolation(StrEnum):
    """The space a stream's values live in; decides how they are averaged and interpolated."""

    PLAIN = "plain"
    ANGLE = "angle"  # wraps at 2 pi
    ANGLE_DEGREES = "angle_degrees"  # wraps at 360
    QUATERNION = "quaternion"  # xyzw, blocks of four


class StreamConfig(Section):
    """A numeric stream of the recording: a file's columns or a topic's field."""

    name: Name
    topic: str | None = None  # bags
    file: str | None = None  # folder recordings: parquet below the joints folder
    field: str | None = None  # bags: "joint_data.joint_q[12:26]"; files: column prefix
    columns: tuple[str, ...] | None = None  # files: exact columns, in order
    joint_names: tuple[str, ...] | None = None  # JointState: pick by name, in this order
    kind: Literal["state", "command", "gripper"] = "state"
    scale: float | tuple[float, ...] = 1.0
    bias: float | tuple[float, ...] = 0.0  # value = raw * scale + bias
    unit: str | None = None
    convert: Literal["none", "degrees_to_radians"] = "none"
    space: Interpolation = Interpolation.PLAIN
    clock: Clock | None = None  # None: the container's default (file name/column, receive time)
    time_unit: Literal["auto", "s", "ms", "us", "ns"] = "auto"
    offset_ms: float = 0.0  # added to every stamp
    strategy: Strategy | None = None  # None: alignment.strategy
    tolerance_ms: PositiveMs | None = None  # None: alignment.tolerance_ms
    max_age_ms: PositiveMs | None = None  # hold: older samples do not count
    required: bool = True
    expected_dimension: int | None = Field(default=None, gt=0)


class CameraRole(StrEnum):
    BASE = "base"  # its frames are the timeline
    SYNC = "sync"  # matched to the rows
    DOWNSAMPLE = "downsample"  # faster than the rows: thinned to target_fps first


class CameraConfig(Section):
    name: Name
    role: CameraRole = CameraRole.SYNC
    target_fps: float | None = Field(default=None, gt=0)
    topic: str | None = None  # bags
    folder: str | None = None  # folder recordings; None: the camera's name
    feature: Name  # resolved default: observation.images.<name>
    clock: Clock | None = None
    time_unit: Literal["auto", "s", "ms", "us", "ns"] = "auto"
    offset_ms: float = 0.0
    tolerance_ms: PositiveMs | None = None
    max_age_ms: PositiveMs | None = None
    required: bool = True
    depth: bool = False
    depth_range_m: tuple[float, float] = (0.01, 10.0)


class FeaturePart(Section):
    """Some elements of one stream. ``slice`` is Python's, e.g. "0:7"; None means all."""

    stream: Name
    slice: str | None = None
    names: tuple[str, ...] | None = None
    fallback: Name | None = None  # stream used on rows where ``stream`` has no valid sample
    fallback_slice: str | None = None
    binary_threshold: float | None = None  # 1.0 where value >= threshold else 0.0


class FeatureConfig(Section):
    """One LeRobot feature: parts concatenated in order, float32."""

    parts: tuple[FeaturePart, ...] = Field(min_length=1)
    chunk: bool = False  # gets an action-chunk axis under the chunking strategy
    names_key: str | None = None  # info.json names: None -> a list, else {names_key: [...]}


class LayoutConfig(Section):
    """Folder recordings: where joints and images lie below the raw prefix or the episode."""

    joints: str = "joints"
    images: str = "images"


class ScannerConfig(Section):
    interval_s: Annotated[int, Field(ge=1)] = 30
    rescan_cron: str = "0 * * * *"
    min_episode_files: Annotated[int, Field(ge=1)] = 1
    quiet_period_s: Annotated[float, Field(ge=0)] = 10.0
    marker: str | None = None  # e.g. "_READY": only episodes holding it are taken
    max_requests_per_tick: Annotated[int, Field(ge=1, le=1000)] = 100
    episodes_per_run: Annotated[int, Field(ge=1, le=100)] = 1


class StorageConfig(Section):
    """The bucket. ``url`` is ``file:///folder`` or ``s3://bucket``; prefixes lie below it."""

    url: str
    endpoint: str | None = None
    region: str | None = None
    addressing_style: Literal["auto", "path", "virtual"] = "auto"
    raw_prefix: str = "raw"
    converted_prefix: str = "converted"
    work_prefix: str = "work"
    access_key_env: str | None = None  # name of the variable that holds it, never the key itself
    secret_key_env: str | None = None  # None for both: the client's usual places
    transfer_threads: Annotated[int, Field(ge=1, le=256)] = 16  # objects fetched at once
    sources: tuple[Name, ...] = ()  # sub-prefixes of raw, one per robot; empty: raw itself
    scanner: ScannerConfig = ScannerConfig()


class TimelineKind(StrEnum):
    BASE = "base"  # one row per base-camera frame
    UNIFORM = "uniform"  # rows at k / fps


class AlignmentConfig(Section):
    strategy: Strategy = Strategy.NEAREST
    timeline: TimelineKind = TimelineKind.BASE
    tolerance_ms: PositiveMs = 20.0  # vectors
    picture_tolerance_ms: PositiveMs | None = None  # None: half a row period plus tolerance_ms
    max_age_ms: PositiveMs = 500.0
    causal: bool = False  # never look ahead of the row
    chunk_size: Annotated[int, Field(ge=1, le=10_000)] = 50
    chunk_rate_hz: float | None = Field(default=None, gt=0)  # None: the action stream's own
    padding_mode: Literal["repeat", "edge", "constant"] = "repeat"
    padding_value: float = 0.0
    window_ms: PositiveMs = 40.0  # half width: |dt| <= window_ms
    aggregation: Literal["mean", "median"] = "mean"
    min_samples: Annotated[int, Field(ge=1)] = 1
    trim_start_frames: Annotated[int, Field(ge=0)] = 0
    trim_end_frames: Annotated[int, Field(ge=0)] = 0
    rate_tolerance: Annotated[float, Field(gt=0, lt=1)] = 0.02


class FilterConfig(Section):
    min_duration_sec: Annotated[float, Field(ge=0)] = 0.0
    max_duration_sec: float | None = Field(default=None, gt=0)
    min_frames: Annotated[int, Field(ge=1)] = 2
    require_all_cameras: bool = True
    max_timestamp_gap_ms: PositiveMs | None = 500.0
    gap_policy: Literal["fail", "split", "drop"] = "fail"
    max_corrupt_fraction: Annotated[float, Field(ge=0, le=1)] = 0.05  # of a stream's samples


class VideoConfig(Section):
    codec: Literal["h264", "hevc", "av1", "copy"] = "h264"
    crf: Annotated[int, Field(ge=0, le=63)] = 23
    preset: str = "medium"
    gop: Annotated[int, Field(ge=1)] = 10
    pix_fmt: Literal["yuv420p", "yuv422p", "yuv444p"] = "yuv420p"
    threads: Annotated[int, Field(ge=0)] = 0  # per camera; 0: share the machine's cores
    size: tuple[int, int] | None = None  # width, height; None: the camera's own
    size_change: Literal["refuse", "scale"] = "refuse"


class Format(StrEnum):
    V21 = "v2.1"
    V30 = "v3.0"


class DatasetSection(Section):
    name: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,99}$")]
    fps: Annotated[int, Field(ge=1, le=1000)] = 30
    formats: tuple[Format, ...] = Field(default=(Format.V30,), min_length=1)
    task: str | None = None  # None: the recording's own, else the task folder's name
    robot_type: str = "unknown"
    pattern: str = "{dataset}"  # folder below the converted prefix
    chunks_size: Annotated[int, Field(ge=1)] = 1000
    data_files_size_in_mb: Annotated[int, Field(ge=1)] = 100
    video_files_size_in_mb: Annotated[int, Field(ge=1)] = 200
    license: str = "apache-2.0"
    tags: tuple[str, ...] = ()
    owners: tuple[str, ...] = ()


class DatasetConfig(Section):
    """One dataset: one YAML file, one Dagster asset group."""

    dataset: DatasetSection
    storage: StorageConfig
    layout: LayoutConfig = LayoutConfig()
    streams: tuple[StreamConfig, ...] = ()
    cameras: tuple[CameraConfig, ...] = ()
    features: dict[str, FeatureConfig] = Field(default_factory=dict)
    alignment: AlignmentConfig = AlignmentConfig()
    filtering: FilterConfig = FilterConfig()
    video: VideoConfig = VideoConfig()
    chunk_frames: Annotated[int, Field(ge=1)] = 100  # pictures held at once; never changes output

    @property
    def base_camera(self) -> CameraConfig | None:
        """The camera whose frames are the timeline: role ``base``, else the first, else None."""
        bases = [camera for camera in self.cameras if camera.role is CameraRole.BASE]
        return (bases or list(self.cameras) or [None])[0]

    def stream(self, name: str) -> StreamConfig:
        """The stream of that name; ``KeyError`` if the configuration has none."""
        for stream in self.streams:
            if stream.name == name:
                return stream
        raise KeyError(name)
