"""The vocabulary that the packages share: frozen records without behaviour.

All stamps are int64 nanoseconds on the recording's own clock. Ages and offsets say their unit in
their name. Arrays are never modified after construction.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.intake import IntakeEntry

Stamps = NDArray[np.int64]
Vectors = NDArray[np.float64]


class StreamKind(StrEnum):
    PICTURE = "picture"
    VECTOR = "vector"


class Clock(StrEnum):
    """Where a stream's stamps come from."""

    FILE = "file"  # a file's name or a timestamp column
    RECEIVE = "receive"  # when the recorder wrote the message
    HEADER = "header"  # when the sensor says it measured


@dataclass(frozen=True, slots=True)
class Member:
    """One object of an episode in the bucket. ``path`` is relative to the raw prefix, with "/"."""

    path: str
    size: int
    etag: str


@dataclass(frozen=True, slots=True)
class EpisodeSource:
    """Where one episode's members can be read as local files: ``root / member.path``.

    ``key`` is the episode's name as the bucket has it, e.g. ``robot_1/bottle/episode_0001``.
    """

    key: str
    root: Path
    members: tuple[Member, ...]
    uri: str


@dataclass(frozen=True, slots=True)
class ClockStep:
    """A place where a stream's clock was set: the samples from ``position`` on are of another time.

    ``position`` counts in ``Recording.timestamps``. ``before_ns`` is the last stamp before the step
    and ``after_ns`` the first behind it, each by the clock as it then was. ``size_ns``, negative
    for a clock set back, is exact to about one period of the stream.
    """

    position: int
    before_ns: int
    after_ns: int
    size_ns: int


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream of a recording. ``start_ns`` and ``end_ns`` are 0 when ``count`` is 0.

    They are those of the first and last sample. ``steps`` cut the stream into epochs, each of one
    clock; what lies in different ones cannot be compared by its stamps.
    """

    name: str
    kind: StreamKind
    count: int
    start_ns: int
    end_ns: int
    clock: Clock
    origin: str  # file, folder or topic it was read from
    dimension: int | None = None  # vectors only
    element_names: tuple[str, ...] | None = None  # vectors only, where the recording names them
    details: Mapping[str, Any] = field(default_factory=dict)  # time unit, encoding, ROS type, skew
    steps: tuple[ClockStep, ...] = ()


@dataclass(frozen=True, slots=True)
class Fault:
    """Something in a recording that was left out, and why. The rest of the recording is usable."""

    stream: str
    where: str  # file name, byte offset or stamp
    reason: str  # e.g. "truncated", "not_a_picture", "duplicate_stamp", "bad_name"
    count: int = 1


@dataclass(frozen=True, slots=True)
class Picture:
    """One encoded (or raw) picture.

    ``encoding`` is "jpeg", "png" or another of ``pictures.ENCODINGS`` for ``data`` as the camera
    wrote it, "h264" or "hevc" for a packet of a video topic, or a raw pixel layout ("rgb8", "bgr8",
    "mono8", "16UC1", ...) whose rows are ``step`` bytes long. ``orientation`` is EXIF's 1 to 8,
    where 1 is upright, as the container says it of all pictures; a picture may say another.
    """

    stream: str
    id: int
    stamp_ns: int
    data: bytes
    encoding: str = "jpeg"
    width: int | None = None
    height: int | None = None
    step: int | None = None
    orientation: int = 1


class Recording(Protocol):
    """One episode's streams, read in two passes: numbers and stamps first, pictures second.

    Memory is bounded by the numeric streams of one episode plus a few pictures, never by the
    recording. Streams keep their samples sorted by stamp (stable); where several samples share one
    stamp the first in recording order is kept and the others are reported as faults. Where a
    stream's clock was set (``Stream.steps``) this holds for each epoch by itself, and epochs follow
    one another as they were recorded.
    """

    source: EpisodeSource
    streams: Mapping[str, Stream]
    faults: Sequence[Fault]
    intake: Sequence[IntakeEntry]  # what else a person has to know; see ``reports.report_intake``
    metadata: Mapping[str, Any]  # metadata.json or sidecar: "task", "operator", ... if given

    def timestamps(self, stream: str) -> Stamps:
        """Stamps of a stream, strictly increasing in each epoch, shape (count,), ns."""
        ...

    def vectors(self, stream: str) -> Vectors:
        """Samples of a vector stream, shape (count, dimension), in the order of the stamps."""
        ...

    def pictures(self, wanted: Mapping[str, NDArray[np.int64]]) -> Iterator[Picture]:
        """Pictures by id (position in ``timestamps(stream)``).

        ``wanted`` holds strictly increasing ids per stream. Each stream's pictures come in the
        order of its ids; how streams interleave is the container's choice (file order for bags),
        so that one pass serves all cameras. Raises ``Refused`` for a picture that is gone.
        """
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class StreamReport:
    """What is known of a stream before alignment; shown in the UI and by ``inspect``."""

    name: str
    kind: StreamKind
    origin: str
    clock: Clock
    count: int
    start_ns: int
    end_ns: int
    median_rate_hz: float | None
    longest_gap_ms: float | None
    dimension: int | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an episode is made of. The fingerprint (SHA-256 over members) is its identity."""

    key: str
    uri: str
    container: str  # "folder", "ros1", "ros2", "mcap"
    fingerprint: str
    members: tuple[Member, ...]
    streams: tuple[StreamReport, ...]
    faults: tuple[Fault, ...]
    metadata: Mapping[str, Any]
    overrides: Mapping[str, Any] = field(default_factory=dict)  # see pipeline.episode_config
    intake: tuple[IntakeEntry, ...] = ()  # faults among them


