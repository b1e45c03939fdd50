"""The resolved configuration of one dataset: every default filled in, every shorthand expanded.

This module holds the schema only, one model per section of the YAML. Reading YAML, ``${ENV}``
substitution, the field's older key names and the ``arms`` shorthand live beside it and produce
this form; rules between keys are in ``rules_*``. All models are frozen and refuse unknown keys.
The text below a key is its description in the configuration reference.
"""

from __future__ import annotations

import logging
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from lerobot_pipelines.model import Clock

Name = Annotated[str, Field(min_length=1, max_length=200)]
PositiveMs = Annotated[float, Field(gt=0)]
PositiveNumber = Annotated[float, Field(gt=0)]
TimeUnit = Literal["auto", "s", "ms", "us", "ns"]
DepthUnit = Literal["m", "cm", "mm", "0.1mm", "um"]


class Section(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", use_enum_values=False, allow_inf_nan=False
    )

    @field_validator("*", mode="before")
    @classmethod
    def _no_boolean_as_number(cls, value: Any, info: ValidationInfo) -> Any:
        # Pydantic reads true as 1; a person who writes ``crf: true`` means something else.
        if (
            isinstance(value, bool)
            and cls.model_fields[str(info.field_name)].annotation is not bool
        ):
            raise PydanticCustomError("boolean_value", "true and false have no meaning here")
        return value


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
    """How the stream is called in `features` and in reports."""
    topic: str | None = None
    """Bags: the topic. A stream needs a `topic`, a `file` or both."""
    file: str | None = None
    """Folder recordings: the parquet or CSV file below the episode's joints folder."""
    field: str | None = None
    """Bags: the message's field, with an optional slice: `joint_data.joint_q[12:26]`.
    Files: the common beginning of the columns' names, e.g. `joint_`."""
    columns: tuple[str, ...] | None = None
    """Files: exactly these columns, in this order."""
    joint_names: tuple[str, ...] | None = None
    """Bags whose messages name their joints, as `sensor_msgs/JointState` does: these joints by
    name, in this order, of each field."""
    kind: Literal["state", "command", "gripper"] = "state"
    """What the numbers are; shown in reports."""
    scale: float | tuple[float, ...] = 1.0
    """Each value becomes value * scale + bias; one number, or one per element."""
    bias: float | tuple[float, ...] = 0.0
    """See `scale`."""
    unit: str | None = None
    """The unit after scaling; shown in reports."""
    convert: Literal["none", "degrees_to_radians"] = "none"
    """A conversion after scaling."""
    space: Interpolation = Interpolation.PLAIN
    """How values are averaged and interpolated: `angle` wraps at 2 pi, `angle_degrees` at 360,
    `quaternion` is xyzw in blocks of four."""
    clock: Clock | None = None
    """Where stamps come from: `file` (column), `receive` (when the recorder wrote the message)
    or `header` (when the sensor measured). null: `file` for folders, `receive` for bags."""
    time_unit: TimeUnit = "auto"
    """The unit of stamps in files; `auto` tells it from their magnitude."""
    offset_ms: float = 0.0
    """Added to every stamp, for a known latency. Negative: the sample counts as earlier."""
    strategy: Strategy | None = None
    """An alignment of its own, e.g. `hold` for commands. null: `alignment.strategy`."""
    tolerance_ms: PositiveMs | None = None
    """null: `alignment.tolerance_ms`."""
    max_age_ms: PositiveMs | None = None
    """With `hold`: an older sample does not count. null: `alignment.max_age_ms`."""
    required: bool = True
    """Whether a recording without this stream is refused."""
    expected_dimension: int | None = Field(default=None, gt=0)
    """Elements per sample; a recording with another number is refused. null: any."""


class CameraRole(StrEnum):
    BASE = "base"  # its frames are the timeline
    SYNC = "sync"  # matched to the rows
    DOWNSAMPLE = "downsample"  # faster than the rows: thinned to target_fps first


