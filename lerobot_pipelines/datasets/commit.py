"""Bringing a planned change into the bucket so that no reader ever meets half of it.

The order, and why:

1. Before anything is announced, all rows are built and every video that is needed is looked at, so
   that no commit begins that could not be completed.
2. New videos, under names that no other writer uses: no reader looks at an mp4 that the metadata
   does not name.
3. If anything that the old ``info.json`` reaches is about to change, ``info.json`` is taken away:
   a reader then fails clearly. An append to v3.0 skips this: lerobot takes ``total_frames`` rows
   of the files in the order of their paths, and new rows lie behind the old ones at every moment.
   To v2.1 an append does need it, for as long as its small files take: lerobot 0.3.3 reads every
   parquet below ``data/``, whatever ``info.json`` says, and holds them against the JSON lines.
4. Rows, then what describes them, from this machine's disk; removal of rows that are out of use.
   Where a writer that was overtaken may still send rows, a file without rows takes their place.
5. ``info.json``: the commit point.
6. Removal of videos that are out of use. Their names are never used again.

``turn`` says how a writer that comes late is kept from doing harm.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from lerobot_pipelines.config.schema import Format
from lerobot_pipelines.datasets.building import Builder
from lerobot_pipelines.datasets.card import CARD_PATH
from lerobot_pipelines.datasets.contents import FileKind, LargeFile
from lerobot_pipelines.datasets.describing import INFO_PATH
from lerobot_pipelines.datasets.ledger import Kind
from lerobot_pipelines.datasets.provenance import PROVENANCE_PATH
from lerobot_pipelines.datasets.recovery import SeenInfo, clear_away, has_name_of_its_own
from lerobot_pipelines.datasets.turn import Turn
from lerobot_pipelines.errors import Transient
from lerobot_pipelines.storage.base import ObjectInfo, ObjectNotFound, Storage

logger = logging.getLogger(__name__)

# No loader looks at these.
_FOR_PEOPLE = (CARD_PATH, PROVENANCE_PATH)

_PUTS_AT_ONCE = 8

Written = dict[str, Any]  # size and ETag by path
T = TypeVar("T")

FENCE = "no rows"  # the identity of a file that only takes a place


@dataclass(frozen=True, slots=True)
class Plan:
    """A change. ``files`` and ``metas`` (whole small files) hold only what must be written.

    ``info`` is the new ``info.json``; None when nothing is left to describe.
    """

    format: Format
    files: tuple[LargeFile, ...]
    metas: Mapping[str, bytes]  # without info.json
    info: bytes | None
    info_is_new: bool
    deletes: tuple[str, ...]
    fences: Mapping[str, FileKind]  # places to be taken by files without rows
    reached: Collection[str]  # large files that the old info.json reaches
    known: Collection[str]  # other paths where the dataset's own files may lie
    has_rivals: bool  # other writers have not come to their end
    is_first: bool  # no reader knows the dataset yet
    adds: bool  # holds episodes that the old dataset does not

    @property
    def writes(self) -> dict[str, str]:
        """The identity of everything that is written, by path."""
        large = {file.path: file.identity for file in self.files}
        small = dict(self.metas)
        if self.info is not None and self.writes_info:
            small[INFO_PATH] = self.info
        fences = dict.fromkeys(self.fences, FENCE)
        return large | {path: sha256(data) for path, data in small.items()} | fences

    @property
    def touches_old(self) -> bool:
        return not self.is_first and (
            any(file.path in self.reached for file in self.files)
            or any(path in self.reached for path in self.deletes)
            or INFO_PATH in self.deletes
        )

    @property
    def kind(self) -> Kind:
        if self.is_first:
            return "create"
        return "append" if self.adds and not self.touches_old else "rewrite"

    @property
    def takes_info_away(self) -> bool:
        shows = self.files or self.deletes or any(path not in _FOR_PEOPLE for path in self.metas)
        return self.touches_old or (self.format is Format.V21 and not self.is_first and bool(shows))

    @property
    def writes_info(self) -> bool:
        return self.info is not None and (self.info_is_new or self.takes_info_away)

    @property
    def rows(self) -> tuple[LargeFile, ...]:
        """What lerobot reads whether it is named or not, in the order of writing."""
        order = [FileKind.DATA, FileKind.EPISODES]
        found = [file for file in self.files if file.kind in order]
        return tuple(sorted(found, key=lambda file: order.index(file.kind)))

    @property
    def videos(self) -> tuple[LargeFile, ...]:
        return tuple(file for file in self.files if file.kind is FileKind.VIDEO)


def is_fixed_name(path: str) -> bool:
    """Whether the path is that of a small file beside ``info.json``."""
    return path != INFO_PATH and path.count("/") == path.startswith("meta/")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def publish(
    turn: Turn, plan: Plan, builder: Builder, rows: Mapping[str, Path], info: SeenInfo
) -> dict[str, Any]:
    """Carry the plan out; what was written, by path. ``rows``: the finished files by path.

    Raises ``Transient`` when overtaken.
    """
    written: Written = {}
    written |= _several(lambda file: _copied(turn, builder, file), plan.videos)
    for file in plan.videos:
        if file.path not in written:
            with builder.built(file) as path:
                key = f"{turn.root}/{file.path}"
                written[file.path] = _upload(turn.storage, path, key)
    turn.check()
    seen_info = info.etag
    if plan.takes_info_away or plan.has_rivals:
        seen_info = turn.close_info(info, stays_readable=not plan.takes_info_away)
    written |= _put_rows(turn, plan, builder, rows)
    written |= _put_metas(turn, plan)
    if plan.info is not None and plan.writes_info:
        turn.put_info(plan.info, seen_info)
    videos = [path for path in plan.deletes if path.startswith("videos/")]
    clear_away(turn.storage, turn.root, plan.format, videos)
    return written


def _put_rows(turn: Turn, plan: Plan, builder: Builder, rows: Mapping[str, Path]) -> Written:
    """Rows and what describes them, the places to be taken, and the removal of what is out of use.

    The names of v2.1 are used again and again, so its files are replaced or taken away only as
    they were seen; where the store cannot do that, files without rows stay in their place.
    """
    gone = [path for path in plan.deletes if path.startswith(("data/", "meta/episodes/"))]
    shared = [path for path in gone if not has_name_of_its_own(plan.format, path)]
    ours = {*plan.reached, *plan.known, *plan.fences, *shared}
    touched = {file.path for file in plan.rows} | {*plan.fences, *shared}
    folders = {path.partition("/")[0] for path in touched & ours}
    seen = turn.observed([folder if folder == "data" else "meta/episodes" for folder in folders])
    jobs: list[tuple[str, Path]] = [(file.path, rows[file.path]) for file in plan.rows]
    jobs += [(path, builder.without_rows(kind)) for path, kind in plan.fences.items()]
    for path in shared:
        if not turn.take_away(path, seen.get(path)):
            jobs.append((path, builder.without_rows(FileKind.DATA)))

    def put(job: tuple[str, Path]) -> Written:
        path, content = job
        info = turn.put(path, content, seen.get(path), is_ours=path in ours)
        return {path: {"size": info.size, "etag": info.etag}}

    written = _several(put, jobs)
    for path in gone:
        if path not in shared:
            turn.storage.delete(f"{turn.root}/{path}")
    return written


def _put_metas(turn: Turn, plan: Plan) -> Written:
    """The small files under fixed names."""
    gone = [path for path in plan.deletes if is_fixed_name(path)]
    if not plan.metas and not gone:
        return {}
    seen = turn.observed(["", "meta"], deep=False)
    written: Written = {}
    for path, data in plan.metas.items():
        turn.put(path, data, seen.get(path), is_ours=True)
        written[path] = {"size": len(data)}
    for path in gone:
        turn.take_away(path, seen.get(path))
    return written


def _several(put: Callable[[T], Written], jobs: Sequence[T]) -> Written:
    """All jobs, several at a time where there are many."""
    written: Written = {}
    if len(jobs) <= _PUTS_AT_ONCE:
        for job in jobs:
            written |= put(job)
        return written
    with ThreadPoolExecutor(_PUTS_AT_ONCE) as pool:
        for one in pool.map(put, jobs):
            written |= one
    return written


def _copied(turn: Turn, builder: Builder, file: LargeFile) -> Written:
    """Nothing where no object is the file already, or where the store cannot copy, as some that
    otherwise speak S3 cannot."""
    there = builder.object_of(file)
    if there is None:
        return {}
    try:
        info = turn.storage.copy(there, f"{turn.root}/{file.path}")
    except (ObjectNotFound, Transient) as fault:
        logger.warning("%s is fetched and sent, for it cannot be copied: %s", there, fault)
        return {}
    return {file.path: {"size": info.size, "etag": info.etag}}


def _upload(storage: Storage, path: Path, key: str) -> dict[str, Any]:
    size = path.stat().st_size
    info: ObjectInfo = storage.upload(path, key)
    if info.size != size:
        raise Transient(f"{key} has {info.size} bytes after its upload instead of {size}")
    return {"size": size, "etag": info.etag}
