"""Which topics of a bag become which streams."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from lerobot_pipelines.config.schema import CameraConfig, DatasetConfig, StreamConfig
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.model import Clock, Fault, StreamKind
from lerobot_pipelines.recordings.ros.codecs import CODECS, Codecs
from lerobot_pipelines.recordings.ros.container import BagFile, Connection
from lerobot_pipelines.recordings.ros.message_types import Codec, UnknownType
from lerobot_pipelines.recordings.ros.pictures import PICTURE_TYPES

# Numbers that describe the recording or the scene rather than the robot's state over time: listed
# by ``inspect``, but nobody's joint values. They can still be named in a configuration.
_NO_STREAM = frozenset(
    {
        *("CameraInfo", "CompressedCameraInfo", "PointCloud2", "PointCloud", "OccupancyGrid"),
        *("Log", "ParameterEvent", "DiagnosticArray", "Clock", "StreamInfo", "WriteSplitEvent"),
        *("Metadata", "OccupancyGridUpdate", "Costmap", "TFMessage", "tfMessage"),
    }
)


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic, over all connections that carry it."""

    name: str
    type_name: str
    count: int
    connections: tuple[Connection, ...]
    codecs: dict[int, Codec]  # by connection id; empty if the type cannot be read
    problem: str | None  # reason code why not
    kind: StreamKind | None  # what it can become


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """One stream to be read, with what its configuration asks for."""

    name: str
    kind: StreamKind
    topic: Topic
    clock: Clock
    part: str = ""  # tells it from other streams of the topic; see ``stream_joints``
    required: bool = False
    stream: StreamConfig | None = None
    camera: CameraConfig | None = None


@dataclass(slots=True)
class Plan:
    streams: list[StreamPlan] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


def topics_of(file: BagFile, config: DatasetConfig | None) -> dict[str, Topic]:
    """Every topic of a bag, by name, in the order of their first connection.

    With a configuration only the types of its topics are looked into; each costs some
    milliseconds, and robots record a hundred topics.
    """
    ids, totals = np.unique(file.index.connections, return_counts=True)
    counts = Counter(dict(zip(ids.tolist(), totals.tolist(), strict=True)))
    codecs = Codecs()
    found: dict[str, list[Connection]] = {}
    for connection in file.connections:
        found.setdefault(connection.topic, []).append(connection)
    wanted = None if config is None else set(_wanted(config))
    return {
        name: _topic(name, connections, counts, codecs if _is_among(name, wanted) else None)
        for name, connections in found.items()
    }


def _wanted(config: DatasetConfig) -> Iterator[str]:
    yield from (stream.topic or stream.name for stream in config.streams)
    yield from (camera.topic or camera.name for camera in config.cameras)


def _is_among(name: str, wanted: Collection[str] | None) -> bool:
    return wanted is None or name in wanted or name.removeprefix("/") in wanted


def _topic(
    name: str, connections: Sequence[Connection], counts: Counter[int], codecs: Codecs | None
) -> Topic:
    known: dict[int, Codec] = {}
    problem: str | None = None
    if codecs is not None:
        for connection in connections:
            try:
                known[connection.id] = codecs.of(connection)
            except UnknownType as error:
                problem = str(error)
    kind = _kind(next(iter(known.values()))) if known else None
    return Topic(
        name=name,
        type_name=connections[0].type_name,
        count=sum(counts[connection.id] for connection in connections),
        connections=tuple(connections),
        codecs=known,
        problem=problem,
        kind=kind,
    )


def _kind(codec: Codec) -> StreamKind | None:
    if codec.short_name in PICTURE_TYPES and "data" in codec.fields():
        return StreamKind.PICTURE
    return StreamKind.VECTOR if codec.numeric_leaves() else None


def plan_everything(topics: Mapping[str, Topic]) -> Plan:
    """A stream per topic that holds pictures or numbers, named after it."""
    plan = Plan()
    for topic in topics.values():
        if topic.problem and topic.count:
            plan.faults.append(Fault(topic.name, topic.type_name, topic.problem, topic.count))
        short_name = topic.type_name.rpartition("/")[2]
        if topic.kind is not None and short_name not in _NO_STREAM:
            plan.streams.append(StreamPlan(topic.name, topic.kind, topic, Clock.RECEIVE))
    return plan


def plan_configured(topics: Mapping[str, Topic], config: DatasetConfig, bag: str) -> Plan:
    """The configured streams and cameras whose topics are there, by their configured names.

    ``bag`` is its name, for messages. Raises ``Refused`` (missing_stream, missing_camera,
    unsupported) for a required one that is not there or cannot be read; of one that is not
    required the latter is a fault.
    """
    plan = Plan()
    for stream in config.streams:
        _add(plan, topics, stream, StreamKind.VECTOR, stream.required, bag)
    for camera in config.cameras:
        required = camera.required and config.filtering.require_all_cameras
        required = required or camera == config.base_camera
        _add(plan, topics, camera, StreamKind.PICTURE, required, bag)
    return plan


def _add(
    plan: Plan,
    topics: Mapping[str, Topic],
    wish: StreamConfig | CameraConfig,
    kind: StreamKind,
    required: bool,
    bag: str,
) -> None:
    name = wish.topic or wish.name
    what = f"{'camera' if kind is StreamKind.PICTURE else 'stream'} {wish.name}"
    topic = topics.get(name) or topics.get(f"/{name}")
    if topic is None:
        if required:
            reason = Reason.MISSING_STREAM if kind is StreamKind.VECTOR else Reason.MISSING_CAMERA
            there = ", ".join(sorted(topics)) or "none"
            raise Refused(reason, f"{bag} has no topic {name} for {what}; there are {there}")
        return
    problem = topic.problem or "unknown_type" if not topic.codecs else None
    if problem is None and kind is StreamKind.PICTURE and topic.kind is not kind:
        problem = "no_pictures"
    if problem is not None:
        if required:
            raise Refused(
                Reason.UNSUPPORTED,
                f"{bag}: the messages of {topic.name} ({topic.type_name}) cannot be read as "
                f"{what}: {problem}{_remedy(problem)}",
            )
        plan.faults.append(Fault(wish.name, topic.type_name, problem, max(topic.count, 1)))
        return
    plan.streams.append(
        StreamPlan(
            name=wish.name,
            kind=kind,
            topic=topic,
            clock=Clock.HEADER if wish.clock is Clock.HEADER else Clock.RECEIVE,
            required=required,
            stream=wish if isinstance(wish, StreamConfig) else None,
            camera=wish if isinstance(wish, CameraConfig) else None,
        )
    )


def _remedy(problem: str) -> str:
    if problem.startswith("unsupported_encoding"):
        return f"; record or convert it with one of these encodings: {', '.join(CODECS)}"
    if problem == "unknown_type":
        return "; the bag holds no definition of its type, or one that cannot be understood"
    return ""
