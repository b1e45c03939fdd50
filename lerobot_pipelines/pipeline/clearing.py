"""Failed episodes that a person sets aside: off the list, and not tried again as they are.

The refusal stays where it was and gets a stage of its own, so that it holds whatever the
configuration; ``episode_state`` then calls the episode cleared. Another content of it is new
content, as ever, and ``retry`` withdraws the refusal like another.
"""

from __future__ import annotations

from lerobot_pipelines.datasets.records import EpisodeRecord
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.pipeline.artifacts import (
    ANY_CONFIGURATION,
    CLEARED_STAGE,
    REMOVED_STAGE,
    FailureRecord,
    episode_keys,
    read_artifact,
    write_artifact,
)
from lerobot_pipelines.pipeline.dataset import dataset_snapshots
from lerobot_pipelines.pipeline.discovery import fingerprint, list_members
from lerobot_pipelines.pipeline.episode_state import State, verdict_of_record
from lerobot_pipelines.pipeline.lost import read_lost
from lerobot_pipelines.pipeline.verdicts import VerdictReader, refusal_of
from lerobot_pipelines.pipeline.workspace import Workspace
from lerobot_pipelines.storage.base import ObjectNotFound

NO_VERDICT = "its runs ended without a verdict"


def failed_episodes(workspace: Workspace, reason: str | None = None) -> list[str]:
    """Episodes that were refused, by key, and those whose runs were lost; with ``reason``, only
    those refused for it. Not what was cleared, nor, unless asked for by reason, what a person took
    out on purpose."""
    outcomes = VerdictReader(workspace).read(dataset_snapshots(workspace).values())
    refused = {
        key
        for key, outcome in outcomes.items()
        if outcome.state.state in (State.REFUSED, State.REOPENED)
        and _is_meant(refusal_of(key, outcome.state).reason, reason)
    }
    if reason is None:
        refused |= {lost.key for lost in read_lost(workspace)} - outcomes.keys()
    return sorted(refused)


def _is_meant(refused_for: str, reason: str | None) -> bool:
    return refused_for == reason if reason is not None else refused_for != Reason.REMOVED


def clear(workspace: Workspace, key: str) -> bool:
    """Set a failed episode aside until its content changes; False for one that is converted, was
    taken out on purpose, or has nothing that could be remembered."""
    keys = episode_keys(workspace, key)
    failure = _failure_of(workspace, key)
    if failure is None:
        return False
    cleared = failure.model_copy(update={"stage": CLEARED_STAGE, "config_hash": ANY_CONFIGURATION})
    write_artifact(workspace, keys.failure, cleared)
    workspace.storage.delete(keys.record)
    workspace.storage.delete(keys.retry)
    return True


def _failure_of(workspace: Workspace, key: str) -> FailureRecord | None:
    """What is to be remembered as cleared: the refusal, a broken check, or a run without end."""
    keys = episode_keys(workspace, key)
    try:
        record = read_artifact(workspace, keys.record, EpisodeRecord)
    except (ObjectNotFound, Refused):
        record = None
    if record is not None:
        verdict = verdict_of_record(record)
        if verdict.passed:
            return None
        return _remembered(key, verdict.reason, verdict.message, record.fingerprint)
    try:
        failure = read_artifact(workspace, keys.failure, FailureRecord)
    except ObjectNotFound:
        members = list_members(workspace.storage, workspace.config, key)
        if not members:
            return None
        return _remembered(key, str(Reason.CLEARED), NO_VERDICT, fingerprint(members))
    return None if failure.stage == REMOVED_STAGE else failure


def _remembered(key: str, reason: str, message: str, identity: str) -> FailureRecord:
    return FailureRecord(
        key=key, stage=CLEARED_STAGE, reason=reason, message=message, fingerprint=identity
    )
