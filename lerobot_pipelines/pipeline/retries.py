"""An operator's wish to have an episode tried again, kept in the bucket until it is fulfilled.

``<work_prefix>/<dataset>/retries/<encoded key>.json`` is written by ``lerobot-pipelines retry``,
seen by the sensor, and removed by whatever brings the episode to a verdict.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass

from lerobot_pipelines.datasets.records import EpisodeRecord
from lerobot_pipelines.errors import Refused
from lerobot_pipelines.pipeline.artifacts import episode_keys, read_artifact, retries_folder
from lerobot_pipelines.pipeline.keys import decode_key
from lerobot_pipelines.pipeline.workspace import Workspace
from lerobot_pipelines.storage.base import ObjectNotFound


@dataclass(frozen=True, slots=True)
class Retry:
    """``wish``, the object's ETag, is new with every request, so that each is fulfilled once."""

    key: str
    wish: str


def request_retry(workspace: Workspace, key: str) -> bool:
    """Withdraw the refusal and ask for another attempt; False for an episode that is converted.

    The verdict goes first: withdrawn after the wish it might already be the new one.
    """
    keys = episode_keys(workspace, key)
    try:
        if read_artifact(workspace, keys.record, EpisodeRecord).passed:
            return False
    except (ObjectNotFound, Refused):
        pass
    workspace.storage.delete(keys.failure)
    workspace.storage.delete(keys.record)
    workspace.storage.write(keys.retry, secrets.token_hex(8).encode())
    return True


def list_retries(workspace: Workspace) -> Iterator[Retry]:
    """Every wish not fulfilled yet, in the order of the partition keys; none is opened."""
    for info in workspace.storage.list(retries_folder(workspace)):
        partition = info.key.rpartition("/")[2].removesuffix(".json")
        try:
            yield Retry(decode_key(partition), info.etag)
        except Refused:  # not ours
            continue


def forget_retry(workspace: Workspace, key: str) -> None:
    workspace.storage.delete(episode_keys(workspace, key).retry)