class CameraConfig(Section):
    """One camera: a folder of pictures or a topic; becomes one video feature."""

    name: Name
    """How the camera is called in reports."""
    role: CameraRole = CameraRole.SYNC
    """`base`: its pictures make the timeline, one row each. `sync`: matched to the rows.
    `downsample`: faster than the rows; thinned to `target_fps` first, then matched."""
    target_fps: float | None = Field(default=None, gt=0)
    """The rate it is thinned to (`downsample`), or is known to run at (`base`, `sync`)."""
    topic: str | None = None
    """Bags: the topic of its pictures."""
    folder: str | None = None
    """Folder recordings: its folder below the episode's images. null: the camera's name."""
    feature: Name
    """Its LeRobot feature. If not given: `observation.images.` and the name, for depth
    `observation.depth.` and the name."""
    clock: Clock | None = None
    """As for streams; `file` means the pictures' file names."""
    time_unit: TimeUnit = "auto"
    """The unit of the stamps in file names; `auto` tells it from their magnitude."""
    rate_hz: float | None = Field(default=None, gt=0, le=10_000)
    """Folder recordings whose pictures are numbered (`frame_000123.jpg`): the rate they were taken
    at. A number that is missing is a hole in time. Surer: a `stamps.parquet` or `stamps.csv` beside
    the pictures, with the moment of each."""
    start_s: float | None = None
    """With `rate_hz`: the moment of the picture numbered 0 (or 1, where there is no 0), in seconds
    on the streams' clock. null: the first sample of the streams, where they last as long as the
    pictures; the intake report warns of it."""
    offset_ms: float = 0.0
    """Added to every stamp, for a known latency."""
    tolerance_ms: PositiveMs | None = None
    """null: `alignment.picture_tolerance_ms`."""
    max_age_ms: PositiveMs | None = None
    """A picture further from its row than this is never used."""
    required: bool = True
    """Whether a recording without this camera is refused (see
    `filtering.require_all_cameras`)."""
    depth: bool = False
    """Whether pictures hold distances (16 bit, mm, or 32 bit, m) instead of colours. They are
    kept metric, as 12-bit codes in a lossless video; `video` settings on codec, quality and
    pixel format do not matter then."""
    depth_range_m: tuple[float, float] = (0.0, 10.0)
    """Depth: the nearest and farthest distance kept; what lies outside becomes the end next to
    it. With a nearest of 0, pixels without a distance stay 0."""
    depth_unit: DepthUnit | PositiveNumber | None = None
    """Depth: the unit of the camera's values, or metres per value, e.g. 0.00025. null: that of the
    encoding, mm for 16 bits and m for 32 bits."""


class FeaturePart(Section):
    """Some elements of one stream."""

    stream: Name
    """The stream's name."""
    slice: str | None = None
    """Which elements, as Python writes it: `0:7`, `-1`, `::2`. null: all."""
    names: tuple[str, ...] | None = None
    """The elements' names. null: the recording's own, else numbers."""
    fallback: Name | None = None
    """The stream used on rows where `stream` has no valid sample."""
    fallback_slice: str | None = None
    """The elements of `fallback`. null: all of them."""
    binary_threshold: float | None = None
    """Makes each value 1 where it is at least this, else 0."""


class FeatureConfig(Section):
    """One LeRobot feature, float32: parts concatenated in order. A list stands for `parts`; a
    part may be written `stream` or `stream[0:7]`; `null` removes a feature that `robot.arms`
    made."""

    parts: tuple[FeaturePart, ...] = Field(min_length=1)
    """What it is made of."""
    chunk: bool = False
    """Whether it holds the next `alignment.chunk_size` values under the `chunking` strategy."""
    names_key: str | None = None
    """Writes the names as `{names_key: [...]}` instead of a plain list."""


class LayoutConfig(Section):
    """Folder recordings: the folders that hold joints and images, either directly below the raw
    prefix (`joints/<task>/<episode>/left.parquet`) or below each episode
    (`<task>/<episode>/joints/left.parquet`). Of an episode without one of them, the files and
    camera folders that streams and cameras name may lie right in it."""

    joints: str = "joints"
    """The folder of the parquet files."""
    images: str = "images"
    """The folder of the cameras' folders."""


class ScannerConfig(Section):
    """How new recordings are noticed in the bucket."""

    interval_s: Annotated[int, Field(ge=1)] = 30
    """Seconds between two looks."""
    rescan_cron: str = "0 * * * *"
    """When everything is compared once more, as a cron schedule."""
    min_episode_files: Annotated[int, Field(ge=1)] = 1
    """A folder recording with fewer files is not taken yet."""
    quiet_period_s: Annotated[float, Field(ge=0)] = 10.0
    """A recording whose newest file is younger is still being uploaded."""
    marker: str | None = None
    """Only recordings that hold a file of this name are taken, e.g. `_READY`. Surest."""
    max_requests_per_tick: Annotated[int, Field(ge=1, le=1000)] = 100
    """Most runs requested at one look."""
    episodes_per_run: Annotated[int, Field(ge=1, le=100)] = 1
    """How many ready episodes share a run."""


