"""What a file only claims never sizes memory: bounded by its bytes, by a limit, and refused."""

from __future__ import annotations

import sqlite3
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lerobot_pipelines.config.schema import DatasetConfig, LimitsConfig
from lerobot_pipelines.errors import PipelineError, Reason, Refused
from lerobot_pipelines.recordings import open_recording, source_from_path
from lerobot_pipelines.recordings.ros.compression import zstd_module
from lerobot_pipelines_tests.recordings.folders import Folder, config
from lerobot_pipelines_tests.recordings_ros.bags import (
    START_NS,
    Said,
    Types,
    camera,
    config_of,
    session,
    write_mcap,
    write_ros1,
    write_ros2,
)

# What the modules of a reader take, and room for a bounded reader to work.
MEMORY_BYTES = 1 << 30


def opened_in_bounds(path: Path, settings: DatasetConfig | None = None) -> str:
    """Opens a recording in a process that may take little memory; what it was refused for."""
    given = settings.model_dump_json() if settings is not None else ""
    program = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from lerobot_pipelines.config.schema import DatasetConfig\n"
        "from lerobot_pipelines.errors import PipelineError\n"
        "from lerobot_pipelines.recordings import open_recording, source_from_path\n"
        "import av, numpy, pyarrow.parquet, rosbags, PIL.Image\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        f"most = used + {MEMORY_BYTES}\n"
        "resource.setrlimit(resource.RLIMIT_AS, (most, most))\n"
        f"config = DatasetConfig.model_validate_json({given!r}) if {given!r} else None\n"
        "try:\n"
        f"    recording = open_recording(source_from_path(Path({str(path)!r})), config)\n"
        "    for name in recording.streams:\n"
        "        recording.timestamps(name)\n"
        "    print('opened', [fault.reason for fault in recording.faults])\n"
        "except PipelineError as error:\n"
        "    print(type(error).__name__, error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture
def long_table(tmp_path: Path) -> Path:
    """60 million equal rows in some kilobytes."""
    folder = Folder(tmp_path)
    folder.camera("cam")
    path = folder.arm("left")
    schema = pa.schema([("timestamp", pa.int64()), ("joint_1", pa.float64())])
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        ones = pa.array(np.ones(2_000_000, np.int64)), pa.array(np.ones(2_000_000))
        for _ in range(30):
            writer.write_table(pa.table(list(ones), schema=schema))
    assert path.stat().st_size < 1_000_000
    return tmp_path / "joints/block/episode_1"


def test_a_small_table_of_60_million_rows_is_refused_before_it_is_read(long_table: Path) -> None:
    told = opened_in_bounds(long_table, config())
    assert told.startswith("Refused [too_large]")
    assert "60,000,000 rows" in told
    assert "limits.rows" in told


