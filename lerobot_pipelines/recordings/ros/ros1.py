"""ROS1 bags, version 2.0.

``rosbags`` is not used for the container: it refuses a bag without a whole index, cannot read a
message by its place, and keeps no account of what was lost. It remains the reference in the tests.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lerobot_pipelines.config.schema import DEFAULT_LIMITS
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.model import Fault
from lerobot_pipelines.recordings.ros.blocks import Block, read_blocks
from lerobot_pipelines.recordings.ros.compression import LARGEST_CHUNK_BYTES
from lerobot_pipelines.recordings.ros.container import (
    ChunkCache,
    Connection,
    DamagedChunk,
    LostMessage,
    Message,
    Rows,
)
from lerobot_pipelines.recordings.ros.filebytes import FileBytes, OutOfFile
from lerobot_pipelines.recordings.ros.reading import fetcher, read_chunk
from lerobot_pipelines.recordings.ros.ros1_heads import HeadReader
from lerobot_pipelines.recordings.ros.ros1_index import read_index
from lerobot_pipelines.recordings.ros.ros1_records import (
    MAGIC,
    BadRecord,
    Op,
    Record,
    parse_record,
    read_record,
)

# A record's header and a small message in one read.
_FIRST_READ_BYTES = 4096


class Ros1File:
    """An opened bag: read through its index where that is whole, else after a scan."""

    def __init__(self, path: Path, max_messages: int = DEFAULT_LIMITS.messages) -> None:
        """Raises ``Refused`` (corrupt_container, unsupported) if nothing can be read."""
        self.path = path
        self._max_messages = max_messages
        self._file = FileBytes(path)
        try:
            self._open()
        except BaseException:
            self._file.close()
            raise

    def _open(self) -> None:
        header = self._check_magic()
        self._chunks: dict[int, Record] = {}  # compressed chunks by their position
        self._cut_chunks: set[int] = set()  # whose end is missing
        self.connections: list[Connection] = []
        self.faults: list[Fault] = []
        self.details: dict[str, Any] = {}
        self._compressions: set[str] = set()
        try:
            found = read_index(self._file, header)
            self.connections, self.index = found.connections, found.index
            self._chunks, self._compressions = found.compressed_chunks, found.compressions
        except (BadRecord, OutOfFile) as error:
            self._recover(str(error))
        self.details["compression"] = ",".join(sorted(self._compressions)) or "none"
        self._cache = ChunkCache(self._load_chunk)

    def _check_magic(self) -> Record | None:
        if self._file.size == 0:
            raise Refused(Reason.CORRUPT_CONTAINER, f"{self.path.name} is empty")
        magic = self._file.read_upto(0, len(MAGIC))
        if magic != MAGIC:
            if magic.startswith(b"#ROS"):
                raise Refused(
                    Reason.UNSUPPORTED,
                    f"{self.path.name} is a bag of version {magic[8:12]!r}; only 2.0 can be read, "
                    "`rosbag fix` converts it",
                )
            raise Refused(Reason.CORRUPT_CONTAINER, f"{self.path.name} is not a ROS1 bag")
        try:
            header = read_record(self._file, len(MAGIC))
        except BadRecord:
            return None
        if header.fields.get(b"encryptor"):
            raise Refused(
                Reason.UNSUPPORTED,
                f"{self.path.name} is encrypted with {header.fields[b'encryptor']!r}; decrypt it "
                "with `rosbag decrypt` first",
            )
        return header

    def _recover(self, cause: str) -> None:
        from lerobot_pipelines.recordings.ros.ros1_recovery import scan

        found = scan(self._file, self._max_messages)
        if not found.connections:
            raise Refused(
                Reason.CORRUPT_CONTAINER,
                f"{self.path.name} holds no whole message ({cause}); record it again",
            )
        self.connections = found.connections
        self._chunks = found.compressed_chunks
        self._cut_chunks = found.cut_chunks
        self._compressions = found.compressions
        self.faults.extend(found.faults)
        self.faults.append(Fault("", "whole file", "index_rebuilt"))
        self.details["recovered"] = cause
        self.index = found.index

    # Messages --------------------------------------------------------------------------------

    def blocks(self, rows: Rows) -> Iterator[Block]:
        """See ``BagFile.blocks``."""
        return read_blocks(self.index, rows, self._file, self._cache.get, HeadReader())

    def message(self, row: int) -> Message:
        """See ``BagFile.message``."""
        anchor, offset = int(self.index.anchors[row]), int(self.index.offsets[row])
        try:
            if offset < 0:
                window = memoryview(self._file.read_upto(anchor, _FIRST_READ_BYTES))
                record = read_record(self._file, anchor, window)
                fetch, start = fetcher(self._file), anchor
            else:
                window = memoryview(self._cache.get(anchor))
                record, fetch, start = parse_record(window, offset), None, 0
            end = self._file.size if fetch else len(window)
            if record.end > end or record.data_length > LARGEST_CHUNK_BYTES:
                raise BadRecord("cut message")
            if record.op != Op.MESSAGE or record.u32(b"conn") != self.index.connections[row]:
                raise BadRecord("other record")
        except DamagedChunk as error:
            raise LostMessage(f"chunk at byte {anchor}", str(error)) from None
        except (BadRecord, OutOfFile):
            raise LostMessage(f"byte {anchor}", "bad_record") from None
        return Message(window, start, record.data_start, record.data_length, fetch)

    def _load_chunk(self, anchor: int) -> bytes:
        chunk = self._chunks[anchor]
        return read_chunk(
            self._file,
            (chunk.data_start, chunk.data_length),
            chunk.fields[b"compression"].decode("ascii", errors="replace"),
            chunk.u32(b"size"),
            partial=anchor in self._cut_chunks,
        )

    def close(self) -> None:
        self._file.close()