@dataclass(frozen=True, slots=True)
class AlignmentReport:
    """How the rows came about. Ages are picture or sample stamp minus row time, in ms."""

    rows_candidate: int
    rows_kept: int
    dropped: Mapping[str, int]  # reason -> rows, e.g. {"tolerance:cam_left": 3, "gap": 12}
    measured_rate_hz: float | None  # of the base camera
    trimmed_start_ms: float
    trimmed_end_ms: float
    gaps: Sequence[Mapping[str, Any]]  # {"stream", "start_ns", "length_ms"}
    age_ms: Mapping[str, Mapping[str, float]]  # stream -> {"p50", "p95", "max"} of |age|
    utilisation: Mapping[str, float]  # stream -> share of its samples inside the span that rows use
    intake: Sequence[IntakeEntry] = ()  # what the alignment found to say


@dataclass(frozen=True, slots=True)
class AlignedFrames:
    """The rows of one recording: the single list that drives the parquet and the encoders.

    ``segments`` numbers runs of rows without a hole, from 0, non-decreasing. Each segment becomes
    one LeRobot episode. ``features`` maps a LeRobot feature key to float32 (n, d), to float32
    (n, chunk, d) for action chunks, or to bool (n, chunk) for their padding mask.
    ``pictures`` maps a camera *feature* key to source picture ids; ``picture_streams`` says which
    stream of the recording each comes from.
    """

    fps: int
    row_times_ns: Stamps  # (n,) the moment each row stands for
    segments: NDArray[np.int32]  # (n,)
    features: Mapping[str, NDArray[Any]]
    feature_names: Mapping[str, Sequence[str]]  # names of the last axis
    pictures: Mapping[str, NDArray[np.int64]]  # camera feature -> (n,) picture ids
    picture_ages_ns: Mapping[str, Stamps]  # camera feature -> (n,) picture stamp minus row time
    picture_streams: Mapping[str, str]  # camera feature -> stream name
    report: AlignmentReport
    # What the recording calls the elements of features that the configuration names otherwise;
    # "" where it does not say.
    recorded_names: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DepthCoding:
    """How the 12-bit codes of a depth video stand for distances; the arithmetic is in
    ``video.depth``.

    ``unit`` is that of the camera, in which statistics are told. ``shift_m`` bends the scale: the
    steps between codes grow with distance plus shift.
    """

    unit: Literal["mm", "m"]
    nearest_m: float
    farthest_m: float
    shift_m: float


@dataclass(frozen=True, slots=True)
class PictureStatistics:
    """Counts of every value of every channel over the sampled pictures of one video.

    ``histogram`` is int64 (3, 256) over RGB uint8 pixels, for depth (1, 4096) over its codes,
    sampled over frames and pixels as lerobot does; minimum, maximum, mean, standard deviation and
    quantiles follow from it exactly, and two of them merge by addition.
    """

    frames: int  # pictures sampled
    histogram: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PictureProof:
    """What looking at some frames of a finished mp4 again has shown (``video.proof``).

    ``misplaced`` are rows whose frame is not the picture they name; ``largest_difference`` is the
    largest mean difference of brightness found, of 255 levels.
    """

    rows: int  # looked at
    misplaced: tuple[int, ...]
    largest_difference: float


@dataclass(frozen=True, slots=True)
class EncodedVideo:
    """One camera's mp4 of one segment: row k of the segment is frame k, at k / fps seconds."""

    feature: str  # e.g. observation.images.cam_high
    segment: int
    path: Path
    frames: int
    bytes: int
    sha256: str
    codec: str  # decoder name: "h264", "hevc", "av1", "mjpeg"
    pix_fmt: str
    width: int
    height: int
    fps: int
    parameters: str  # of ``VideoProbe``: only videos of equal ones can be joined
    statistics: PictureStatistics
    proof: PictureProof
    depth: DepthCoding | None = None  # None: colours
    details: Mapping[str, Any] = field(default_factory=dict)  # encoder fps, GOP, key frames, ...
