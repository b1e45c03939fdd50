"""What a folder recording has and nothing is made of: columns, files, cameras' folders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.intake import IntakeCode, IntakeEntry, Severity
from lerobot_pipelines.recordings.column_roles import looks_like_joint
from lerobot_pipelines.recordings.columns import Column
from lerobot_pipelines.recordings.folder_files import FolderFiles, described


@dataclass(slots=True)
class _Table:
    member: str
    columns: Sequence[Column]
    used: set[str] = field(default_factory=set)
    guessed: bool = False  # some stream took its columns without their names in a configuration


@dataclass(slots=True)
class Usage:
    """What was used: tables by their path below the joints folder, and cameras' folders."""

    tables: dict[str, _Table] = field(default_factory=dict)
    cameras: set[str] = field(default_factory=set)

    def open(self, path: str, member: str, columns: Sequence[Column]) -> None:
        self.tables.setdefault(path, _Table(member, columns))

    def use(self, path: str, time: str, columns: Sequence[str], *, explicit: bool) -> None:
        table = self.tables[path]
        table.used.update((time, *columns))
        table.guessed |= not explicit


def unused(files: FolderFiles, usage: Usage, config: DatasetConfig | None) -> Iterator[IntakeEntry]:
    """An entry for each file and folder; the columns of a file are one or two.

    A warning is what a person hardly left out on purpose: columns that look like joints beside
    ones that were guessed, pictures where the configuration has no camera, files of other formats.
    """
    for table in usage.tables.values():
        yield from _of_columns(table)
    for path, member in files.joints.items():
        if path not in usage.tables:
            yield _entry(Severity.NOTE, member, f"{member} is not used: no stream is read from it")
    no_camera = config is not None and not config.cameras
    for folder, members in files.cameras.items():
        if folder not in usage.cameras:
            yield _entry(
                Severity.WARNING if no_camera else Severity.NOTE,
                folder,
                f"the pictures in {folder} are not used: no camera of the configuration is read "
                "from that folder",
                count=len(members),
            )
    for kind, path in files.unread.items():
        yield IntakeEntry(
            IntakeCode.UNREAD,
            Severity.WARNING,
            "",
            f"{path} is {kind}, which is not read; export it as parquet or CSV with a column of "
            "stamps",
            files.unread_counts[kind],
        )


def _of_columns(table: _Table) -> Iterator[IntakeEntry]:
    left = [column for column in table.columns if column.name not in table.used]
    joints = [column.name for column in left if looks_like_joint(column)]
    others = [column.name for column in left if not looks_like_joint(column)]
    if joints:
        yield _entry(
            Severity.WARNING if table.guessed else Severity.NOTE,
            table.member,
            f"{table.member} has columns that look like joints, grippers or commands and are in no "
            f"stream: {described(joints)}; name all that belong to the stream in its columns",
            columns=joints,
        )
    if others:
        yield _entry(
            Severity.NOTE,
            table.member,
            f"{table.member} has columns that are in no stream: {described(others)}",
            columns=others,
        )


def _entry(
    severity: Severity,
    where: str,
    message: str,
    *,
    count: int = 1,
    columns: Sequence[str] | None = None,
) -> IntakeEntry:
    details: dict[str, object] = {"where": where}
    if columns is not None:
        details["columns"] = list(columns)
        count = len(columns)
    return IntakeEntry(IntakeCode.UNUSED, severity, "", message, count, details=details)
