"""Damaged bags give every whole message, say what was lost and where, and are not touched."""

from __future__ import annotations

import shutil
import sqlite3
import struct
from pathlib import Path

import mcap.reader
import mcap.writer
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lerobot_pipelines.config.schema import StreamConfig
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.model import Fault
from lerobot_pipelines.recordings.ros import mcap_records, open_bag, ros1_records
from lerobot_pipelines.recordings.ros.db3_journal import is_usable
from lerobot_pipelines.recordings.ros.recording import BagRecording
from lerobot_pipelines_tests.recordings_ros.bags import (
    START_NS,
    Said,
    Types,
    camera,
    config_of,
    session,
    source_of,
    write_mcap,
    write_ros1,
    write_ros2,
)

CONFIG = config_of(StreamConfig(name="joints", topic="/joints"), camera())
MESSAGES = 260
COMPRESSIONS = {
    "none": mcap.writer.CompressionType.NONE,
    "lz4": mcap.writer.CompressionType.LZ4,
    "zstd": mcap.writer.CompressionType.ZSTD,
}


def opened(path: Path, content: bytes | None = None) -> BagRecording:
    if content is not None:
        path.write_bytes(content)
    return open_bag(source_of(path))


def messages(recording: BagRecording) -> int:
    return sum(topic.count for topic in recording.topics.values())


def reasons(recording: BagRecording) -> set[str]:
    return {fault.reason for fault in recording.faults}


def long_session(types: Types) -> list[Said]:
    return session(types, 80, picture_bytes=3000)