class LifecycleConfig(Section):
    """Days after which what nobody needs leaves the bucket; null: never. Recordings, datasets and
    all that a dataset may need to be rewritten stay whatever their age."""

    refused_days: Annotated[int, Field(ge=1)] | None = 30
    """Artifacts of refused episodes. The refusal itself stays, and another attempt makes them
    anew."""
    gone_days: Annotated[int, Field(ge=1)] | None = 30
    """Artifacts of episodes whose recording was deleted, unless they are in the dataset."""
    superseded_days: Annotated[int, Field(ge=1)] | None = 30
    """Rows and videos of earlier attempts, which neither a verdict nor a dataset names any more."""
    unfinished_days: Annotated[int, Field(ge=1)] | None = 7
    """Remains of uploads that broke off, in all three folders."""


class StorageConfig(Section):
    """The bucket: where recordings are read and everything is written."""

    url: str
    """`s3://bucket`, `file:///folder` or a path; a relative one starts at the YAML's folder."""
    endpoint: str | None = None
    """S3-compatible stores: the server, e.g. `https://s3.bj.bcebos.com`."""
    region: str | None = None
    """S3: the region. null: the client's own setting."""
    addressing_style: Literal["auto", "path", "virtual"] = "auto"
    """S3: `path` for most servers of one's own."""
    raw_prefix: str = "raw"
    """The folder of the recordings in the bucket."""
    converted_prefix: str = "converted"
    """The folder of the datasets in the bucket."""
    work_prefix: str = "work"
    """The folder of what the steps leave for one another in the bucket."""
    access_key_env: str | None = None
    """S3: the name of the environment variable with the access key, never the key itself."""
    secret_key_env: str | None = None
    """S3: the same for the secret key. null for both: the client's usual places."""
    transfer_threads: Annotated[int, Field(ge=1, le=256)] = 16
    """How many objects are fetched at once."""
    upload_threads: Annotated[int, Field(ge=1, le=256)] | None = None
    """How many objects are sent at once. null: as many as are fetched."""
    cache_dir: str | None = None
    """This machine's folder for fetched recordings and files in the making; a relative one starts
    at the working directory. null: `$LEROBOT_PIPELINES_CACHE`, else the system's temporary one."""
    cache_size_gb: Annotated[float, Field(gt=0)] = 20.0
    """Recordings fetched from a bucket elsewhere that this machine keeps, in GB."""
    sources: tuple[Name, ...] = ()
    """Folders below the raw prefix, one per robot. null: the raw prefix itself."""
    scanner: ScannerConfig = ScannerConfig()
    lifecycle: LifecycleConfig = LifecycleConfig()

    @property
    def threads_up(self) -> int:
        """How many objects are sent at once."""
        return self.upload_threads or self.transfer_threads


class TimelineKind(StrEnum):
    BASE = "base"  # one row per base-camera frame
    UNIFORM = "uniform"  # rows at k / fps


class StrategySettings(Section):
    """What holds where another strategy is asked for than the file's: by `--strategy`, by a run's
    configuration or by an episode's `overrides.json`. null: the value in `alignment`."""

    window_ms: PositiveMs | None = None
    """Asked for `window`: `alignment.window_ms`."""
    chunk_size: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Asked for `chunking`: `alignment.chunk_size`."""


class AlignmentConfig(Section):
    """How samples and pictures become rows."""

    strategy: Strategy = Strategy.NEAREST
    """`nearest`: the nearest sample. `chunking`: nearest, and the features with `chunk: true`
    hold the next `chunk_size` samples. `window`: mean or median around the row. `linear`:
    interpolated. `hold`: the last sample before the row."""
    timeline: TimelineKind = TimelineKind.BASE
    """`base`: one row per picture of the base camera. `uniform`: rows at k / fps."""
    tolerance_ms: PositiveMs = 20.0
    """A sample further from its row does not count, and the row is dropped."""
    picture_tolerance_ms: PositiveMs | None = None
    """The same for pictures. null: half a row's period plus `tolerance_ms`."""
    max_age_ms: PositiveMs = 500.0
    """`hold`: an older sample does not count. `chunking`: nor one further from its row."""
    causal: bool = False
    """Never look ahead of the row, as a robot at run time cannot."""
    chunk_size: Annotated[int, Field(ge=1, le=10_000)] = 50
    """`chunking`: how many values each row holds."""
    chunk_rate_hz: float | None = Field(default=None, gt=0)
    """`chunking`: how far apart they are. null: the action stream's own rate."""
    padding_mode: Literal["repeat", "edge", "constant"] = "repeat"
    """`chunking`, past the end: the last value (`repeat`, `edge`) or `padding_value`."""
    padding_value: float = 0.0
    """For `padding_mode: constant`."""
    window_ms: PositiveMs = 40.0
    """`window`: half its width; samples within this of the row count."""
    aggregation: Literal["mean", "median"] = "mean"
    """`window`: how samples become one value."""
    min_samples: Annotated[int, Field(ge=1)] = 1
    """`window`: with fewer samples the row is dropped."""
    trim_start_frames: Annotated[int, Field(ge=0)] = 0
    """Rows left out at the beginning of each recording."""
    trim_end_frames: Annotated[int, Field(ge=0)] = 0
    """Rows left out at its end."""
    max_clock_offset_ms: PositiveMs | None = 300.0
    """Bags: how far apart the streams' stamps may lie, measured against reception. Further, they
    are of machines whose clocks differ, and the episode is refused. null: any."""
    rate_tolerance: Annotated[float, Field(gt=0, lt=1)] = 0.02
    """How far the base camera's measured rate may be from `dataset.fps` (0.02: 2 %)."""
    on_request: StrategySettings = StrategySettings()


