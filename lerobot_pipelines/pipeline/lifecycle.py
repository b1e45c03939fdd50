"""What nobody needs any more leaves the bucket, after the days that ``storage.lifecycle`` gives.

Removed is only what neither a verdict, nor an index, nor the dataset's ledger names: artifacts of
refused episodes and of recordings that were deleted, rows and videos of earlier attempts, and the
remains of broken uploads. What a dataset holds is never touched: to rewrite a file it needs the
artifacts of all its episodes, however old. Recordings are never touched either.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain, groupby

from lerobot_pipelines.config.schema import LifecycleConfig
from lerobot_pipelines.datasets.options import work_folder
from lerobot_pipelines.datasets.records import EpisodeRecord
from lerobot_pipelines.errors import Refused
from lerobot_pipelines.pipeline.artifacts import (
    AlignedIndex,
    VideosIndex,
    episode_keys,
    episodes_folder,
    failures_folder,
    read_artifact,
    records_folder,
    retries_folder,
)
from lerobot_pipelines.pipeline.dataset import dataset_snapshots
from lerobot_pipelines.pipeline.discovery import list_members, list_names
from lerobot_pipelines.pipeline.keys import decode_key
from lerobot_pipelines.pipeline.tree import Probes
from lerobot_pipelines.pipeline.workspace import Workspace
from lerobot_pipelines.storage.base import ObjectInfo, ObjectNotFound, RangeListing
from lerobot_pipelines.storage.unfinished import unfinished_uploads

DAY_NS = 24 * 3600 * 1_000_000_000
# The rows and videos of one attempt are published within this time.
ATTEMPT_NS = 3600 * 1_000_000_000
CLOCK_NAME = "lifecycle_clock"


class Kind(StrEnum):
    REFUSED = "refused"
    GONE = "gone"
    SUPERSEDED = "superseded"
    UNFINISHED = "unfinished"


@dataclass(frozen=True, slots=True)
class Removal:
    """An object that is, or would be, removed. ``size`` in bytes."""

    kind: Kind
    key: str
    size: int
    age_days: float
    remove: Callable[[], None]


def clean_up(
    workspace: Workspace, *, dry_run: bool = False, after: str = "", seconds: float | None = None
) -> Iterator[Removal]:
    """Every removal, done unless ``dry_run``; ages are told by the store's own clock.

    ``after``: the partition key of the episode behind which to begin; all have their turn. Stops
    after ``seconds``, where one begins elsewhere next time.
    """
    until_s = None if seconds is None else time.monotonic() + seconds
    now_ns = time.time_ns() if dry_run else _store_time_ns(workspace)
    for removal in _removals(workspace, now_ns, after, until_s):
        if not dry_run:
            removal.remove()
        yield removal
        if until_s is not None and time.monotonic() > until_s:
            return


def _store_time_ns(workspace: Workspace) -> int:
    """A clock of this machine that jumps ahead would make everything old."""
    key = f"{work_folder(workspace.config)}/{CLOCK_NAME}"
    return workspace.storage.write(key, b"").modified_ns


def _removals(
    workspace: Workspace, now_ns: int, after: str, until_s: float | None = None
) -> Iterator[Removal]:
    """Nothing is removed that the last look at it does not call old enough and unneeded."""
    days = workspace.config.storage.lifecycle
    storage = workspace.config.storage
    if days.unfinished_days is not None:
        for prefix in (storage.raw_prefix, storage.work_prefix, storage.converted_prefix):
            for upload in unfinished_uploads(workspace.storage, prefix):
                age_days = (now_ns - upload.begun_ns) / DAY_NS
                if age_days > days.unfinished_days:
                    yield Removal(
                        Kind.UNFINISHED, upload.key, upload.size, age_days, upload.discard
                    )
    if days.refused_days is days.gone_days is days.superseded_days is None:
        return
    judge = _Judge(workspace, days, now_ns, until_s)
    for partition, objects in _episode_folders(workspace, after):
        yield from judge.removals(partition, objects)
    yield from judge.lonely_verdicts()


class _Judge:
    def __init__(
        self, workspace: Workspace, days: LifecycleConfig, now_ns: int, until_s: float | None
    ) -> None:
        self._workspace = workspace
        self._days = days
        self._now_ns = now_ns
        storage = workspace.storage
        self._records = _by_partition(storage.list(records_folder(workspace)))
        self._failures = _by_partition(storage.list(failures_folder(workspace)))
        self._retries = _by_partition(storage.list(retries_folder(workspace)))
        self._in_dataset = _artifacts_in_ledger(workspace)
        probes = None if until_s is None else Probes(until_s)
        names = list_names(storage, workspace.config, known=_keys_of(self._records), probes=probes)
        self._there = frozenset(names.keys)
        # Of a walk that was cut short nobody knows what is gone.
        self._is_sure = not names.unreadable and not (probes and probes.next_after)

    def removals(self, partition: str, objects: Sequence[ObjectInfo]) -> Iterator[Removal]:
        if (key := _key_of(partition)) is None:
            return
        if partition in self._records or key in self._in_dataset:
            yield from self._old(Kind.SUPERSEDED, self._superseded(key, objects))
        elif self._is_gone(key):
            verdicts = (self._failures.get(partition), self._retries.get(partition))
            yield from self._old(Kind.GONE, [*objects, *filter(None, verdicts)])
        elif partition in self._failures and partition not in self._retries:
            yield from self._old(Kind.REFUSED, objects)

    def lonely_verdicts(self) -> Iterator[Removal]:
        """Refusals and wishes whose recording is gone and that have no artifacts."""
        for partition, info in chain(self._failures.items(), self._retries.items()):
            key = _key_of(partition)
            if key is None or partition in self._records or not self._is_gone(key):
                continue
            if self._workspace.storage.head(info.key) is not None:
                yield from self._old(Kind.GONE, [info])

    def _is_gone(self, key: str) -> bool:
        if not self._is_sure or key in self._there:
            return False
        return not list_members(self._workspace.storage, self._workspace.config, key)

    def _superseded(self, key: str, objects: Sequence[ObjectInfo]) -> list[ObjectInfo]:
        keys = episode_keys(self._workspace, key)
        made = [
            info
            for info in objects
            if info.key.startswith(f"{keys.video_folder}/") or keys.is_rows(info.key)
        ]
        times = [info.modified_ns for info in made]
        places = {
            keys.folder if keys.is_rows(info.key) else info.key.rpartition("-")[0] for info in made
        }
        # Reading the indexes of all episodes would cost three requests each.
        if len(places) == len(made) and max(times, default=0) - min(times, default=0) < (
            ATTEMPT_NS
        ):
            return []
        needed = {*self._in_dataset.get(key, ())}
        try:
            needed.add(read_artifact(self._workspace, keys.aligned, AlignedIndex).frames_key)
            index = read_artifact(self._workspace, keys.videos, VideosIndex)
            needed |= {video.key for segment in index.segments for video in segment.values()}
            if (record := self._record(keys.record)) is not None:
                needed.add(record.frames_key)
                for segment in record.segments:
                    needed |= {video.key for video in segment.videos.values()}
        except (ObjectNotFound, Refused):
            return []  # an attempt is under way, or of another version: not ours to judge
        return [info for info in made if info.key not in needed]

    def _record(self, key: str) -> EpisodeRecord | None:
        try:
            return read_artifact(self._workspace, key, EpisodeRecord)
        except ObjectNotFound:
            return None

    def _old(self, kind: Kind, objects: Sequence[ObjectInfo]) -> Iterator[Removal]:
        """Those of an episode whose newest is old enough: an attempt under way keeps them all."""
        limit = {
            Kind.REFUSED: self._days.refused_days,
            Kind.GONE: self._days.gone_days,
            Kind.SUPERSEDED: self._days.superseded_days,
        }[kind]
        youngest_ns = max((info.modified_ns for info in objects), default=self._now_ns)
        if limit is None or (self._now_ns - youngest_ns) / DAY_NS <= limit:
            return
        for info in objects:
            age_days = (self._now_ns - info.modified_ns) / DAY_NS
            yield Removal(kind, info.key, info.size, age_days, self._removal(info))

    def _removal(self, info: ObjectInfo) -> Callable[[], None]:
        def remove() -> None:
            # An attempt that came to the same content since then needs it.
            there = self._workspace.storage.head(info.key)
            if there is not None and there.modified_ns <= info.modified_ns:
                self._workspace.storage.delete(info.key)

        return remove


def _episode_folders(
    workspace: Workspace, after: str
) -> Iterator[tuple[str, Sequence[ObjectInfo]]]:
    """The artifacts of each episode by partition key, from behind ``after`` round to it."""
    storage, folder = workspace.storage, episodes_folder(workspace)
    if not isinstance(storage, RangeListing):
        names = storage.list_level(folder)[0]
        for name in [*(n for n in names if n > after), *(n for n in names if n <= after)]:
            yield name, list(storage.list(f"{folder}/{name}"))
        return
    stop = f"{folder}/{after}/".encode()
    tail = storage.list_after(folder, f"{folder}/{after}") if after else iter(())
    head = storage.list(folder)
    for part, is_tail in ((tail, True), (head, False)):
        for name, objects in groupby(part, key=lambda info: _partition_in(folder, info.key)):
            here = list(objects)
            is_behind = f"{folder}/{name}/".encode() > stop
            if after and is_behind != is_tail:
                if is_tail:
                    continue
                return
            yield name, here


def _partition_in(folder: str, key: str) -> str:
    return key[len(folder) + 1 :].partition("/")[0]


def _by_partition(objects: Iterator[ObjectInfo]) -> dict[str, ObjectInfo]:
    return {info.key.rpartition("/")[2].removesuffix(".json"): info for info in objects}


def _keys_of(partitions: Mapping[str, ObjectInfo]) -> frozenset[str]:
    return frozenset(key for key in map(_key_of, partitions) if key is not None)


def _key_of(partition: str) -> str | None:
    try:
        return decode_key(partition)
    except Refused:
        return None


def _artifacts_in_ledger(workspace: Workspace) -> dict[str, set[str]]:
    """The object keys of the rows and videos that the datasets were made from, by episode."""
    found: dict[str, set[str]] = {}
    for snapshot in dataset_snapshots(workspace).values():
        for member in snapshot.members:
            artifacts = found.setdefault(member.key, set())
            artifacts.add(member.frames_key)
            artifacts.update(v.key for segment in member.segments for v in segment.videos.values())
    return found
