"""What is missing or broken below the work prefix and in the datasets, found by listing.

Every object that a record, the ledger or a dataset's list of files names is looked for in a
listing, with the size and the ETag that it was written with; none is opened but records that the
ledger does not know. Nothing is mended here.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from lerobot_pipelines.config.schema import DatasetConfig, Format
from lerobot_pipelines.datasets import dataset_prefix
from lerobot_pipelines.datasets.inventory import damages, list_files, read_inventory
from lerobot_pipelines.datasets.ledger import ledger_folder, open_ledger
from lerobot_pipelines.datasets.members import Member, candidate_of
from lerobot_pipelines.datasets.records import EpisodeRecord
from lerobot_pipelines.errors import Refused
from lerobot_pipelines.pipeline.artifacts import (
    episode_keys,
    episodes_folder,
    failures_folder,
    read_artifact,
    records_folder,
    retries_folder,
)
from lerobot_pipelines.pipeline.dataset import dataset_snapshots
from lerobot_pipelines.pipeline.episode_datasets import Made, all_sizes, config_of, read_state
from lerobot_pipelines.pipeline.keys import decode_key
from lerobot_pipelines.pipeline.workspace import Workspace
from lerobot_pipelines.storage.base import ObjectInfo, ObjectNotFound
from lerobot_pipelines.storage.local_versions import lasting_etag

READ_THREADS = 16
READ_AT_ONCE = 160


@dataclass(frozen=True, slots=True)
class FileDamage:
    """A dataset's file. ``partition``: of the episode whose own dataset it is, else None."""

    root: str
    path: str
    fault: str
    partition: str | None = None


def artifact_damages(workspace: Workspace, *, seconds: float | None = None) -> dict[str, str]:
    """Episodes that were converted and lack something of it, by key, with what that is.

    Not those that are refused or asked for again: they are converted anew anyway. ``seconds``: the
    answer is empty if listing takes longer.
    """
    until_s = math.inf if seconds is None else time.monotonic() + seconds
    storage = workspace.storage
    records = {info.key: info for info in storage.list(records_folder(workspace))}
    members = {
        member.record_key: member
        for snapshot in dataset_snapshots(workspace).values()
        for member in snapshot.members
    }
    known = {
        key: one
        for key, one in members.items()
        if key not in records or records[key].etag == lasting_etag(one.etag)
    }
    unread = [info for key, info in records.items() if key not in known]
    there: dict[str, ObjectInfo] = {}
    for info in storage.list(episodes_folder(workspace)):
        there[info.key] = info
        if time.monotonic() > until_s:
            return {}
    found: dict[str, str] = {}
    with ThreadPoolExecutor(READ_THREADS) as pool:
        for start in range(0, len(unread), READ_AT_ONCE):
            if time.monotonic() > until_s:
                break  # of the others the ledger will know, once they are in the dataset
            some = unread[start : start + READ_AT_ONCE]
            for info, member in zip(some, pool.map(partial(_read, workspace), some), strict=True):
                if isinstance(member, Member):
                    known[info.key] = member
                elif member is not None:
                    found |= dict.fromkeys(_keys_of(info.key), member)
    elsewhere = {
        info.key.rpartition("/")[2]
        for folder in (failures_folder(workspace), retries_folder(workspace))
        for info in storage.list(folder)
    }
    for record_key, member in known.items():
        is_recorded = record_key in records
        if not is_recorded and record_key.rpartition("/")[2] in elsewhere:
            continue
        faults = [] if is_recorded else ["its record is missing"]
        faults += _faults(workspace, member, there)
        if faults:
            found[member.key] = "; ".join(faults)
    return dict(sorted(found.items()))


def has_artifacts(workspace: Workspace) -> bool:
    """Whether there is any artifact of any episode."""
    return any(workspace.storage.list_level(episodes_folder(workspace)))