@pytest.fixture(params=["none", "bz2", "lz4"])
def ros1(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    types = Types(1)
    return write_ros1(tmp_path / "a.bag", long_session(types), types, request.param)


@pytest.fixture(params=list(COMPRESSIONS))
def mcap_file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    types = Types(2)
    chosen = COMPRESSIONS[request.param]
    return write_mcap(tmp_path / "a.mcap", long_session(types), types, compression=chosen)


def without_index(bag: bytes) -> bytes:
    """As the recorder leaves it when killed: index position 0, no index at the end."""
    at = bag.index(b"index_pos=") + 10
    (position,) = struct.unpack_from("<Q", bag, at)
    return bag[:at] + bytes(8) + bag[at + 8 : position]


def test_a_bag_without_index_gives_every_message(ros1: Path, tmp_path: Path) -> None:
    whole = opened(ros1)
    assert messages(whole) == MESSAGES
    content = without_index(ros1.read_bytes())
    for name in ("b.bag", "b.bag.active", "b.orig.bag"):
        path = tmp_path / name
        recovered = opened(path, content)
        assert messages(recovered) == MESSAGES
        assert reasons(recovered) == {"index_rebuilt"}
        assert np.array_equal(recovered.vectors("/joints"), whole.vectors("/joints"))
        assert path.read_bytes() == content


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
def test_a_cut_bag_gives_what_lies_before_the_cut(ros1: Path, share: float) -> None:
    whole = opened(ros1)
    values = whole.vectors("/joints")
    places = whole._file.index.anchors  # of each message, or of the chunk it is packed in
    cut = int(ros1.stat().st_size * share)
    recovered = opened(ros1, ros1.read_bytes()[:cut])
    # Whatever begins before the last thing that begins before the cut is whole.
    expected = int(np.count_nonzero(places < places[places < cut].max()))
    assert expected <= messages(recovered) < MESSAGES
    found = recovered.vectors("/joints")
    assert np.array_equal(found, values[: len(found)])
    assert "truncated_chunk" in reasons(recovered)


def test_a_tail_of_zeros_is_named(ros1: Path) -> None:
    content = ros1.read_bytes()
    half = len(content) // 2
    recovered = opened(ros1, content[:half] + bytes(len(content) - half))
    assert 0 < messages(recovered) < MESSAGES
    assert "zero_tail" in reasons(recovered)


def test_a_rotten_chunk_costs_its_messages_only(tmp_path: Path) -> None:
    types = Types(1)
    path = write_ros1(tmp_path / "a.bag", long_session(types), types, "bz2")
    content = bytearray(path.read_bytes())
    chunk = content.index(b"compression=bz2", len(content) // 2)
    content[chunk + 1000 : chunk + 1060] = bytes(60)
    path.write_bytes(bytes(content))
    recording = open_bag(source_of(path), CONFIG)
    lost = [fault for fault in recording.faults if fault.reason == "rotten_chunk"]
    assert {fault.stream for fault in lost} == {"joints", "cam"}
    assert all(fault.where.startswith("chunk at byte ") for fault in lost)
    by_stream = {fault.stream: fault.count for fault in lost}
    assert recording.streams["joints"].count == 80 - by_stream["joints"] > 70
    assert recording.streams["cam"].count == 20 - by_stream["cam"] > 15
    wanted = {"cam": np.arange(recording.streams["cam"].count)}
    assert len(list(recording.pictures(wanted))) == len(wanted["cam"])


@pytest.mark.parametrize("keep", [20, 60, 4117])
def test_a_bag_of_a_header_only_is_refused(keep: int, tmp_path: Path) -> None:
    types = Types(1)
    path = write_ros1(tmp_path / "a.bag", session(types), types)
    with pytest.raises(Refused) as caught:
        opened(path, path.read_bytes()[:keep])
    assert caught.value.reason is Reason.CORRUPT_CONTAINER


def test_a_cut_mcap_gives_what_lies_before_the_cut(mcap_file: Path) -> None:
    whole = opened(mcap_file)
    assert messages(whole) == MESSAGES
    values = whole.vectors("/joints")
    content = mcap_file.read_bytes()
    counts = []
    for share in (0.8, 0.6, 0.3):
        recovered = opened(mcap_file, content[: int(len(content) * share)])
        counts.append(messages(recovered))
        found = recovered.vectors("/joints")
        assert np.array_equal(found, values[: len(found)])
        assert reasons(recovered) & {"truncated", "truncated_chunk"}
    assert MESSAGES > counts[0] > counts[1] > counts[2] > 0


@pytest.mark.parametrize("compression", ["none", "lz4", "zstd"])
def test_an_mcap_cut_inside_its_only_chunk_gives_what_can_be_unpacked(
    compression: str, tmp_path: Path
) -> None:
    types = Types(2)
    path = write_mcap(
        *(tmp_path / "a.mcap", session(types, 80, picture_bytes=20_000), types),
        compression=COMPRESSIONS[compression],
        chunk_size=1 << 24,
    )
    recovered = opened(path, path.read_bytes()[:300_000])
    assert reasons(recovered) == {"truncated_chunk"}
    assert messages(recovered) > 50


def test_an_mcap_with_a_rotten_middle_goes_on_behind_it(mcap_file: Path) -> None:
    content = bytearray(mcap_file.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = b"\xee" * 64
    mcap_file.write_bytes(bytes(content))
    recording = open_bag(source_of(mcap_file), CONFIG)
    assert 40 < recording.streams["joints"].count <= 80
    assert recording.timestamps("joints")[-1] == START_NS + 79 * 10_000_000 + 2_000_000
    assert recording.vectors("joints").shape == (recording.streams["joints"].count, 3)


def test_an_mcap_with_a_rotten_record_head_goes_on_at_the_next_chunk(mcap_file: Path) -> None:
    content = bytearray(mcap_file.read_bytes())
    chunks = np.unique(list(opened(mcap_file)._file._chunks))  # type: ignore[attr-defined]
    broken = int(chunks[len(chunks) // 2])
    content[broken : broken + 9] = b"\xee" * 9
    recording = opened(mcap_file, bytes(content))
    assert "damaged_bytes" in reasons(recording)
    assert recording.timestamps("/joints")[-1] == START_NS + 79 * 10_000_000 + 2_000_000
    lost = MESSAGES - messages(recording)
    # Messages of a chunk that is not compressed are found without its head.
    assert lost <= 2 * MESSAGES / len(chunks)


def test_a_cut_database_gives_the_rows_that_can_be_reached(tmp_path: Path) -> None:
    types = Types(2)
    folder = write_ros2(tmp_path / "a", session(types, 400), types)
    path = next(folder.glob("*.db3"))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 7 // 10 // 4096 * 4096])
    recording = open_bag(source_of(path), CONFIG)
    assert 0 < recording.streams["joints"].count < 400
    assert "damaged_pages" in reasons(recording)


def test_what_sqlite_had_not_written_yet_is_named(tmp_path: Path) -> None:
    types = Types(2)
    path = next(write_ros2(tmp_path / "a", session(types), types).glob("*.db3"))
    path.with_name(f"{path.name}-wal").write_bytes(bytes(100))
    before = sorted(path.parent.iterdir())
    recording = open_bag(source_of(path), CONFIG)
    assert recording.streams["joints"].count == 40
    assert [(f.where, f.reason) for f in recording.faults] == [("a.db3-wal", "unfinished_write")]
    recording.close()
    assert sorted(path.parent.iterdir()) == before


@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
def test_what_lies_in_sqlites_journal_is_read_without_touching_the_recording(
    mode: str, tmp_path: Path
) -> None:
    """The recorder dies before the log is moved into the file, or amid a transaction."""
    types = Types(2)
    written = next(write_ros2(tmp_path / "a", session(types), types).glob("*.db3"))
    recorder = sqlite3.connect(written)
    recorder.execute(f"PRAGMA journal_mode = {mode}")
    recorder.execute("PRAGMA wal_autocheckpoint = 0")
    recorder.execute("PRAGMA cache_size = 1")  # spills what is not committed into the file
    if mode == "WAL":  # the last half of the messages goes to the log only
        rows = recorder.execute("SELECT * FROM messages WHERE id > 60").fetchall()
        recorder.execute("DELETE FROM messages WHERE id > 60")
        recorder.commit()
        recorder.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        marks = ",".join("?" * len(rows[0]))
        recorder.executemany(f"INSERT INTO messages VALUES ({marks})", rows)
        recorder.commit()
    else:
        recorder.execute("UPDATE messages SET data = zeroblob(4000)")
    folder = tmp_path / "found"
    folder.mkdir()
    for path in written.parent.glob(f"{written.name}*"):
        if not path.name.endswith("-shm"):
            shutil.copy(path, folder)
    recorder.close()
    path = folder / written.name
    before = {entry.name: entry.read_bytes() for entry in folder.iterdir()}
    assert len(before) == 2
    recording = open_bag(source_of(path), CONFIG)
    assert recording.streams["joints"].count == 40
    assert np.array_equal(recording.vectors("joints")[:, 0], np.arange(40))
    assert recording.details["recovered"] == f"{path.name}-{'wal' if mode == 'WAL' else 'journal'}"
    recording.close()
    assert {entry.name: entry.read_bytes() for entry in folder.iterdir()} == before


def test_an_mcap_without_chunks_goes_on_behind_damage(tmp_path: Path) -> None:
    types = Types(2)
    path = write_mcap(tmp_path / "a.mcap", session(types, 100), types, use_chunking=False)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 1000] = bytes(1000)
    content[middle // 2 : middle // 2 + 500] = np.random.default_rng(0).bytes(500)
    path.write_bytes(bytes(content))
    recording = open_bag(source_of(path), CONFIG)
    stamps = (recording.timestamps("joints") - START_NS) // 10_000_000
    assert len(stamps) > 90
    assert stamps[-1] == 99
    assert np.array_equal(recording.vectors("joints")[:, 0], stamps)
    assert "damaged_bytes" in reasons(recording)


def test_messages_of_a_plain_chunk_whose_head_is_lost_are_read(tmp_path: Path) -> None:
    types = Types(2)
    path = write_mcap(
        *(tmp_path / "a.mcap", session(types, 100), types),
        compression=mcap.writer.CompressionType.NONE,
    )
    content = bytearray(path.read_bytes())
    with path.open("rb") as stream:
        summary = mcap.reader.make_reader(stream).get_summary()
    assert summary is not None
    chunk = summary.chunk_indexes[5].chunk_start_offset
    content[chunk : chunk + 40] = bytes(40)
    path.write_bytes(bytes(content))
    recording = open_bag(source_of(path), CONFIG)
    assert recording.streams["joints"].count > 97


def test_a_split_recording_goes_without_the_part_that_cannot_be_read(tmp_path: Path) -> None:
    types = Types(2)
    said = session(types)
    folder = tmp_path / "rec"
    folder.mkdir()
    for number, part in ((0, said[:60]), (1, said[60:])):
        made = write_ros2(tmp_path / f"part{number}", part, types)
        shutil.move(next(made.glob("*.db3")), folder / f"rec_{number}.db3")
    (folder / "rec_2.db3").touch()  # the recorder died when it opened the next file
    (folder / "metadata.yaml").write_text(
        "rosbag2_bagfile_information:\n"
        "  relative_file_paths: [rec_0.db3, rec_1.db3, rec_2.db3, rec_3.db3]\n"
    )
    recording = open_bag(source_of(folder), CONFIG)
    assert recording.streams["joints"].count == 40
    assert {(fault.where, fault.reason) for fault in recording.faults} == {
        ("rec_2.db3", "corrupt_container"),
        ("rec_3.db3", "missing_file"),
    }


def test_faults_are_counted_not_listed_one_by_one(tmp_path: Path) -> None:
    types = Types(1)
    path = write_ros1(tmp_path / "a.bag", session(types), types)
    content = path.read_bytes().replace(b"\xff\xd8\xff\xe0", b"\xff\xd8\x00\x00")
    path.write_bytes(content)
    (fault,) = open_bag(source_of(path), CONFIG).faults
    assert fault == Fault("cam", fault.where, "not_a_picture", 10)


def everything(path: Path) -> None:
    """Open and read as a conversion and as ``inspect`` do; only a refusal is allowed."""
    for config in (None, CONFIG):
        try:
            recording = open_bag(source_of(path), config)
        except Refused:
            continue
        try:
            for name in recording.streams:
                assert (np.diff(recording.timestamps(name)) > 0).all()
            if "joints" in recording.streams:
                count = recording.streams["joints"].count
                assert len(recording.vectors("joints")) == count
            if "cam" in recording.streams:
                wanted = {"cam": np.arange(recording.streams["cam"].count)}
                assert len(list(recording.pictures(wanted))) == len(wanted["cam"])
            assert all(fault.count > 0 for fault in recording.faults)
        except Refused:
            pass
        finally:
            recording.close()


class Samples(dict[str, bytes]):
    """Bags by file name; a failing example names the bag instead of printing all of them."""

    def __repr__(self) -> str:
        return f"Samples({sorted(self)})"


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    folder = tmp_path_factory.mktemp("samples")
    one, two = Types(1), Types(2)
    made = Samples()
    made |= {
        f"{c}.bag": write_ros1(folder / f"{c}.bag", session(one, 12), one, c).read_bytes()
        for c in ("none", "bz2", "lz4")
    }
    for name, chosen in COMPRESSIONS.items():
        path = write_mcap(folder / f"{name}.mcap", session(two, 12), two, compression=chosen)
        made[f"{name}.mcap"] = path.read_bytes()
    bag = write_ros2(folder / "db", session(two, 12), two)
    made["a.db3"] = next(bag.glob("*.db3")).read_bytes()
    return made


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(data=st.data())
def test_no_damage_makes_reading_hang_crash_or_lie(
    data: st.DataObject, samples: Samples, tmp_path: Path
) -> None:
    name = data.draw(st.sampled_from(sorted(samples)))
    content = bytearray(samples[name])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        match data.draw(st.sampled_from(["flip", "cut", "length", "remove", "repeat", "zero"])):
            case "flip":
                content[at] ^= 1 << data.draw(st.integers(0, 7))
            case "cut":
                del content[max(at, 1) :]
            case "length":  # what is read as a length becomes another one
                number = data.draw(st.sampled_from([0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 20]))
                content[at : at + 4] = struct.pack("<I", number)
            case "remove":
                del content[at : at + 37]
            case "repeat":
                content[at:at] = content[at : at + 200]
            case "zero":
                content[at : at + 300] = bytes(len(content[at : at + 300]))
        content = content or bytearray(b"\x00")
    path = tmp_path / name
    path.write_bytes(bytes(content))
    everything(path)


def record_starts(name: str, bag: bytes) -> dict[int, list[tuple[int, int]]]:
    """(start, end) of the records of a bag by their op, those inside chunks left out."""
    found: dict[int, list[tuple[int, int]]] = {}
    is_ros1 = name.endswith(".bag")
    position = len(ros1_records.MAGIC if is_ros1 else mcap_records.MAGIC)
    while position < len(bag) - len(mcap_records.MAGIC):
        parse = ros1_records.parse_record if is_ros1 else mcap_records.parse_prefix
        record = parse(bag, position)
        found.setdefault(record.op, []).append((position, record.end))
        position = record.end
    return found


@pytest.mark.parametrize("name", ["none.bag", "lz4.bag", "none.mcap", "zstd.mcap"])
def test_damage_to_any_kind_of_record_is_survived(
    name: str, samples: Samples, tmp_path: Path
) -> None:
    whole = samples[name]
    records = record_starts(name, whole)
    assert len(records) >= 4
    path = tmp_path / name
    for places in records.values():
        start, end = places[len(places) // 2]
        middle = (start + end) // 2
        for damaged in (
            whole[: start + 3],  # in the head of the record
            whole[:middle],
            whole[:start] + whole[end:],
            whole[:start] + b"\xff" * 12 + whole[start + 12 :],
            whole[: start + 1] + bytes(8) + whole[start + 9 :],
            whole[:middle] + bytes([whole[middle] ^ 0x10]) + whole[middle + 1 :],
        ):
            path.write_bytes(damaged)
            everything(path)


def test_a_journal_that_names_another_file_is_not_taken_in(tmp_path: Path) -> None:
    journal = tmp_path / "a.db3-journal"
    magic = bytes.fromhex("d9d505f920a163d7")
    journal.write_bytes(magic + bytes(504))
    assert is_usable(journal)
    journal.write_bytes(magic + bytes(504) + b"/home/victim" + bytes(12) + magic)
    assert not is_usable(journal)
