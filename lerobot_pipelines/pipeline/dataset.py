"""The last step, over all episodes: bring the datasets to hold exactly what is ready.

Which episodes are ready is read from the records in the bucket, never from an orchestrator's
memory, so an update can be lost, repeated or started by hand without harm.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict

from lerobot_pipelines.config.hashing import dataset_hash
from lerobot_pipelines.datasets import DatasetUpdate, update_dataset
from lerobot_pipelines.datasets.records import EpisodeRecord
from lerobot_pipelines.pipeline.artifacts import dataset_folder, read_artifact, records_folder
from lerobot_pipelines.pipeline.workspace import Workspace
from lerobot_pipelines.storage.base import ObjectNotFound


class DatasetState(BaseModel):
    """What the last complete update had seen; written after every format is up to date."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    finished: str  # see ``finished_fingerprint``


def finished_fingerprint(workspace: Workspace) -> str:
    """The identity of the set of records and of the configuration: 64 hex digits.

    One listing, no record is opened. Equal to the state's when there is nothing to do.
    """
    digest = hashlib.sha256(dataset_hash(workspace.config).encode())
    for info in workspace.storage.list(records_folder(workspace)):
        digest.update(f"{info.key}\0{info.etag}\n".encode())
    return digest.hexdigest()


def is_up_to_date(workspace: Workspace, finished: str | None = None) -> bool:
    """Whether the last complete update saw the records as they are now."""
    try:
        data = workspace.storage.read(_state_key(workspace))
    except ObjectNotFound:
        return False
    state = DatasetState.model_validate_json(data)
    return state.finished == (finished or finished_fingerprint(workspace))


def read_records(workspace: Workspace) -> Iterator[EpisodeRecord]:
    """Every verdict in the bucket, in key order, also those with a broken check."""
    for info in workspace.storage.list(records_folder(workspace)):
        yield read_artifact(workspace, info.key, EpisodeRecord)


def update_datasets(workspace: Workspace) -> tuple[DatasetUpdate, ...]:
    """Bring the dataset of every configured format up to date; writes nothing if it is.

    Raises ``Transient`` when another writer was faster or artifacts are being replaced.
    """
    # Taken before the records are read: one that arrives meanwhile makes the state look old,
    # which costs an idle update later, never a lost episode.
    finished = finished_fingerprint(workspace)
    records = list(read_records(workspace))
    updates = []
    for fmt in workspace.config.dataset.formats:
        with workspace.scratch() as scratch:
            updates.append(
                update_dataset(workspace.storage, workspace.config, fmt, records, scratch=scratch)
            )
    if not is_up_to_date(workspace, finished):
        state = DatasetState(finished=finished)
        workspace.storage.write(_state_key(workspace), state.model_dump_json().encode())
    return tuple(updates)


def _state_key(workspace: Workspace) -> str:
    return f"{dataset_folder(workspace)}/dataset_state.json"
