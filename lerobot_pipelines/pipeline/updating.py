"""Updating the datasets as a run or a command does it: what can be mended on the way is.

Without the recordings: a lost record, or a video that a dataset still has. What needs a recording
is a conversion, which ``convert``, ``repair`` and the rescan see to.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace

from lerobot_pipelines.datasets import DatasetUpdate
from lerobot_pipelines.errors import PipelineError, Transient
from lerobot_pipelines.pipeline.artifacts import episode_keys
from lerobot_pipelines.pipeline.dataset import update_datasets
from lerobot_pipelines.pipeline.health import artifact_damages, file_damages
from lerobot_pipelines.pipeline.mending import mend_episode
from lerobot_pipelines.pipeline.workspace import Workspace

logger = logging.getLogger(__name__)


def update_and_heal(
    workspace: Workspace, *, allow_removal: bool = False
) -> tuple[DatasetUpdate, ...]:
    """See ``update_datasets``, whose errors are raised where nothing could be mended."""
    damaged: set[str] = set()
    if workspace.config.has_dataset_per_episode:  # one dataset looks at its files anyway
        damaged = {one.partition for one in file_damages(workspace) if one.partition is not None}
    try:
        updates = update_datasets(workspace, allow_removal=allow_removal, damaged=damaged)
    except Transient as fault:
        logger.warning("%s; looking for what can be mended", fault)
        if not _mend(workspace, artifact_damages(workspace)):
            raise
        return update_datasets(workspace, allow_removal=allow_removal, damaged=damaged)
    if not _mend(workspace, dict.fromkeys(key for one in updates for key in one.lost)):
        return updates
    again = update_datasets(workspace, allow_removal=allow_removal)
    return tuple(
        replace(one, lost=other.lost) if not other.changed else other
        for one, other in zip(updates, again, strict=True)
    )


def _mend(workspace: Workspace, keys: Iterable[str]) -> int:
    """How many of the episodes are in order again."""
    mended = 0
    for key in keys:
        if workspace.storage.head(episode_keys(workspace, key).retry) is not None:
            continue  # its record was withdrawn, to be made anew
        try:
            logger.warning("%s: %s", key, mend_episode(workspace, key, from_recording=False))
        except (PipelineError, OSError) as fault:
            logger.warning("%s cannot be mended now: %s", key, fault)
            continue
        mended += 1
    return mended
