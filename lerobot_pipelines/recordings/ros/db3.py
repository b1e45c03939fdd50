"""ROS 2 bags in SQLite (``.db3``), schema versions 1 to 4.

The files are opened immutable: nothing is locked, created or changed beside them. What SQLite left
in a journal beside the file is taken in by a copy.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lerobot_pipelines.config.schema import DEFAULT_LIMITS
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.model import Fault
from lerobot_pipelines.recordings.ros.blocks import Block, unread_blocks
from lerobot_pipelines.recordings.ros.compression import LARGEST_CHUNK_BYTES, ZSTD_MAGIC, unpacked
from lerobot_pipelines.recordings.ros.container import (
    Connection,
    IndexBuilder,
    LostMessage,
    Message,
    Rows,
)
from lerobot_pipelines.recordings.ros.db3_journal import is_usable, journals_of, taken_in
from lerobot_pipelines.storage.scratch import ScratchFolder

# SQLite's own errors, and what damaged text and numbers make of Python's conversions.
_UNREADABLE = (sqlite3.Error, UnicodeError, ValueError, TypeError, OverflowError)

_FORMATS = {"ros2msg": "msg", "ros2idl": "idl"}


class Db3File:
    """One database file."""

    def __init__(self, path: Path, max_messages: int = DEFAULT_LIMITS.messages) -> None:
        """Raises ``Refused`` (corrupt_container) if it is no database of messages."""
        self.path = path
        self._max_messages = max_messages
        self.faults: list[Fault] = []
        self.details: dict[str, Any] = {"compression": "none"}
        if path.stat().st_size == 0:
            raise Refused(Reason.CORRUPT_CONTAINER, f"{path.name} is empty")
        self._scratch: ScratchFolder | None = None
        try:
            place = self._take_in_journals()
            self._database = sqlite3.connect(
                f"file:{quote(str(place.resolve()))}?mode=ro&immutable=1",
                uri=True,
                check_same_thread=False,
            )
        except sqlite3.Error as error:
            self._clean_up()
            raise Refused(Reason.CORRUPT_CONTAINER, f"{path.name}: {error}") from error
        self._database.text_factory = lambda raw: raw.decode("utf-8", errors="replace")
        try:
            # Else SQLite refuses a file that is shorter than its first page says. Nothing can be
            # written: the file is opened for reading.
            self._database.execute("PRAGMA writable_schema = ON")
            # What a file claims of a value is held against what a message may be.
            self._database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LARGEST_CHUNK_BYTES)
            self._refuse_views()
            self.connections = self._read_topics()
            self.index = self._read_index()
            self._describe()
        except _UNREADABLE as error:
            self.close()
            raise Refused(
                Reason.CORRUPT_CONTAINER,
                f"{path.name} is no database of ROS 2 messages ({error})",
            ) from error
        except BaseException:
            self.close()
            raise

    def _take_in_journals(self) -> Path:
        """The file to read: this one, or a copy with what lies in the journals beside it."""
        journals = journals_of(self.path)
        usable = [journal for journal in journals if is_usable(journal)]
        self._scratch = taken_in(self.path, usable) if usable else None
        for journal in journals:
            if self._scratch is None or journal not in usable:
                self.faults.append(Fault("", journal.name, "unfinished_write"))
        if self._scratch is None:
            return self.path
        self.details["recovered"] = ", ".join(journal.name for journal in usable)
        return self._scratch.path / self.path.name

    def _clean_up(self) -> None:
        if self._scratch is not None:
            self._scratch.cleanup()

    def _refuse_views(self) -> None:
        """A view may make rows without end out of nothing; recorders write tables."""
        kinds = dict(
            self._database.execute(
                "SELECT name, type FROM sqlite_master WHERE name IN ('messages', 'topics')"
            )
        )
        if others := [name for name, kind in kinds.items() if kind != "table"]:
            raise Refused(
                Reason.CORRUPT_CONTAINER,
                f"{self.path.name} is no database of ROS 2 messages ({others[0]} is no table)",
            )

    def _read_topics(self) -> list[Connection]:
        definitions = {
            str(name): (str(encoding), str(text))
            for name, encoding, text in self._optional(
                "SELECT topic_type, encoding, encoded_message_definition FROM message_definitions"
            )
        }
        connections = []
        columns = "id, name, type, serialization_format"
        hashes = dict(self._optional("SELECT id, type_description_hash FROM topics"))
        for id, name, type_name, serialization in self._database.execute(
            f"SELECT {columns} FROM topics ORDER BY id"
        ):
            encoding, text = definitions.get(str(type_name), ("", ""))
            connections.append(
                Connection(
                    id=int(id),
                    topic=str(name),
                    type_name=str(type_name),
                    definition=text if encoding in _FORMATS else "",
                    definition_format="idl" if encoding == "ros2idl" else "msg" if text else "",
                    digest=str(hashes.get(id) or ""),
                    serialization=str(serialization),
                )
            )
        return connections

    def _optional(self, query: str) -> list[tuple[Any, ...]]:
        """Rows of a table or column that older schemas do not have."""
        try:
            return self._database.execute(query).fetchall()
        except _UNREADABLE:
            return []

    def _read_index(self) -> Any:
        builder = IndexBuilder(self._max_messages, self.path.name)
        known = {connection.id for connection in self.connections}
        seen: set[int] = set()
        strangers = 0
        for id, topic, stamp in self._rows():
            if id in seen:
                break  # the walk from the end has met the one from the beginning
            if self._damaged:
                seen.add(id)
            if topic in known:
                builder.add(topic, stamp, id, -1)
            else:
                strangers += 1
        if strangers:
            self.faults.append(Fault("", "whole file", "unknown_connection", strangers))
        return builder.build()

    def _rows(self) -> Iterator[tuple[int, int, int]]:
        """Every row that can be reached: from the start, and from the end if a page is rotten."""
        self._damaged = False
        last = None
        query = "SELECT id, topic_id, timestamp FROM messages"
        try:
            for row in self._database.execute(f"{query} ORDER BY id"):
                if not all(isinstance(value, int) for value in row):
                    continue
                last = row[0]
                yield row
            return
        except _UNREADABLE as error:
            self._damaged = True
            self.details["recovered"] = str(error)
        recovered = 0
        try:
            for row in self._database.execute(f"{query} ORDER BY id DESC"):
                if last is not None and row[0] <= last:
                    break
                if all(isinstance(value, int) for value in row):
                    recovered += 1
                    yield row
        except _UNREADABLE:
            pass
        where = f"after message {last}" + (f", before the last {recovered}" if recovered else "")
        self.faults.append(Fault("", where, "damaged_pages"))

    def _describe(self) -> None:
        for row in range(min(len(self.index), 1)):
            head = self._database.execute(
                "SELECT substr(data, 1, 4) FROM messages WHERE id = ?",
                (int(self.index.anchors[row]),),
            ).fetchone()
            if head and bytes(head[0] or b"") == ZSTD_MAGIC:
                self.details["compression"] = "zstd"

    def message(self, row: int) -> Message:
        """See ``BagFile.message``."""
        id = int(self.index.anchors[row])
        where = f"message {id}"
        try:
            found = self._database.execute(
                "SELECT data FROM messages WHERE id = ?", (id,)
            ).fetchone()
        except _UNREADABLE:
            raise LostMessage(where, "damaged_pages") from None
        if found is None or not isinstance(found[0], bytes):
            raise LostMessage(where, "damaged_pages")
        data = found[0]
        return unpacked(Message(memoryview(data), 0, 0, len(data)), where)

    def blocks(self, rows: Rows) -> Iterator[Block]:
        """See ``BagFile.blocks``. SQLite hands rows out one by one."""
        return unread_blocks(rows)

    def close(self) -> None:
        self._database.close()
        self._clean_up()
