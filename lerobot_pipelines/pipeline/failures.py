"""A refusal is remembered in the bucket, so that it is seen, counted and kept out of the dataset.

Not here: retries of transient faults; those belong to the caller (Dagster or the command line).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lerobot_pipelines.datasets.records import EpisodeRecord
from lerobot_pipelines.errors import NotMadeYet, Reason, Refused
from lerobot_pipelines.pipeline.artifacts import (
    FailureRecord,
    episode_keys,
    failures_folder,
    read_artifact,
    write_artifact,
)
from lerobot_pipelines.pipeline.discovery import list_members
from lerobot_pipelines.pipeline.workspace import Workspace
from lerobot_pipelines.storage.base import ObjectNotFound


@contextmanager
def remember_refusal(
    workspace: Workspace,
    key: str,
    stage: str,
    *,
    fingerprint: str | None = None,
    config_hash: str | None = None,
) -> Iterator[None]:
    """Store a ``Refused`` raised inside, withdraw the episode's earlier verdict, and go on raising.

    The verdict goes because it belongs to other content or another configuration: what is refused
    now must leave the dataset at its next update. It stays where no content was there to be refused
    (``fingerprint`` None): a recording that is missing takes nothing along.
    """
    try:
        yield
    except Refused as refusal:
        keys = episode_keys(workspace, key)
        failure = FailureRecord(
            key=key,
            stage=stage,
            reason=str(refusal.reason),
            message=refusal.message,
            fingerprint=fingerprint,
            config_hash=config_hash,
        )
        write_artifact(workspace, keys.failure, failure)
        if fingerprint is not None:
            workspace.storage.delete(keys.record)
        workspace.storage.delete(keys.retry)
        raise


def refuse_gone(workspace: Workspace, key: str) -> None:
    """Raises ``Refused`` (recording_gone) for an episode that was converted and has no files any
    more, in cold storage say. Nothing is written: what was made of it stays in the dataset."""
    if list_members(workspace.storage, workspace.config, key):
        return
    try:
        read_artifact(workspace, episode_keys(workspace, key).record, EpisodeRecord)
    except (ObjectNotFound, Refused):
        return
    raise Refused(
        Reason.RECORDING_GONE,
        f"the recording of episode {key} is not below {workspace.storage.url}/"
        f"{workspace.config.storage.raw_prefix} any more; what was made of it stays in the dataset "
        "(lerobot-pipelines remove takes it out)",
    )


def forget_refusal(workspace: Workspace, key: str) -> None:
    workspace.storage.delete(episode_keys(workspace, key).failure)


def not_made_yet(workspace: Workspace, key: str, what: str, step: str) -> NotMadeYet:
    """The error for an episode that lacks what ``step`` makes, with its refusal if that is why."""
    text = f"episode {key} has no {what} yet"
    try:
        failure = read_artifact(workspace, episode_keys(workspace, key).failure, FailureRecord)
    except (ObjectNotFound, Refused):
        return NotMadeYet(f"{text}; materialise {step}")
    return NotMadeYet(
        f"{text}, because {failure.stage} refused it: [{failure.reason}] {failure.message}"
    )


def list_failures(workspace: Workspace) -> Iterator[FailureRecord]:
    """Every refused episode of the dataset, in key order."""
    for info in workspace.storage.list(failures_folder(workspace)):
        yield read_artifact(workspace, info.key, FailureRecord)
