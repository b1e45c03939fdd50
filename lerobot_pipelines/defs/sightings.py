"""What the bucket says of an episode right now: is it ready, is there a verdict on this content.

Knows nothing of Dagster: durable facts only, so that any process comes to the same answer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TypeVar

from lerobot_pipelines.config.hashing import alignment_hash, dataset_hash, raw_hash, video_hash
from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.datasets.records import EpisodeRecord
from lerobot_pipelines.errors import Refused
from lerobot_pipelines.model import Member
from lerobot_pipelines.pipeline import aligned, metadata, raw, videos
from lerobot_pipelines.pipeline.artifacts import (
    FailureRecord,
    episode_keys,
    read_artifact,
    records_folder,
)
from lerobot_pipelines.pipeline.dataset import dataset_snapshots
from lerobot_pipelines.pipeline.discovery import fingerprint, list_members, why_not_ready
from lerobot_pipelines.pipeline.keys import encode_key
from lerobot_pipelines.pipeline.listing import Listing, look_at_many, marker_name
from lerobot_pipelines.pipeline.workspace import Workspace
from lerobot_pipelines.storage.base import ObjectNotFound

# Listings wait for the store, not for the processor.
LOOK_THREADS = 8
# Enough for shared listings to pay, few enough for all threads to have some of a tick's.
RUN_LENGTH = 25

FAILURE_HASHES: dict[str, Callable[[DatasetConfig], str]] = {
    raw.STAGE: raw_hash,
    aligned.STAGE: alignment_hash,
    videos.STAGE: video_hash,
    metadata.STAGE: dataset_hash,
}


class Verdict(StrEnum):
    NONE = "none"  # this content was never brought to an end
    FINAL = "final"  # converted or refused as the configuration has it now
    STALE = "stale"  # in the dataset, made with another configuration: a backfill's business
    REVISABLE = "revisable"  # kept out under another configuration; this one may let it in


@dataclass(frozen=True, slots=True)
class Settled:
    """An episode that is in the dataset: the content and the configuration it was made from."""

    fingerprint: str
    config_hash: str


@dataclass(frozen=True, slots=True)
class Sighting:
    """One look at an episode. ``waiting`` and ``error`` say why it cannot be taken now."""

    key: str
    partition: str
    fingerprint: str = ""
    verdict: Verdict = Verdict.NONE
    waiting: str | None = None
    error: str | None = None
    is_marked: bool = False  # its publisher says that it is complete


def look_at_all(
    workspace: Workspace,
    keys: Sequence[str],
    now_ns: int,
    known: Callable[[str], str | None] = lambda key: None,
    settled: Mapping[str, Settled] = MappingProxyType({}),
    run_length: int = RUN_LENGTH,
) -> Iterator[Sighting]:
    """Sightings in the order of the keys; a caller that stops early costs a few runs at most.

    ``known``: the fingerprint of an episode whose verdict need not be read again. Keys beside one
    another in the bucket should be so here: what they cost is shared. ``run_length``: how many one
    thread looks at, one after the other.
    """
    pool = ThreadPoolExecutor(LOOK_THREADS)
    ahead: deque[Future[list[Sighting]]] = deque()
    try:
        for start in range(0, len(keys), run_length):
            run = keys[start : start + run_length]
            ahead.append(pool.submit(_look_at_run, workspace, run, now_ns, known, settled))
            if len(ahead) > LOOK_THREADS:
                yield from ahead.popleft().result()
        while ahead:
            yield from ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _look_at_run(
    workspace: Workspace,
    keys: Sequence[str],
    now_ns: int,
    known: Callable[[str], str | None],
    settled: Mapping[str, Settled],
) -> list[Sighting]:
    found: dict[str, Sighting] = {}
    for key, listing in look_at_many(workspace.storage, workspace.config, keys):
        try:
            if isinstance(listing, Exception):
                raise listing
            found[key] = _sighting(workspace, key, listing, now_ns, known(key), settled.get(key))
        except Exception as error:
            # One unreadable folder must not hide the others; the caller reports it.
            found[key] = Sighting(key, encode_key(key), error=f"{type(error).__name__}: {error}")
    return [found[key] for key in keys]


def _sighting(
    workspace: Workspace,
    key: str,
    listing: Listing,
    now_ns: int,
    known: str | None,
    settled: Settled | None,
) -> Sighting:
    partition = encode_key(key)
    members = listing.members
    identity = fingerprint(members)
    if known is not None and identity.startswith(known):
        return Sighting(key, partition, identity, Verdict.FINAL)
    verdict = verdict_on(workspace, key, identity, settled)
    if verdict is not Verdict.NONE:
        return Sighting(key, partition, identity, verdict)
    waiting = why_not_ready(workspace.config, key, listing, members, now_ns)
    if waiting is None and fingerprint(_listed_again(workspace, key)) != identity:
        # A marker may come while its episode is listed, behind files that were not there yet.
        waiting = "its files changed between two looks"
    is_marked = marker_name(workspace.config) in listing.signs
    return Sighting(key, partition, identity, verdict, waiting, is_marked=is_marked)


def _listed_again(workspace: Workspace, key: str) -> Sequence[Member]:
    return list_members(workspace.storage, workspace.config, key)


def settled_by_ledger(workspace: Workspace) -> dict[str, Settled]:
    """What the datasets' ledgers say of records that are still as they were read, by episode.

    Two listings and a ledger instead of a request for each episode.
    """
    etags = {info.key: info.etag for info in workspace.storage.list(records_folder(workspace))}
    return {
        member.key: Settled(member.fingerprint, member.config_hash)
        for snapshot in dataset_snapshots(workspace).values()
        for member in snapshot.members
        if etags.get(member.record_key) == member.etag
    }


def verdict_on(
    workspace: Workspace, key: str, identity: str, settled: Settled | None = None
) -> Verdict:
    """What is known of exactly this content, from the record or the failure in the bucket.

    ``settled``: what the record says, where that is known without reading it.
    """
    keys = episode_keys(workspace, key)
    config = workspace.config
    if settled is not None and settled.fingerprint == identity:
        current = settled.config_hash == dataset_hash(config)
        return Verdict.FINAL if current else Verdict.STALE
    record = _read(workspace, keys.record, EpisodeRecord)
    if record is not None and record.fingerprint == identity:
        if record.config_hash == dataset_hash(config):
            return Verdict.FINAL
        return Verdict.STALE if record.passed else Verdict.REVISABLE
    failure = _read(workspace, keys.failure, FailureRecord)
    if failure is not None and failure.fingerprint == identity:
        hash_of = FAILURE_HASHES.get(failure.stage, dataset_hash)
        return Verdict.FINAL if failure.config_hash == hash_of(config) else Verdict.REVISABLE
    return Verdict.NONE


T = TypeVar("T", EpisodeRecord, FailureRecord)


def _read(workspace: Workspace, key: str, kind: type[T]) -> T | None:
    try:
        return read_artifact(workspace, key, kind)
    except (ObjectNotFound, Refused):
        return None