class FilterConfig(Section):
    """Which recordings are refused, each with a reason. They come back when this allows them."""

    min_duration_sec: Annotated[float, Field(ge=0)] = 0.0
    """Shorter recordings are refused."""
    max_duration_sec: float | None = Field(default=None, gt=0)
    """Longer recordings are refused. null: no limit."""
    min_frames: Annotated[int, Field(ge=1)] = 2
    """Recordings with fewer rows are refused."""
    require_all_cameras: bool = True
    """Whether every camera must be there; false: only those with `required: true`."""
    max_timestamp_gap_ms: PositiveMs | None = 500.0
    """The longest hole in a required stream. null: any."""
    gap_policy: Literal["fail", "split", "drop"] = "fail"
    """With a longer hole: refuse the recording, make an episode of each side, or leave the rows
    of the hole out."""
    max_corrupt_fraction: Annotated[float, Field(ge=0, le=1)] = 0.05
    """The share of a stream's samples that may be unreadable."""
    strict: bool = False
    """Whether a warning of the intake report, or of a check, refuses the recording too."""


class VideoConfig(Section):
    """How pictures become mp4. The defaults suit training: any frame is found fast."""

    codec: Literal["h264", "hevc", "av1", "copy"] = "h264"
    """`copy` keeps the camera's JPEGs unchanged: no loss, no work, larger files."""
    crf: Annotated[int, Field(ge=0, le=63)] = 23
    """Quality, lower is better: 0 to 51, for av1 0 to 63."""
    preset: str = "medium"
    """Patience of the encoder, `ultrafast` to `placebo`; for av1 also 0 to 13."""
    gop: Annotated[int, Field(ge=1)] = 10
    """Frames from one key frame to the next: fewer are faster to read at random."""
    pix_fmt: Literal["yuv420p", "yuv422p", "yuv444p"] = "yuv420p"
    """Colour resolution; only yuv420p is read everywhere."""
    threads: Annotated[int, Field(ge=0)] = 0
    """Threads per camera; 0: as many as suit it, on every machine the same."""
    size: tuple[int, int] | None = None
    """Width and height to scale to. null: the camera's own."""
    size_change: Literal["refuse", "scale"] = "refuse"
    """What to do where a camera's pictures change size within a recording."""

    @field_validator("preset", mode="before")
    @classmethod
    def _number_of_a_preset(cls, value: Any) -> Any:
        # SVT-AV1 numbers its presets, and people write them without quotes.
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


class LimitsConfig(Section):
    """What a recording may ask for before it is refused (too_large). Sizes and counts that a file
    only claims are held against these, and against what it can hold, before memory is taken; they
    never change the output."""

    picture_megapixels: Annotated[float, Field(gt=0)] = 100.0
    """Millions of pixels of one picture."""
    rows: Annotated[int, Field(ge=1)] = 10_000_000
    """Samples of one stream: rows of a table, messages of a topic."""
    values: Annotated[int, Field(ge=1)] = 100_000_000
    """Numbers of one stream: rows times columns."""
    messages: Annotated[int, Field(ge=1)] = 20_000_000
    """Messages of one bag, all topics together."""
    members: Annotated[int, Field(ge=1)] = 1_000_000
    """Files of one episode."""
    text_characters: Annotated[int, Field(ge=1)] = 4000
    """Characters of one text of `metadata.json`, such as a task; longer ones are cut."""

    @property
    def max_pixels(self) -> int:
        """``picture_megapixels`` as a number of pixels."""
        return int(self.picture_megapixels * 1e6)


