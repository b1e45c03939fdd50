"""The same messages come out of every container, and are those that were written."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import mcap.writer
import numpy as np
import pytest
from rosbags.rosbag2 import CompressionMode, StoragePlugin

from lerobot_pipelines.config.schema import StreamConfig
from lerobot_pipelines.errors import ContentChanged, Reason, Refused
from lerobot_pipelines.model import Clock, EpisodeSource, StreamKind
from lerobot_pipelines.recordings.ros import open_bag
from lerobot_pipelines.recordings.ros.compression import zstd_module
from lerobot_pipelines_tests.recordings_ros.bags import (
    JOINTS,
    START_NS,
    Types,
    camera,
    config_of,
    picture,
    session,
    source_of,
    write_mcap,
    write_ros1,
    write_ros2,
)

Made = Callable[[Path], EpisodeSource]
LZ4 = mcap.writer.CompressionType.LZ4
ZSTD = mcap.writer.CompressionType.ZSTD
NONE = mcap.writer.CompressionType.NONE
NO_INDEX = mcap.writer.IndexType.NONE


def ros1(compression: str) -> Made:
    types = Types(1)
    return lambda folder: source_of(
        write_ros1(folder / "a.bag", session(types), types, compression)
    )


def ros2(plugin: StoragePlugin, mode: CompressionMode, *, metadata: bool = True) -> Made:
    types = Types(2)

    def make(folder: Path) -> EpisodeSource:
        bag = write_ros2(folder / "a", session(types), types, plugin, mode)
        if not metadata:
            (bag / "metadata.yaml").unlink()
        return source_of(bag)

    return make


def plain_mcap(ros: int, **options: object) -> Made:
    types = Types(ros)
    return lambda folder: source_of(
        write_mcap(folder / "a.mcap", session(types), types, **options)  # type: ignore[arg-type]
    )


def split(folder: Path) -> EpisodeSource:
    """Three files of one recording; names sort 1, 10, 2 as text."""
    types = Types(2)
    said = session(types)
    for number, part in ((1, said[:40]), (2, said[40:80]), (10, said[80:])):
        bag = write_ros2(folder / f"part{number}", part, types)
        (folder / "whole").mkdir(exist_ok=True)
        shutil.move(next(bag.glob("*.db3")), folder / "whole" / f"rec_{number}.db3")
    return source_of(folder / "whole")


def compressed_file(folder: Path) -> EpisodeSource:
    types = Types(2)
    path = write_mcap(folder / "a.mcap", session(types), types)
    packed = folder / "a.mcap.zstd"
    packed.write_bytes(zstd_module().compress(path.read_bytes()))
    return source_of(packed)


CONTAINERS: dict[str, Made] = {
    "ros1": ros1("none"),
    "ros1 bz2": ros1("bz2"),
    "ros1 lz4": ros1("lz4"),
    "db3": ros2(StoragePlugin.SQLITE3, CompressionMode.NONE),
    "db3 without metadata": ros2(StoragePlugin.SQLITE3, CompressionMode.NONE, metadata=False),
    "db3 zstd files": ros2(StoragePlugin.SQLITE3, CompressionMode.FILE),
    "db3 zstd messages": ros2(StoragePlugin.SQLITE3, CompressionMode.MESSAGE),
    "db3 split": split,
    "mcap of rosbag2": ros2(StoragePlugin.MCAP, CompressionMode.NONE),
    "mcap zstd messages": ros2(StoragePlugin.MCAP, CompressionMode.MESSAGE, metadata=False),
    "mcap": plain_mcap(2, compression=NONE),
    "mcap lz4": plain_mcap(2, compression=LZ4),
    "mcap zstd": plain_mcap(2, compression=ZSTD),
    "mcap zstd file": compressed_file,
    "mcap empty profile": plain_mcap(2, profile="", compression=ZSTD),
    "mcap of ros1": plain_mcap(1, profile="ros1", compression=LZ4),
    "mcap without chunks": plain_mcap(2, use_chunking=False),
    "mcap without summary": plain_mcap(
        *(2,),
        index_types=NO_INDEX,
        repeat_channels=False,
        repeat_schemas=False,
        use_statistics=False,
        use_summary_offsets=False,
    ),
    "mcap with padded messages": plain_mcap(2, tail=bytes(5)),
}


@pytest.fixture(params=list(CONTAINERS))
def source(request: pytest.FixtureRequest, tmp_path: Path) -> EpisodeSource:
    return CONTAINERS[request.param](tmp_path)


def test_every_container_gives_the_same_streams(source: EpisodeSource) -> None:
    recording = open_bag(source, None)
    assert {name: (s.kind, s.count, s.dimension) for name, s in recording.streams.items()} == {
        "/joints": (StreamKind.VECTOR, 40, 3),
        "/state": (StreamKind.VECTOR, 40, 33),
        "/twist": (StreamKind.VECTOR, 40, 6),
        "/cam": (StreamKind.PICTURE, 10, None),
    }
    assert recording.streams["/joints"].element_names == JOINTS
    assert recording.faults == ()
    recording.close()


def test_every_container_gives_the_same_numbers(source: EpisodeSource) -> None:
    config = config_of(
        StreamConfig(name="joints", topic="/joints", clock=Clock.HEADER),
        StreamConfig(name="arm", topic="/state", field="joint_data.joint_q[12:26]"),
        StreamConfig(name="turn", topic="/twist", field="angular.z, linear.x"),
    )
    recording = open_bag(source, config)
    k = np.arange(40)
    header = START_NS + k * 10_000_000
    assert np.array_equal(recording.timestamps("joints"), header)
    assert np.array_equal(recording.timestamps("arm"), header + 2_000_001)
    assert np.array_equal(recording.vectors("joints"), np.column_stack([k, k + 0.5, -k]))
    assert np.array_equal(recording.vectors("arm"), 100 * k[:, None] + np.arange(12, 26))
    assert np.array_equal(recording.vectors("turn"), np.column_stack([2 * k, k]))
    assert recording.streams["turn"].element_names == ("angular.z", "linear.x")
    recording.close()


def test_every_container_gives_the_same_pictures(source: EpisodeSource) -> None:
    recording = open_bag(source, config_of(camera(clock=Clock.HEADER)))
    ids = np.array([0, 3, 4, 9])
    found = list(recording.pictures({"cam": ids}))
    assert [p.id for p in found] == ids.tolist()
    assert [p.data for p in found] == [picture(number) for number in ids.tolist()]
    assert [p.stamp_ns for p in found] == (START_NS + ids * 40_000_000).tolist()
    assert {p.encoding for p in found} == {"jpeg"}
    recording.close()


def test_a_file_that_changed_since_it_was_listed_is_not_read(tmp_path: Path) -> None:
    source = ros1("none")(tmp_path)
    path = source.root / source.members[0].path
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(ContentChanged):
        open_bag(source)


@pytest.mark.parametrize("name", ["a.bag", "a.db3", "a.mcap"])
@pytest.mark.parametrize("content", [b"", b"not a bag", bytes(5000)])
def test_what_is_no_bag_is_refused(name: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(Refused) as caught:
        open_bag(source_of(path))
    assert caught.value.reason is Reason.CORRUPT_CONTAINER
    assert name in caught.value.message


def test_an_episode_without_a_bag_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("nothing")
    with pytest.raises(Refused) as caught:
        open_bag(source_of(path))
    assert caught.value.reason is Reason.UNSUPPORTED


def test_reading_leaves_no_trace_beside_the_bag(tmp_path: Path) -> None:
    source = ros2(StoragePlugin.SQLITE3, CompressionMode.FILE)(tmp_path)
    before = {p: p.read_bytes() for p in source.root.iterdir()}
    recording = open_bag(source)
    assert recording.faults == ()
    recording.close()
    assert {p: p.read_bytes() for p in source.root.iterdir()} == before
