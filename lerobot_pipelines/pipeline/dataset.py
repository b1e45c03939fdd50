"""The last step, over all episodes: bring the datasets to hold exactly what is ready.

Which episodes are ready is read from the records in the bucket, never from an orchestrator's
memory, so an update can be lost, repeated or started by hand without harm.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, ValidationError

from lerobot_pipelines.config.hashing import dataset_hash
from lerobot_pipelines.config.schema import Format
from lerobot_pipelines.datasets import DatasetUpdate, dataset_prefix, update_dataset
from lerobot_pipelines.datasets.ledger import Snapshot, open_ledger
from lerobot_pipelines.datasets.options import work_folder
from lerobot_pipelines.datasets.records import EpisodeRecord
from lerobot_pipelines.datasets.removal import RemovalRule
from lerobot_pipelines.errors import PipelineError
from lerobot_pipelines.pipeline.artifacts import read_artifact, records_folder
from lerobot_pipelines.pipeline.episode_datasets import (
    all_sizes,
    episode_roots,
    read_state,
    update_episode_datasets,
)
from lerobot_pipelines.pipeline.withdrawing import removal_rule
from lerobot_pipelines.pipeline.workspace import Workspace
from lerobot_pipelines.storage.base import ObjectNotFound

logger = logging.getLogger(__name__)


class DatasetState(BaseModel):
    """What the last complete update had seen; written after every format is up to date."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    finished: str  # see ``finished_fingerprint``


def finished_fingerprint(workspace: Workspace) -> str:
    """The identity of the set of records and of the configuration: 64 hex digits.

    One listing, no record is opened. Equal to the state's when there is nothing to do.
    """
    config = workspace.config
    formats = ",".join(config.dataset.formats)
    digest = hashlib.sha256(f"{dataset_hash(config)}\0{formats}\n".encode())
    for key, etag in BucketRecords(workspace).versions().items():
        digest.update(f"{key}\0{etag}\n".encode())
    return digest.hexdigest()


def is_up_to_date(workspace: Workspace, finished: str | None = None) -> bool:
    """Whether the last complete update saw the records as they are now."""
    try:
        data = workspace.storage.read(_state_key(workspace))
        state = DatasetState.model_validate_json(data)
    except (ObjectNotFound, ValidationError):
        return False
    return state.finished == (finished or finished_fingerprint(workspace))


@dataclass(frozen=True, slots=True)
class BucketRecords:
    """The verdicts in the bucket, in key order, also those with a broken check."""

    workspace: Workspace

    def versions(self) -> Mapping[str, str]:
        listing = self.workspace.storage.list(records_folder(self.workspace))
        return {info.key: info.etag for info in listing}

    def read(self, object_key: str) -> EpisodeRecord:
        return read_artifact(self.workspace, object_key, EpisodeRecord)


def dataset_roots(workspace: Workspace, fmt: Format) -> list[str]:
    """The object prefixes of the datasets that lie in the bucket: one, or one per episode."""
    if workspace.config.has_dataset_per_episode:
        return list(episode_roots(workspace, fmt))
    root = dataset_prefix(workspace.config, fmt)
    return [root] if any(workspace.storage.list_level(root)) else []


def dataset_sizes(
    workspace: Workspace, snapshots: Mapping[Format, Snapshot]
) -> dict[Format, tuple[int, int]]:
    """LeRobot episodes and frames of each format, over all datasets; only formats with some."""
    if workspace.config.has_dataset_per_episode:
        made = [sizes for one in read_state(workspace).made.values() for _, sizes in all_sizes(one)]
        sizes = {fmt: [one[fmt] for one in made if fmt in one] for fmt in Format}
        return {
            fmt: (sum(episodes for episodes, _ in all_of), sum(frames for _, frames in all_of))
            for fmt, all_of in sizes.items()
            if all_of
        }
    lengths = {
        fmt: [segment.length for member in one.members for segment in member.segments]
        for fmt, one in snapshots.items()
    }
    return {fmt: (len(found), sum(found)) for fmt, found in lengths.items() if found}


def dataset_snapshots(workspace: Workspace) -> dict[Format, Snapshot]:
    """What the ledger says that the dataset of each format holds; without those not yet made."""
    config = workspace.config
    found = {}
    for fmt in config.dataset.formats:
        done = open_ledger(workspace.storage, config, fmt).history().done
        if done is not None:
            found[fmt] = done.snapshot
    return found


def update_datasets(
    workspace: Workspace, *, allow_removal: bool = False, damaged: Collection[str] = ()
) -> tuple[DatasetUpdate, ...]:
    """Bring the dataset of every configured format up to date; writes nothing if it is.

    A format that fails stops no other; its error is raised at the end. ``allow_removal``: members
    may leave however many they are, see ``datasets.removal``. Raises ``Transient`` when another
    writer was faster or artifacts are being replaced.
    """
    # Taken before the records are read: one that arrives meanwhile makes the state look old,
    # which costs an idle update later, never a lost episode.
    finished = finished_fingerprint(workspace)
    rule = removal_rule(workspace, is_allowed=allow_removal)
    if workspace.config.has_dataset_per_episode:
        updates = update_episode_datasets(workspace, rule, damaged)
    else:
        updates = _update_of_all(workspace, rule)
    if not is_up_to_date(workspace, finished):
        state = DatasetState(finished=finished)
        workspace.storage.write(_state_key(workspace), state.model_dump_json().encode())
    return updates


def _update_of_all(workspace: Workspace, rule: RemovalRule) -> tuple[DatasetUpdate, ...]:
    records = BucketRecords(workspace)
    updates: list[DatasetUpdate] = []
    faults: list[Exception] = []
    for fmt in workspace.config.dataset.formats:
        try:
            with workspace.scratch() as scratch:
                updates.append(
                    update_dataset(
                        workspace.storage,
                        workspace.config,
                        fmt,
                        records,
                        scratch=scratch,
                        rule=rule,
                    )
                )
        except (PipelineError, OSError) as fault:
            logger.warning("the %s dataset %s: %s", fmt, workspace.dataset, fault)
            faults.append(fault)
    if faults:
        raise faults[0]
    return tuple(updates)


def _state_key(workspace: Workspace) -> str:
    return f"{work_folder(workspace.config)}/dataset_state.json"
