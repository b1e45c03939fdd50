"""A file of columns, whatever it is written as."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lerobot_pipelines.config.schema import DEFAULT_LIMITS, LimitsConfig
from lerobot_pipelines.model import Member
from lerobot_pipelines.recordings.csv_file import CsvFile
from lerobot_pipelines.recordings.layout import CSV_SUFFIX, STAMPS_NAMES
from lerobot_pipelines.recordings.parquet_file import ParquetFile


def open_table(path: Path, shown: str, limits: LimitsConfig = DEFAULT_LIMITS) -> ParquetFile:
    """Opens a parquet or CSV file by its name; ``shown`` is its name in messages.

    Raises ``Refused`` (corrupt_container) for what it is not, ``ContentChanged`` if it is gone.
    """
    is_csv = shown.lower().endswith(CSV_SUFFIX)
    return CsvFile(path, shown, limits) if is_csv else ParquetFile(path, shown, limits)


def stamps_file_of(members: Sequence[Member]) -> Member | None:
    """The file with the moments of a camera's pictures that lies beside them, if there is one."""
    named = {member.path.rpartition("/")[2].lower(): member for member in members}
    return next((named[name] for name in STAMPS_NAMES if name in named), None)
