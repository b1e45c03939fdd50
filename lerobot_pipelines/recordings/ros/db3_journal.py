"""What SQLite had not yet moved into a ``.db3`` when its recorder was stopped.

A write-ahead log beside the file holds the last messages; a rollback journal undoes what was half
written. SQLite takes either in when it opens a file for writing. That is done to a copy: the
recording is never touched.
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from lerobot_pipelines.storage.scratch import ScratchFolder

# The first bytes of a journal that holds something; of the log in either byte order of its sums.
_MARKS = {
    "-wal": (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83"),
    "-journal": (b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7",),
}


def journals_of(path: Path) -> list[Path]:
    """Those beside a database that are not empty."""
    beside = (path.with_name(path.name + suffix) for suffix in _MARKS)
    return [journal for journal in beside if journal.exists() and journal.stat().st_size]


def is_usable(journal: Path) -> bool:
    """Whether it begins as SQLite writes them, and names no other file.

    A rollback journal of several databases ends with the name of one more, which SQLite deletes:
    no recorder writes such, and a bag must not have files of this machine removed.
    """
    with journal.open("rb") as file:
        head = file.read(8)
        file.seek(max(0, journal.stat().st_size - 8))
        tail = file.read(8)
    if tail in _MARKS["-journal"]:
        return False
    return any(
        journal.name.endswith(suffix) and head.startswith(mark)
        for suffix, marks in _MARKS.items()
        for mark in marks
    )


def taken_in(path: Path, journals: list[Path]) -> ScratchFolder | None:
    """A folder with a copy of the database, under its own name, that holds what they hold.

    None if SQLite cannot do it.
    """
    scratch = ScratchFolder()
    try:
        for source in (path, *journals):
            shutil.copyfile(source, scratch.path / source.name)
        with closing(sqlite3.connect(scratch.path / path.name)) as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            database.execute("SELECT count(*) FROM topics").fetchall()
    except sqlite3.Error:
        scratch.cleanup()
        return None
    except BaseException:
        scratch.cleanup()
        raise
    return scratch