def test_values_of_lists_are_counted_too(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    columns = {"timestamp": [1, 2], "joints": [[0.0] * 600, [0.0] * 600]}
    folder.arm("left", columns)
    folder.camera("cam")
    limits = LimitsConfig(values=1000)
    with pytest.raises(Refused, match=r"limits\.values") as caught:
        folder.open(config().model_copy(update={"limits": limits}))
    assert caught.value.reason is Reason.TOO_LARGE


def test_rows_below_the_limit_are_read(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.arm("left")
    folder.camera("cam")
    for rows, is_read in ((40, True), (39, False)):
        limits = config().model_copy(update={"limits": LimitsConfig(rows=rows)})
        if is_read:
            assert folder.open(limits).streams["left"].count == 40
        else:
            with pytest.raises(Refused, match=r"has 40 rows.*limits\.rows"):
                folder.open(limits)


def test_more_files_than_the_limit_are_refused(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.arm("left")
    folder.camera("cam", 5)
    limits = config().model_copy(update={"limits": LimitsConfig(members=5)})
    with pytest.raises(Refused, match=r"6 files.*limits\.members") as caught:
        open_recording(folder.source(), limits)
    assert caught.value.reason is Reason.TOO_LARGE


def record(op: int, content: bytes) -> bytes:
    return struct.pack("<BQ", op, len(content)) + content


def chunk_bomb(chunks: int, messages: int) -> bytes:
    """An MCAP whose chunks, each of some kilobytes, hold millions of empty messages."""
    text = lambda s: struct.pack("<I", len(s)) + s  # noqa: E731
    schema = record(
        3, struct.pack("<H", 1) + text(b"std_msgs/msg/Empty") + text(b"ros2msg") + text(b"")
    )
    channel = record(4, struct.pack("<HH", 1, 1) + text(b"/x") + text(b"cdr") + text(b""))
    packed_records = record(5, struct.pack("<HIQQ", 1, 0, 1, 1) + bytes(4)) * messages
    packed = zstd_module().compress(packed_records)
    head = struct.pack("<QQQI", 0, 0, len(packed_records), 0) + text(b"zstd")
    chunk = record(6, head + struct.pack("<Q", len(packed)) + packed)
    magic = b"\x89MCAP0\r\n"
    return magic + record(1, text(b"ros2") + text(b"")) + schema + channel + chunk * chunks


def test_a_small_bag_of_many_messages_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    path.write_bytes(chunk_bomb(chunks=40, messages=50_000))
    assert path.stat().st_size < 500_000
    settings = config_of(camera()).model_copy(update={"limits": LimitsConfig(messages=300_000)})
    told = opened_in_bounds(path, settings)
    assert told.startswith("Refused [too_large]")
    assert "limits.messages" in told


def test_a_view_in_place_of_a_table_is_no_bag(tmp_path: Path) -> None:
    path = tmp_path / "a.db3"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE topics (id, name, type, serialization_format)")
        database.execute(
            "CREATE VIEW messages AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM "
            "n) SELECT i AS id, 1 AS topic_id, i AS timestamp, zeroblob(1000000000) AS data FROM n"
        )
    database.close()
    assert "messages is no table" in opened_in_bounds(path)


@pytest.mark.parametrize("name", ["a.db3.zstd", "a.mcap.zstd"])
def test_a_packed_file_does_not_fill_the_disk(name: str, tmp_path: Path, monkeypatch: Any) -> None:
    from lerobot_pipelines.recordings.ros import compression

    monkeypatch.setattr(compression, "_UNPACKED_FREELY", 1 << 20)
    path = tmp_path / name
    path.write_bytes(zstd_module().compress(bytes(64 << 20)))
    with pytest.raises(Refused, match="unpacks to more than") as caught:
        open_recording(source_from_path(path))
    assert caught.value.reason is Reason.TOO_LARGE


@pytest.mark.parametrize(
    ("width", "height", "step", "encoding"),
    [
        *((1 << 31, 1 << 31, 0, "rgb8"), (1, 1, (1 << 32) - 1, "rgb8"), (8, 1, 1 << 31, "mono8")),
        *((60_000, 60_000, 60_000, "nv12"), (1, 2, 1 << 31, "16UC1"), (0, 0, 0, "bgr8")),
    ],
)
def test_a_raw_picture_is_never_larger_than_its_message(
    width: int, height: int, step: int, encoding: str, tmp_path: Path
) -> None:
    types = Types(1)
    said = []
    for k in range(4):
        image = types.image(START_NS + k, bytes(16), (width, height), encoding, step)
        said.append(Said("/cam", image.__msgtype__, START_NS + k, image))
    path = write_ros1(tmp_path / "a.bag", said, types)
    told = opened_in_bounds(path, config_of(camera()))
    assert told.startswith(("opened", "Refused"))


def rvl_claim(columns: int, rows: int, size: int) -> bytes:
    return bytes(12) + struct.pack("<II", columns, rows) + bytes(size)


@pytest.mark.parametrize(
    "data",
    [
        *(rvl_claim(1 << 16, 1 << 16, 40), rvl_claim(4, 4, 3 << 20)),
        *(rvl_claim((1 << 32) - 1, 1, 40), rvl_claim(4096, 4096, 3 << 20)),
    ],
)
def test_rvl_takes_memory_by_its_data_and_a_bound(data: bytes, tmp_path: Path) -> None:
    types = Types(1)
    message = types.compressed(START_NS, data, "16UC1; compressedDepth rvl")
    path = write_ros1(
        tmp_path / "a.bag", [Said("/cam", message.__msgtype__, START_NS, message)], types
    )
    assert "corrupt_rvl" in opened_in_bounds(path, config_of(camera()))


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["a.bag", "a.mcap", "a"]),
    st.lists(
        st.tuples(st.floats(0, 1), st.sampled_from([0, 0x7F, 0xFF, 1 << 31, (1 << 32) - 1])),
        min_size=1,
        max_size=6,
    ),
)
def test_random_lengths_never_take_more_than_a_bound(
    tmp_path_factory: pytest.TempPathFactory, name: str, changes: list[tuple[float, int]]
) -> None:
    """Lengths and counts are 32 bits in all three formats: any of them may claim anything."""
    import tracemalloc

    root = tmp_path_factory.mktemp("lengths")
    types = Types(1 if name == "a.bag" else 2)
    write = {"a.bag": write_ros1, "a.mcap": write_mcap, "a": write_ros2}[name]
    path = write(root / name, session(types), types)
    file = path if path.is_file() else next(path.glob("*.db3"))
    data = bytearray(file.read_bytes())
    for place, value in changes:
        at = int(place * (len(data) - 8))
        data[at : at + 4] = struct.pack("<I", value)
    file.write_bytes(data)
    tracemalloc.start()
    try:
        recording = open_recording(source_from_path(path), config_of(camera()))
        for stream in recording.streams:
            recording.timestamps(stream)
        recording.close()
    except PipelineError:
        pass
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 100 * len(data) + (16 << 20)


def test_text_is_cut_at_the_limit(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.arm("left")
    folder.camera("cam")
    path = folder.root / "joints/block/episode_1/metadata.json"
    path.write_text('{"task": "' + "pick " * 100 + '"}', encoding="utf-8")
    limits = config().model_copy(update={"limits": LimitsConfig(text_characters=50)})
    recording = folder.open(limits)
    assert len(str(recording.metadata["task"])) <= 50
    assert any("limits.text_characters" in entry.message for entry in recording.intake)