DEFAULT_LIMITS = LimitsConfig()


class LoggingConfig(Section):
    """Log lines of commands and services; they never change the output. Dagster keeps the events
    of its runs by itself."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    """The least serious lines written to `file`. On stderr `--log-level` decides."""
    file: str | None = None
    """A file that log lines are written to besides stderr; a relative one starts at the working
    directory. null: none."""
    max_bytes: Annotated[int, Field(ge=0)] = 10_000_000
    """The file's size at which it is put aside as `<file>.1` and a new one begins. 0: never."""
    backup_count: Annotated[int, Field(ge=0, le=1000)] = 5
    """How many files put aside are kept."""
    format: str | None = None
    """How a line in the file looks, as Python's logging writes it: `%(asctime)s %(message)s`.
    null: time, level and message."""

    @field_validator("level", mode="before")
    @classmethod
    def _any_spelling(cls, value: Any) -> Any:
        name = value.upper() if isinstance(value, str) else value
        return {"WARN": "WARNING", "FATAL": "CRITICAL"}.get(name, name)

    @field_validator("format")
    @classmethod
    def _format_can_be_used(cls, value: str | None) -> str | None:
        if value is not None:
            # Python finds names that do not exist when a line is written only: too late.
            record = logging.makeLogRecord({"msg": "", "asctime": "", "message": ""})
            try:
                logging.Formatter(value).format(record)
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"cannot be used: {error}") from None
        return value


class Format(StrEnum):
    V21 = "v2.1"
    V30 = "v3.0"


class DatasetSection(Section):
    """The dataset that comes out."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,99}$")]
    """Letters, digits and `_`; also the name of the asset group in Dagster."""
    fps: Annotated[int, Field(ge=1, le=1000)] = 30
    """Rows per second. If not given: the base camera's `target_fps`, where it has one."""
    formats: tuple[Format, ...] = Field(default=(Format.V30,), min_length=1)
    """LeRobot format versions to write: `v2.1`, `v3.0` or both."""
    task: str | None = None
    """What the robot does, for every episode. null: the recording's own `metadata.json`, else
    the name of its task folder."""
    robot_type: str = "unknown"
    """The robot, as `meta/info.json` names it."""
    pattern: str = "{dataset}"
    """The dataset's folder below the converted prefix; may use `{dataset}`, `{robot}`,
    `{strategy}` and, where there is one source, `{source}`. With `{episode_id}` each episode has
    a dataset of its own, e.g. `{source}/{episode_id}_{strategy}`."""
    chunks_size: Annotated[int, Field(ge=1)] = 1000
    """Files per folder (v2.1: episodes)."""
    data_files_size_in_mb: Annotated[int, Field(ge=1)] = 100
    """v3.0: a parquet file grows to this before the next begins."""
    video_files_size_in_mb: Annotated[int, Field(ge=1)] = 200
    """v3.0: the same for mp4."""
    license: str = "apache-2.0"
    """For the dataset card."""
    tags: tuple[str, ...] = ()
    """For the dataset card and Dagster."""
    owners: tuple[str, ...] = ()
    """Dagster: e-mail addresses or `team:name`."""


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
    limits: LimitsConfig = LimitsConfig()
    logging: LoggingConfig = LoggingConfig()
    chunk_frames: Annotated[int, Field(ge=1)] = 100
    """Pictures held at once per camera; never changes the output."""
    workers: Annotated[int, Field(ge=1, le=256)] | None = None
    """Episodes converted at once: by `convert`, and the encodings at once of Dagster's pool where
    nobody has set its limit; never changes the output. null: 1, and by the number of cores."""
    limit_memory_mb: Annotated[int, Field(ge=1)] | None = None
    """Resident memory that a conversion may take, all its processes together; never changes the
    output. Cameras are encoded one after another where they do not fit side by side; a limit that
    cannot be kept is refused with the figure needed. null: no limit."""

    @property
    def has_dataset_per_episode(self) -> bool:
        """Whether ``dataset.pattern`` gives every episode a dataset of its own."""
        return "{episode_id}" in self.dataset.pattern

    @property
    def base_camera(self) -> CameraConfig | None:
        """The camera whose frames are the timeline: role ``base``, else the first, else None."""
        bases = [camera for camera in self.cameras if camera.role is CameraRole.BASE]
        return next(iter(bases or self.cameras), None)

    def stream(self, name: str) -> StreamConfig:
        """The stream of that name; ``KeyError`` if the configuration has none."""
        for stream in self.streams:
            if stream.name == name:
                return stream
        raise KeyError(name)
