"""What a bucket's recordings give: rows per segment and task, or why one is refused. Remembered."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from lerobot_pipelines.alignment import align
from lerobot_pipelines.config.hashing import alignment_hash
from lerobot_pipelines.errors import Refused
from lerobot_pipelines.loading.source import FeatureSpec
from lerobot_pipelines.model import AlignedFrames
from lerobot_pipelines.pipeline.aligned import segment_rows
from lerobot_pipelines.pipeline.discovery import (
    fingerprint,
    list_episode_keys,
    list_members,
    source_of,
    task_of,
)
from lerobot_pipelines.pipeline.episode_config import overridden, read_overrides
from lerobot_pipelines.pipeline.fetch import opened_recording
from lerobot_pipelines.pipeline.workspace import Workspace

logger = logging.getLogger(__name__)


class Indexed(BaseModel):
    """One recording. ``refused`` is the reason it gives no rows, else None."""

    model_config = ConfigDict(frozen=True)

    key: str
    fingerprint: str
    lengths: tuple[int, ...] = ()
    task: str = ""
    refused: str | None = None


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True)

    recordings: tuple[Indexed, ...] = ()


@dataclass(frozen=True, slots=True)
class RawIndex:
    episodes: tuple[Indexed, ...]
    refused: dict[str, str]


def read_index(workspace: Workspace) -> RawIndex:
    """Every recording, aligned once (numbers and stamps only) and again when it changes."""
    place = _place(workspace)
    known = {one.key: one for one in _load(place)}
    found = []
    for key in list_episode_keys(workspace.storage, workspace.config):
        identity = fingerprint(list_members(workspace.storage, workspace.config, key))
        before = known.get(key)
        is_known = before is not None and before.fingerprint == identity
        found.append(before if before and is_known else _look(workspace, key, identity))
    _save(place, found)
    refused = {one.key: one.refused for one in found if one.refused is not None}
    for key, why in refused.items():
        logger.warning("%s is left out: %s", key, why)
    return RawIndex(tuple(one for one in found if one.refused is None), refused)


def specs_of(frames: AlignedFrames) -> dict[str, FeatureSpec]:
    """The features of aligned rows that are no cameras."""
    specs = {
        key: FeatureSpec(
            str(values.dtype), values.shape[1:], tuple(frames.feature_names.get(key, ())) or None
        )
        for key, values in frames.features.items()
    }
    whole = FeatureSpec("int64", (1,))
    rows = dict.fromkeys(("frame_index", "episode_index", "index", "task_index"), whole)
    return {**specs, "timestamp": FeatureSpec("float32", (1,)), **rows}


def _look(workspace: Workspace, key: str, identity: str) -> Indexed:
    config = workspace.config
    try:
        members = list_members(workspace.storage, config, key)
        with opened_recording(workspace, key, members) as recording:
            own = overridden(config, read_overrides(workspace, key, members), key)
            rows = segment_rows(align(recording, own).segments)
            told = own.dataset.task or recording.metadata.get("task")
    except Refused as refusal:
        return Indexed(key=key, fingerprint=identity, refused=str(refusal))
    task = str(told or task_of(key, source_of(config, key)))
    lengths = tuple(length for _, length in rows)
    return Indexed(key=key, fingerprint=identity, lengths=lengths, task=task)


def _place(workspace: Workspace) -> Path:
    config = workspace.config
    told = f"{workspace.storage.url}\n{config.storage.raw_prefix}\n{alignment_hash(config)}"
    name = hashlib.sha256(told.encode()).hexdigest()[:32]
    return workspace.cache_dir / "raw_index" / f"{name}.json"


def _load(place: Path) -> tuple[Indexed, ...]:
    try:
        return _Stored.model_validate_json(place.read_bytes()).recordings
    except (OSError, ValidationError):
        return ()


def _save(place: Path, found: list[Indexed]) -> None:
    import os

    place.parent.mkdir(parents=True, exist_ok=True)
    part = place.with_name(f"{place.name}.{os.getpid()}")
    part.write_text(_Stored(recordings=tuple(found)).model_dump_json())
    part.replace(place)
