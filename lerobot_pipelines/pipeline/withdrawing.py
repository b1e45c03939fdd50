"""Which episodes are to leave the dataset, as the bucket says it: refusals, and a person's word.

An episode that is taken out on purpose gets a refusal of its own kind: no step gave it, it holds
for the content that was there whatever the configuration, and ``retry`` withdraws it like another.
"""

from __future__ import annotations

from collections.abc import Callable

from lerobot_pipelines.datasets.records import EpisodeRecord
from lerobot_pipelines.datasets.removal import RemovalRule, Withdrawal
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.pipeline.artifacts import (
    ANY_CONFIGURATION,
    CLEARED_STAGE,
    REMOVED_STAGE,
    FailureRecord,
    episode_keys,
    failures_folder,
    read_artifact,
    write_artifact,
)
from lerobot_pipelines.pipeline.discovery import fingerprint, list_members
from lerobot_pipelines.pipeline.workspace import Workspace
from lerobot_pipelines.storage.base import ObjectNotFound


def removal_rule(workspace: Workspace, *, is_allowed: bool = False) -> RemovalRule:
    """``is_allowed``: ``--allow-removal``, or the same in the configuration of a run."""
    return RemovalRule(_why_withdrawn(workspace), is_allowed)


def _why_withdrawn(workspace: Workspace) -> Callable[[str], Withdrawal | None]:
    folder = failures_folder(workspace)

    def why(record_key: str) -> Withdrawal | None:
        name = record_key.rpartition("/")[2]
        try:
            failure = read_artifact(workspace, f"{folder}/{name}", FailureRecord)
        except (ObjectNotFound, Refused):
            return None
        if failure.fingerprint is None:
            return None  # nothing was there to be refused
        text = f"[{failure.reason}] {failure.message}"
        return Withdrawal(text, on_purpose=failure.stage == REMOVED_STAGE)

    return why


def take_out(workspace: Workspace, key: str) -> None:
    """Note that the episode as it is shall be in no dataset; the next update takes it out.

    It comes back when its content changes, or with ``retry``.
    """
    keys = episode_keys(workspace, key)
    failure = FailureRecord(
        key=key,
        stage=REMOVED_STAGE,
        reason=str(Reason.REMOVED),
        message="taken out on purpose",
        fingerprint=_content_of(workspace, key),
        config_hash=ANY_CONFIGURATION,
    )
    write_artifact(workspace, keys.failure, failure)
    workspace.storage.delete(keys.record)
    workspace.storage.delete(keys.retry)


def refuse_taken_out(workspace: Workspace, key: str, identity: str) -> None:
    """Raises ``Refused`` (removed, cleared) for content that a person has taken out, or set aside
    because it fails."""
    try:
        failure = read_artifact(workspace, episode_keys(workspace, key).failure, FailureRecord)
    except (ObjectNotFound, Refused):
        return
    if failure.fingerprint != identity:
        return
    if failure.stage == REMOVED_STAGE:
        raise Refused(
            Reason.REMOVED,
            f"episode {key} was taken out on purpose; lerobot-pipelines retry brings it back",
        )
    if failure.stage == CLEARED_STAGE:
        raise Refused(
            Reason.CLEARED,
            f"episode {key} was set aside as it is ({failure.reason}: {failure.message}); "
            "lerobot-pipelines retry tries it again",
        )


def _content_of(workspace: Workspace, key: str) -> str:
    """Of the recording, or of what was made of it where it is gone."""
    if members := list_members(workspace.storage, workspace.config, key):
        return fingerprint(members)
    try:
        record = read_artifact(workspace, episode_keys(workspace, key).record, EpisodeRecord)
    except (ObjectNotFound, Refused):
        return ""
    return record.fingerprint
