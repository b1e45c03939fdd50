"""One dataset, one strategy: converting a few episodes with another one is refused beforehand.

Rows of another strategy may have the same form and would then stand beside the others unnoticed; of
another form they would take the place of all of them. Episodes whose own settings
(``overrides.json``) name a strategy have been asked for and count on neither side.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from lerobot_pipelines.config.schema import DatasetConfig, Strategy
from lerobot_pipelines.datasets.members import DatasetSchema, Member
from lerobot_pipelines.datasets.records import EpisodeRecord
from lerobot_pipelines.errors import ConfigError, Refused
from lerobot_pipelines.pipeline.artifacts import read_artifact
from lerobot_pipelines.pipeline.dataset import dataset_snapshots
from lerobot_pipelines.pipeline.workspace import Workspace
from lerobot_pipelines.storage.base import ObjectNotFound

# The strategy is in the records; a few of them tell that of all.
MAX_RECORDS_READ = 8


def refuse_other_strategy(workspace: Workspace, chosen: Collection[str]) -> None:
    """Raises ``ConfigError`` if the dataset holds episodes besides those ``chosen``, of another
    strategy (or length of action chunks) than the configuration has."""
    if workspace.config.has_dataset_per_episode:
        return
    for snapshot in dataset_snapshots(workspace).values():
        others = [member for member in snapshot.members if member.key not in chosen]
        if not others:
            continue
        wanted = str(workspace.config.alignment.strategy)
        found = _strategy_of(workspace, others)
        if found is not None and found != wanted:
            raise _refusal(workspace, len(others), f"strategy {found}", f"strategy {wanted}")
        length = _chunk_length(workspace.config, snapshot.layout)
        size = workspace.config.alignment.chunk_size
        if length is not None and length != size:
            raise _refusal(workspace, len(others), f"chunk_size {length}", f"chunk_size {size}")


def _strategy_of(workspace: Workspace, members: Iterable[Member]) -> str | None:
    for member in list(members)[:MAX_RECORDS_READ]:
        try:
            record = read_artifact(workspace, member.record_key, EpisodeRecord)
        except (ObjectNotFound, Refused):
            continue
        overrides = record.provenance.get("overrides") or {}
        if "strategy" not in (overrides.get("alignment") or {}):
            return str(record.provenance.get("strategy") or "") or None
    return None


def _chunk_length(config: DatasetConfig, layout: DatasetSchema) -> int | None:
    """Of the action chunks in the dataset; None where the configuration makes none."""
    if config.alignment.strategy is not Strategy.CHUNKING:
        return None
    chunked = (name for name, feature in config.features.items() if feature.chunk)
    shapes = (layout.features[name].shape for name in chunked if name in layout.features)
    return next((shape[0] for shape in shapes), None)


def _refusal(workspace: Workspace, others: int, found: str, wanted: str) -> ConfigError:
    return ConfigError(
        f"the dataset {workspace.dataset} holds {others} other episodes, made with {found}; the "
        f"chosen ones would be made with {wanted}. Convert all of them so (leave --episode out), "
        "write to another --output, or give each episode and strategy a dataset of its own: "
        '--set "dataset.pattern={episode_id}_{strategy}". Nothing was done'
    )
