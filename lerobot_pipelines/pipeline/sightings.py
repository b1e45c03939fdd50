"""What the bucket says of an episode right now: its files, its verdict, and so its state.

Knows nothing of Dagster: durable facts only, so that any process comes to the same answer. What
the facts mean is decided in ``episode_state``.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import takewhile
from types import MappingProxyType
from typing import TypeVar

from lerobot_pipelines.datasets.records import EpisodeRecord
from lerobot_pipelines.errors import Refused
from lerobot_pipelines.model import Member
from lerobot_pipelines.pipeline.artifacts import (
    FailureRecord,
    episode_keys,
    read_artifact,
    records_folder,
)
from lerobot_pipelines.pipeline.dataset import dataset_snapshots
from lerobot_pipelines.pipeline.discovery import fingerprint, list_members, why_not_ready
from lerobot_pipelines.pipeline.episode_state import (
    TAKEN_AT_SIGHT,
    TAKEN_BY_RESCAN,
    Content,
    EpisodeState,
    State,
    Verdict,
    Versions,
    decide,
    verdict_of_failure,
    verdict_of_member,
    verdict_of_record,
    versions_of,
    with_damage,
)
from lerobot_pipelines.pipeline.identity import with_earlier
from lerobot_pipelines.pipeline.keys import encode_key
from lerobot_pipelines.pipeline.listing import Listing, look_at_many, marker_name
from lerobot_pipelines.pipeline.workspace import Workspace
from lerobot_pipelines.storage.base import ObjectNotFound
from lerobot_pipelines.storage.local_versions import lasting_etag

# Listings wait for the store, not for the processor.
LOOK_THREADS = 8
# Enough for shared listings to pay, few enough for all threads to have some of a tick's.
RUN_LENGTH = 25


@dataclass(frozen=True, slots=True)
class Sighting:
    """One look at an episode.

    ``state`` is None for content that the caller remembers; ``error`` says why it could not be
    looked at. ``fingerprint``, ``files`` and ``size`` (bytes) are those of its members.
    """

    key: str
    partition: str
    fingerprint: str = ""
    state: EpisodeState | None = None
    error: str | None = None
    is_marked: bool = False  # its publisher says that it is complete
    files: int = 0
    size: int = 0

    @property
    def waiting(self) -> str | None:
        """Why it cannot be taken now."""
        is_waiting = self.state is not None and self.state.state is State.WAITING
        return self.state.why if self.state is not None and is_waiting else None

    @property
    def is_taken_at_sight(self) -> bool:
        return self.state is not None and self.state.state in TAKEN_AT_SIGHT

    @property
    def is_taken_by_rescan(self) -> bool:
        return self.state is not None and self.state.state in TAKEN_BY_RESCAN


@dataclass(frozen=True, slots=True)
class _Look:
    """What one round of looks has in common."""

    workspace: Workspace
    now_ns: int
    known: Callable[[str], str | None]
    settled: Mapping[str, Verdict]
    damaged: Mapping[str, str]
    versions: Versions


def look_at_all(
    workspace: Workspace,
    keys: Sequence[str],
    now_ns: int,
    known: Callable[[str], str | None] = lambda key: None,
    settled: Mapping[str, Verdict] = MappingProxyType({}),
    run_length: int = RUN_LENGTH,
    damaged: Mapping[str, str] = MappingProxyType({}),
    until_s: float = math.inf,
) -> Iterator[Sighting]:
    """Sightings in the order of the keys; a caller that stops early costs a few runs at most.

    ``known``: the fingerprint of an episode whose verdict need not be read again. ``settled``:
    verdicts that need not be read at all, see ``settled_by_ledger``. Keys beside one another in the
    bucket should be so here: what they cost is shared. ``run_length``: how many one thread looks
    at, one after the other. ``damaged``: what is missing of an episode that was converted, see
    ``health.artifact_damages``. ``until_s`` (``time.monotonic()``): when it is over, what is under
    way is ended, one sighting at least, and those behind are left out.
    """
    look = _Look(workspace, now_ns, known, settled, damaged, versions_of(workspace.config))
    pool = ThreadPoolExecutor(LOOK_THREADS)
    ahead: deque[tuple[int, Future[list[Sighting]]]] = deque()
    try:
        for start in range(0, len(keys), run_length):
            some = keys[start : start + run_length]
            ahead.append((len(some), pool.submit(_look_at_run, look, some, until_s)))
            while len(ahead) > LOOK_THREADS or (ahead and start + run_length >= len(keys)):
                asked, found = ahead.popleft()
                yield from found.result()
                if len(found.result()) < asked:
                    return  # those behind must not be taken for looked at
    finally:
        pool.shutdown(cancel_futures=True)


def _look_at_run(look: _Look, keys: Sequence[str], until_s: float) -> list[Sighting]:
    """In the order of the keys, up to the first that the time was too short for."""
    found: dict[str, Sighting] = {}
    workspace = look.workspace
    for key, listing in look_at_many(workspace.storage, workspace.config, keys):
        try:
            if isinstance(listing, Exception):
                raise listing
            found[key] = _sighting(look, key, listing)
        except Exception as error:
            # One unreadable folder must not hide the others; the caller reports it.
            found[key] = Sighting(key, encode_key(key), state=_unseen(error), error=_told(error))
        if time.monotonic() > until_s and keys[0] in found:
            break
    return [found[key] for key in takewhile(found.__contains__, keys)]


def _sighting(look: _Look, key: str, listing: Listing) -> Sighting:
    workspace = look.workspace
    members = listing.members
    identity = fingerprint(members)
    known = look.known(key)
    if known is not None and identity.startswith(known):
        return Sighting(key, encode_key(key), identity)
    content = Content(
        identity if members else "",
        why_not_ready(workspace.config, key, listing, members, look.now_ns),
    )
    state = state_of(workspace, key, content, look.versions, look.settled.get(key))
    state = with_damage(state, look.damaged.get(key))
    needs_another_look = state.state in TAKEN_AT_SIGHT or state.state is State.DAMAGED
    if needs_another_look and fingerprint(_listed_again(workspace, key)) != identity:
        # A marker may come while its episode is listed, behind files that were not there yet.
        state = EpisodeState(State.WAITING, "its files changed between two looks")
    return Sighting(
        key,
        encode_key(key),
        identity,
        state,
        is_marked=marker_name(workspace.config) in listing.signs,
        files=len(members),
        size=sum(member.size for member in members),
    )


def _listed_again(workspace: Workspace, key: str) -> Sequence[Member]:
    return list_members(workspace.storage, workspace.config, key)


def _unseen(error: Exception) -> EpisodeState:
    if isinstance(error, Refused):
        return EpisodeState(State.REFUSED, f"{error.reason}: {error.message}")
    return EpisodeState(State.WAITING, f"it could not be looked at: {_told(error)}")


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def settled_by_ledger(workspace: Workspace) -> dict[str, Verdict]:
    """What the datasets' ledgers say of records that are still as they were read, by episode.

    Two listings and a ledger instead of a request for each episode.
    """
    etags = {info.key: info.etag for info in workspace.storage.list(records_folder(workspace))}
    return {
        member.key: verdict_of_member(member)
        for snapshot in dataset_snapshots(workspace).values()
        for member in snapshot.members
        if etags.get(member.record_key) == lasting_etag(member.etag)
    }


def state_of(
    workspace: Workspace,
    key: str,
    content: Content,
    versions: Versions,
    settled: Verdict | None = None,
) -> EpisodeState:
    """The state of an episode with this content, from its record and its refusal in the bucket.

    ``settled``: what the record says, where that is known without reading it.
    """
    if settled is not None:
        content = with_earlier(workspace, key, content, settled.fingerprint)
        if content.is_of(settled.fingerprint):
            return decide(content, [settled], versions)
    keys = episode_keys(workspace, key)
    verdicts: list[Verdict] = []
    record, damage = _read(workspace, keys.record, EpisodeRecord)
    if record is not None:
        verdicts.append(verdict_of_record(record))
        content = with_earlier(workspace, key, content, record.fingerprint)
        if content.is_of(record.fingerprint) and not versions.difference(verdicts[0]):
            return decide(content, verdicts, versions)  # whatever was refused before
    failure, _ = _read(workspace, keys.failure, FailureRecord)
    if failure is not None:
        verdicts.append(verdict_of_failure(failure))
        content = with_earlier(workspace, key, content, failure.fingerprint)
    return decide(content, verdicts, versions, damage=damage)


T = TypeVar("T", EpisodeRecord, FailureRecord)


def _read(workspace: Workspace, key: str, kind: type[T]) -> tuple[T | None, str | None]:
    """The object, and why it cannot be read if it is there."""
    try:
        return read_artifact(workspace, key, kind), None
    except ObjectNotFound:
        return None, None
    except Refused as refusal:
        return None, refusal.message
