"""MCAP files with protobuf and JSON messages, as Foxglove's tools write them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import mcap.writer
import numpy as np
import pytest
from google.protobuf import descriptor_pb2, timestamp_pb2
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from lerobot_pipelines.config.schema import StreamConfig
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.model import Clock
from lerobot_pipelines.recordings.ros import open_bag
from lerobot_pipelines_tests.recordings_ros.bags import (
    START_NS,
    camera,
    config_of,
    picture,
    source_of,
)

COUNT = 12
MOMENT = {"type": "object", "properties": {"sec": {"type": "integer"}, "nsec": {"type": "integer"}}}
CONFIG = config_of(
    StreamConfig(name="joints", topic="/joints", field="position", clock=Clock.HEADER),
    camera(clock=Clock.HEADER),
)


def descriptors() -> descriptor_pb2.FileDescriptorSet:
    """Two types that import a third one, which comes last."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="all.proto",
        package="foxglove",
        syntax="proto3",
        dependency=["google/protobuf/timestamp.proto"],
    )
    for name, fields in {
        "CompressedImage": [
            ("frame_id", field.TYPE_STRING, False),
            ("data", field.TYPE_BYTES, False),
            ("format", field.TYPE_STRING, False),
        ],
        "Joints": [
            ("name", field.TYPE_STRING, True),
            ("position", field.TYPE_DOUBLE, True),
            ("is_moving", field.TYPE_BOOL, False),
        ],
    }.items():
        message = file.message_type.add(name=name)
        message.field.add(
            name="timestamp",
            number=1,
            type=field.TYPE_MESSAGE,
            type_name=".google.protobuf.Timestamp",
            label=field.LABEL_OPTIONAL,
        )
        for number, (called, kind, repeated) in enumerate(fields, 2):
            label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
            message.field.add(name=called, number=number, type=kind, label=label)
    moment = descriptor_pb2.FileDescriptorProto()
    timestamp_pb2.DESCRIPTOR.CopyToProto(moment)
    return descriptor_pb2.FileDescriptorSet(file=[file, moment])


def protobuf(name: str, ns: int, /, **fields: Any) -> bytes:
    described = descriptors()
    pool = DescriptorPool()
    for file in reversed(described.file):
        pool.Add(file)
    message = GetMessageClass(pool.FindMessageTypeByName(f"foxglove.{name}"))(**fields)
    message.timestamp.seconds, message.timestamp.nanos = divmod(ns, 10**9)
    content: bytes = message.SerializeToString()
    return content


def as_json(name: str, ns: int, /, **fields: Any) -> bytes:
    if "data" in fields:
        fields["data"] = base64.b64encode(fields["data"]).decode()
    sec, nsec = divmod(ns, 10**9)
    return json.dumps({"timestamp": {"sec": sec, "nsec": nsec}, **fields}).encode()


JSON_SCHEMAS = {
    "CompressedImage": {
        "timestamp": MOMENT,
        "data": {"type": "string", "contentEncoding": "base64"},
        "format": {"type": "string"},
    },
    "Joints": {
        "timestamp": MOMENT,
        "name": {"type": "array", "items": {"type": "string"}},
        "position": {"type": "array", "items": {"type": "number"}},
        "is_moving": {"type": "boolean"},
    },
}


def write(path: Path, encoding: str, *, spoilt: int | None = None) -> Path:
    """Pictures and joints by turns; message ``spoilt`` of the joints cannot be read."""
    make = protobuf if encoding == "protobuf" else as_json
    with path.open("wb") as stream:
        writer = mcap.writer.Writer(stream, chunk_size=2048)
        writer.start(profile="", library="test")
        channels = {}
        for topic, name in (("/joints", "Joints"), ("/cam", "CompressedImage")):
            if encoding == "protobuf":
                schema = descriptors().SerializeToString()
            else:
                document = {"type": "object", "properties": JSON_SCHEMAS[name]}
                schema = json.dumps(document).encode()
            kind = "jsonschema" if encoding == "json" else encoding
            id = writer.register_schema(f"foxglove.{name}", kind, schema)
            channels[topic] = writer.register_channel(topic, encoding, id)
        for k in range(COUNT):
            ns = START_NS + k * 40_000_000
            joints = {"name": ["a", "b"], "position": [float(k), -k / 2], "is_moving": True}
            data = make("Joints", ns, **joints) if k != spoilt else b"\xff\xff\xff{"
            writer.add_message(channels["/joints"], ns + 5_000_000, data, ns)
            data = make("CompressedImage", ns, data=picture(k, 700), format="jpeg")
            writer.add_message(channels["/cam"], ns + 9_000_000, data, ns)
        writer.finish()
    return path


@pytest.mark.parametrize("encoding", ["protobuf", "json"])
def test_numbers_pictures_and_stamps_are_read(encoding: str, tmp_path: Path) -> None:
    recording = open_bag(source_of(write(tmp_path / "a.mcap", encoding)), CONFIG)
    stamps = START_NS + np.arange(COUNT) * 40_000_000
    assert recording.faults == ()
    for name in ("joints", "cam"):
        assert recording.streams[name].clock is Clock.HEADER
        assert np.array_equal(recording.timestamps(name), stamps)
    k = np.arange(COUNT)
    assert np.array_equal(recording.vectors("joints"), np.stack([k, -k / 2], axis=1))
    found = list(recording.pictures({"cam": k}))
    assert [one.data for one in found] == [picture(number, 700) for number in k.tolist()]
    assert {one.encoding for one in found} == {"jpeg"}
    recording.close()


@pytest.mark.parametrize("encoding", ["protobuf", "json"])
def test_without_a_configuration_the_topics_are_streams(encoding: str, tmp_path: Path) -> None:
    recording = open_bag(source_of(write(tmp_path / "a.mcap", encoding)))
    assert {name: stream.kind for name, stream in recording.streams.items()} == {
        "/joints": "vector",
        "/cam": "picture",
    }
    assert recording.streams["/joints"].dimension == 3
    assert recording.streams["/joints"].details["type"] == "foxglove.Joints"


@pytest.mark.parametrize("encoding", ["protobuf", "json"])
def test_a_message_that_is_none_costs_itself_alone(encoding: str, tmp_path: Path) -> None:
    recording = open_bag(source_of(write(tmp_path / "a.mcap", encoding, spoilt=3)), CONFIG)
    assert recording.streams["joints"].count == COUNT - 1
    assert [(f.stream, f.reason, f.count) for f in recording.faults] == [
        ("joints", "bad_message", 1)
    ]


def test_another_encoding_is_refused_by_its_name_with_those_that_can_be_read(
    tmp_path: Path,
) -> None:
    path = write(tmp_path / "a.mcap", "flatbuffer")
    with pytest.raises(Refused, match=r"flatbuffer.*ros1, cdr, protobuf, json") as caught:
        open_bag(source_of(path), CONFIG)
    assert caught.value.reason is Reason.UNSUPPORTED
    faults = open_bag(source_of(path)).faults
    assert {(f.stream, f.reason) for f in faults} == {
        ("/joints", "unsupported_encoding:flatbuffer"),
        ("/cam", "unsupported_encoding:flatbuffer"),
    }