def file_damages(workspace: Workspace) -> list[FileDamage]:
    """Files of the datasets that are missing or not as they were committed.

    A dataset whose last update was interrupted is left to the next one.
    """
    config = workspace.config
    if not config.has_dataset_per_episode:
        return [
            one for fmt in config.dataset.formats for one in _files(workspace, config, fmt, None)
        ]
    jobs = _jobs(workspace, read_state(workspace).made)
    with ThreadPoolExecutor(READ_THREADS) as pool:
        found = pool.map(lambda job: list(_files(workspace, *job)), jobs)
        return [one for damaged in found for one in damaged]


def next_damaged_dataset(
    workspace: Workspace, after: str, seconds: float
) -> tuple[list[FileDamage], str]:
    """Of the datasets of single episodes behind the partition ``after``: the first that is not as
    it was committed, and from where to go on; "" when all were looked at.

    It ends when the ``seconds`` are over, having looked at some.
    """
    until_s = time.monotonic() + seconds
    made = read_state(workspace).made
    partitions = sorted(partition for partition in made if partition > after)
    with ThreadPoolExecutor(READ_THREADS) as pool:
        for start in range(0, len(partitions), READ_THREADS):
            if start and time.monotonic() > until_s:
                return [], partitions[start - 1]
            turn = partitions[start : start + READ_THREADS]
            jobs = _jobs(workspace, {partition: made[partition] for partition in turn})
            for found in pool.map(lambda job: list(_files(workspace, *job)), jobs):
                if found:
                    return found, after
    return [], ""


def _jobs(
    workspace: Workspace, made: Mapping[str, Made]
) -> list[tuple[DatasetConfig, Format, str]]:
    """Each dataset of a single episode with its format and partition key."""
    return [
        (config_of(workspace.config, partition, folder), Format(name), partition)
        for partition, one in made.items()
        for folder, sizes in all_sizes(one)
        for name in sizes
    ]


def _files(
    workspace: Workspace, config: DatasetConfig, fmt: Format, partition: str | None
) -> Iterator[FileDamage]:
    root = dataset_prefix(config, fmt)
    history = open_ledger(workspace.storage, config, fmt).history()
    if history.pending or history.done is None:
        return
    inventory = read_inventory(workspace.storage, ledger_folder(config, fmt), history.number)
    listed = list_files(workspace.storage, root)
    for path, fault in damages(listed, history.done.snapshot, inventory).items():
        yield FileDamage(root, path, fault, partition)


def _read(workspace: Workspace, info: ObjectInfo) -> Member | str | None:
    """What the record names, or why it cannot be read; None for one that did not pass."""
    try:
        record = read_artifact(workspace, info.key, EpisodeRecord)
    except ObjectNotFound:
        return None
    except Refused as refusal:
        return f"its record cannot be read: {refusal.message}"
    return candidate_of(record, info.key, info.etag).member if record.passed else None


def _keys_of(record_key: str) -> Iterator[str]:
    try:
        yield decode_key(record_key.rpartition("/")[2].removesuffix(".json"))
    except Refused:
        return


def _faults(workspace: Workspace, member: Member, there: Mapping[str, ObjectInfo]) -> Iterator[str]:
    keys = episode_keys(workspace, member.key)
    for key in (keys.manifest, keys.aligned, keys.videos):
        if key not in there:
            yield f"{_short(key)} is missing"
    frames = (member.frames_key, member.frames_bytes, member.frames_etag)
    videos = [
        (part.key, part.bytes, part.etag)
        for segment in member.segments
        for part in segment.videos.values()
    ]
    for key, size, etag in (frames, *videos):
        info = there.get(key)
        if info is None:
            yield f"{_short(key)} is missing"
        elif size and info.size != size:
            yield f"{_short(key)} has {info.size} bytes, {size} were written"
        elif etag and info.etag != lasting_etag(etag):
            yield f"{_short(key)} was written again by somebody"


def _short(key: str) -> str:
    """Below the folder of the episode."""
    return key.partition("/episodes/")[2].partition("/")[2] or key
