"""What the bucket says of an episode right now: is it ready, is there a verdict on this content.

Knows nothing of Dagster: durable facts only, so that any process comes to the same answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from lerobot_pipelines.config.hashing import alignment_hash, dataset_hash, raw_hash, video_hash
from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.datasets.records import EpisodeRecord
from lerobot_pipelines.errors import Refused
from lerobot_pipelines.pipeline import aligned, metadata, raw, videos
from lerobot_pipelines.pipeline.artifacts import FailureRecord, episode_keys, read_artifact
from lerobot_pipelines.pipeline.discovery import fingerprint, list_members, readiness
from lerobot_pipelines.pipeline.keys import encode_key
from lerobot_pipelines.pipeline.workspace import Workspace
from lerobot_pipelines.storage.base import ObjectNotFound

# Listings wait for the store, not for the processor.
LOOK_THREADS = 8
LOOK_BATCH = 32

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
class Sighting:
    """One look at an episode. ``waiting`` and ``error`` say why it cannot be taken now."""

    key: str
    partition: str
    fingerprint: str = ""
    verdict: Verdict = Verdict.NONE
    waiting: str | None = None
    error: str | None = None


def look(workspace: Workspace, key: str, now_ns: int, *, known: str | None = None) -> Sighting:
    """Look at one episode; ``known``: fingerprint whose verdict need not be read again."""
    partition = encode_key(key)
    try:
        members = list_members(workspace.storage, workspace.config, key)
        identity = fingerprint(members)
        if known is not None and identity.startswith(known):
            return Sighting(key, partition, identity, Verdict.FINAL)
        verdict = verdict_on(workspace, key, identity)
        if verdict is not Verdict.NONE:
            return Sighting(key, partition, identity, verdict)
        waiting = readiness(workspace.storage, workspace.config, key, members, now_ns)
        return Sighting(key, partition, identity, verdict, waiting)
    except Exception as error:
        # One unreadable folder must not hide the others; the caller reports it.
        return Sighting(key, partition, error=f"{type(error).__name__}: {error}")


def look_at_all(
    workspace: Workspace,
    keys: Sequence[str],
    now_ns: int,
    known: Callable[[str], str | None] = lambda key: None,
) -> Iterator[Sighting]:
    """Sightings in the order of the keys; a caller that stops early costs one batch at most."""
    with ThreadPoolExecutor(LOOK_THREADS) as pool:
        for start in range(0, len(keys), LOOK_BATCH):
            batch = keys[start : start + LOOK_BATCH]
            yield from pool.map(lambda key: look(workspace, key, now_ns, known=known(key)), batch)


def verdict_on(workspace: Workspace, key: str, identity: str) -> Verdict:
    """What is known of exactly this content, from the record or the failure in the bucket."""
    keys = episode_keys(workspace, key)
    config = workspace.config
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
