"""The whole conversion without a daemon: what ``lerobot-pipelines convert`` runs.

The same steps, artifacts and bucket as under Dagster, so either can go on where the other stopped.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.queues import Queue
from queue import Empty
from typing import Literal

from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.datasets import DatasetUpdate
from lerobot_pipelines.datasets.intake_summary import weak_checks
from lerobot_pipelines.datasets.records import EpisodeRecord
from lerobot_pipelines.errors import ConfigError, Reason, Refused, StoreRejected, Transient
from lerobot_pipelines.intake import IntakeEntry
from lerobot_pipelines.pipeline.aligned import align_episode
from lerobot_pipelines.pipeline.artifacts import episode_keys, read_artifact
from lerobot_pipelines.pipeline.discovery import (
    fingerprint,
    list_episode_keys,
    list_members,
)
from lerobot_pipelines.pipeline.episode_state import (
    Content,
    State,
    decide,
    verdict_of_record,
    versions_of,
)
from lerobot_pipelines.pipeline.fetch import kept_open
from lerobot_pipelines.pipeline.health import artifact_damages
from lerobot_pipelines.pipeline.identity import with_earlier
from lerobot_pipelines.pipeline.mending import mend_episode
from lerobot_pipelines.pipeline.metadata import describe_episode
from lerobot_pipelines.pipeline.raw import scan_episode
from lerobot_pipelines.pipeline.retryable import is_retryable
from lerobot_pipelines.pipeline.strategy_mix import refuse_other_strategy
from lerobot_pipelines.pipeline.updating import update_and_heal
from lerobot_pipelines.pipeline.videos import encode_episode
from lerobot_pipelines.pipeline.workspace import Workspace, open_workspace
from lerobot_pipelines.storage.base import ObjectNotFound
from lerobot_pipelines.video.memory import require_process

logger = logging.getLogger(__name__)

# A fault that passes (a file replaced while it was read) deserves one more look, not a loop.
ATTEMPTS = 2

# Of two conversions into one dataset at once the later one waits its turn.
UPDATE_PAUSES_S = (1.0, 5.0, 20.0)

EVENTS_EVERY_S = 0.2
EVENTS_WAIT_S = 0.01

EventKind = Literal["started", "progress", "finished", "unchanged", "refused", "failed", "dataset"]


@dataclass(frozen=True, slots=True)
class ConvertEvent:
    """Something a person watching would like to know. ``frames`` counts encoded pictures."""

    kind: EventKind
    key: str
    message: str = ""
    reason: str | None = None
    frames: int = 0


@dataclass(frozen=True, slots=True)
class EpisodeOutcome:
    key: str
    status: Literal["converted", "unchanged", "refused", "failed"]
    rows: int = 0
    reason: str | None = None
    message: str = ""
    intake: tuple[IntakeEntry, ...] = ()  # of an episode that has rows
    weak_checks: tuple[str, ...] = ()  # broken ones that do not keep it out: "name: description"


@dataclass(frozen=True, slots=True)
class ConvertSummary:
    episodes: tuple[EpisodeOutcome, ...]
    datasets: tuple[DatasetUpdate, ...] = field(default=())

    @property
    def ok(self) -> bool:
        """Whether all that should be in the datasets is."""
        is_whole = not any(update.withheld for update in self.datasets)
        return is_whole and all(
            outcome.status in ("converted", "unchanged")
            or outcome.reason in (Reason.REMOVED, Reason.CLEARED)
            for outcome in self.episodes
        )


OnEvent = Callable[[ConvertEvent], None]


def convert_episode(
    workspace: Workspace, key: str, progress: Callable[[int], None] | None = None
) -> EpisodeRecord:
    """All four steps of one episode, one after the other."""
    with kept_open(workspace) as together:
        scan_episode(together, key)
        align_episode(together, key)
        encode_episode(together, key, progress)
    return describe_episode(workspace, key)


def current_record(workspace: Workspace, key: str) -> EpisodeRecord | None:
    """The verdict on exactly this content under this configuration and code, if there is one."""
    try:
        record = read_artifact(workspace, episode_keys(workspace, key).record, EpisodeRecord)
    except (ObjectNotFound, Refused):
        return None
    members = list_members(workspace.storage, workspace.config, key)
    content = with_earlier(
        workspace, key, Content(fingerprint(members) if members else ""), record.fingerprint
    )
    state = decide(content, [verdict_of_record(record)], versions_of(workspace.config)).state
    return record if state in (State.CONVERTED, State.REFUSED) else None


def convert_dataset(
    config: DatasetConfig,
    *,
    episodes: Sequence[str] | None = None,
    workers: int = 1,
    allow_removal: bool = False,
    on_event: OnEvent = lambda event: None,
) -> ConvertSummary:
    """Convert every episode that has no current verdict, then bring the dataset up to date.

    ``episodes`` limits the work to those keys; ``ConfigError`` if the bucket has none of one's
    name, or if they would be of another strategy than the rest of the dataset. ``allow_removal``:
    members may leave the dataset however many they are, see ``update_datasets``. An episode that
    is refused or fails never stops the others; a store that rejects the keys (``StoreRejected``)
    stops all. The datasets produced do not depend on ``workers``.
    """
    workspace = open_workspace(config)
    keys = _chosen_keys(workspace, episodes)
    if episodes is not None:
        refuse_other_strategy(workspace, keys)
    if config.limit_memory_mb is not None:
        share = require_process(config.limit_memory_mb, max(1, min(workers, len(keys))))
        config = config.model_copy(update={"limit_memory_mb": share})
        workspace = open_workspace(config)
    damaged = artifact_damages(workspace)
    if workers <= 1 or len(keys) <= 1:
        outcomes = [_attempt(workspace, key, on_event, damaged.get(key)) for key in keys]
    else:
        outcomes = list(_in_processes(config, keys, min(workers, len(keys)), on_event, damaged))
    updates = bring_up_to_date(workspace, allow_removal=allow_removal)
    for update in updates:
        on_event(ConvertEvent("dataset", workspace.dataset, message=update.summary()))
    return ConvertSummary(tuple(sorted(outcomes, key=lambda outcome: outcome.key)), updates)


def bring_up_to_date(
    workspace: Workspace, *, allow_removal: bool = False
) -> tuple[DatasetUpdate, ...]:
    """``update_and_heal``, waiting for another writer to finish where there is one."""
    for pause_s in UPDATE_PAUSES_S:
        try:
            return update_and_heal(workspace, allow_removal=allow_removal)
        except Transient as fault:
            logger.warning("%s; trying again in %g s", fault, pause_s)
            time.sleep(pause_s)
    return update_and_heal(workspace, allow_removal=allow_removal)


def _chosen_keys(workspace: Workspace, episodes: Sequence[str] | None) -> list[str]:
    known = list(list_episode_keys(workspace.storage, workspace.config))
    if episodes is None:
        return known
    missing = sorted(set(episodes) - set(known))
    if missing:
        raise ConfigError(
            f"no episode named {', '.join(missing)} below {workspace.storage.url}/"
            f"{workspace.config.storage.raw_prefix}; there are {len(known)}, for example "
            f"{', '.join(known[:3]) or 'none'}"
        )
    return [key for key in known if key in set(episodes)]


def _attempt(
    workspace: Workspace, key: str, on_event: OnEvent, damage: str | None = None
) -> EpisodeOutcome:
    """``damage``: what is missing or broken of an episode that was converted."""
    try:
        current = current_record(workspace, key)
        if damage is not None and (mended := _mended(workspace, key, on_event, damage)) is not None:
            return _told(mended, on_event)
        if current is not None and damage is None:
            return _told(_outcome(current, "unchanged"), on_event)
        on_event(ConvertEvent("started", key))
        outcome = _outcome(_convert_again(workspace, key, on_event), "converted")
    except Refused as refusal:
        outcome = EpisodeOutcome(
            key, "refused", reason=str(refusal.reason), message=refusal.message
        )
    except StoreRejected:
        raise  # every other episode would meet the same
    except Exception as fault:
        # One episode's unforeseen trouble must not cost the others theirs.
        if not isinstance(fault, Transient | OSError):
            logger.exception("episode %s failed", key)
        outcome = EpisodeOutcome(key, "failed", reason=type(fault).__name__, message=str(fault))
    return _told(outcome, on_event)


def _mended(
    workspace: Workspace, key: str, on_event: OnEvent, damage: str
) -> EpisodeOutcome | None:
    """None where it is not to be mended but converted anew."""
    on_event(ConvertEvent("started", key))
    try:
        mended = mend_episode(workspace, key, progress=_progress(key, on_event))
    except (Refused, Transient, OSError) as fault:
        logger.warning("episode %s (%s) is converted anew: %s", key, damage, fault)
        return None
    logger.warning("episode %s was mended (%s): %s", key, damage, mended)
    record = current_record(workspace, key)
    return None if record is None else _outcome(record, "converted")


def _told(outcome: EpisodeOutcome, on_event: OnEvent) -> EpisodeOutcome:
    kind: EventKind = "finished" if outcome.status == "converted" else outcome.status
    on_event(ConvertEvent(kind, outcome.key, outcome.message, outcome.reason, outcome.rows))
    return outcome


def _convert_again(workspace: Workspace, key: str, on_event: OnEvent) -> EpisodeRecord:
    """``convert_episode``, with further attempts after faults that pass."""
    for _ in range(1, ATTEMPTS):
        try:
            return convert_episode(workspace, key, _progress(key, on_event))
        except Exception as fault:
            if not is_retryable(fault):
                raise
            logger.warning("episode %s: %s; trying again", key, fault)
    return convert_episode(workspace, key, _progress(key, on_event))


def _progress(key: str, on_event: OnEvent) -> Callable[[int], None]:
    return lambda frames: on_event(ConvertEvent("progress", key, frames=frames))


def _outcome(record: EpisodeRecord, status: Literal["converted", "unchanged"]) -> EpisodeOutcome:
    rows = sum(segment.length for segment in record.segments)
    if record.passed:
        weak = tuple(
            f"{one.code.removeprefix('check:')}: {one.message}" for one in weak_checks(record)
        )
        return EpisodeOutcome(record.key, status, rows=rows, intake=record.intake, weak_checks=weak)
    verdict = verdict_of_record(record)
    return EpisodeOutcome(
        record.key,
        "refused",
        rows=rows,
        reason=verdict.reason,
        message=verdict.message,
        intake=record.intake,
    )


def _in_processes(
    config: DatasetConfig,
    keys: Sequence[str],
    workers: int,
    on_event: OnEvent,
    damaged: Mapping[str, str],
) -> Iterator[EpisodeOutcome]:
    # Encoder libraries start threads, which a forked child would inherit half alive.
    context = get_context("spawn")
    events: Queue[ConvertEvent] = context.Queue()
    with ProcessPoolExecutor(workers, context, _share_events, (events,)) as pool:
        pending = {
            pool.submit(_attempt_elsewhere, config, key, damaged.get(key)): key for key in keys
        }
        while pending:
            done, _ = wait(pending, timeout=EVENTS_EVERY_S, return_when=FIRST_COMPLETED)
            _forward(events, on_event)
            for future in done:
                key = pending.pop(future)
                try:
                    yield future.result()
                except StoreRejected:
                    pool.shutdown(cancel_futures=True)
                    raise
                except Exception as fault:  # the worker itself died
                    yield _told(
                        EpisodeOutcome(
                            key, "failed", reason=type(fault).__name__, message=str(fault)
                        ),
                        on_event,
                    )
    _forward(events, on_event)


def _forward(events: Queue[ConvertEvent], on_event: OnEvent) -> None:
    with suppress(Empty):
        while True:
            on_event(events.get(timeout=EVENTS_WAIT_S))


_events: Queue[ConvertEvent] | None = None  # of a worker process: to the one that started it


def _share_events(events: Queue[ConvertEvent]) -> None:
    global _events
    _events = events


def _attempt_elsewhere(config: DatasetConfig, key: str, damage: str | None) -> EpisodeOutcome:
    assert _events is not None
    return _attempt(open_workspace(config), key, _events.put, damage)
