"""Episodes whose runs were lost, as the service left word of them in the bucket for ``monitor``.

``<work_prefix>/<dataset>/lost_runs.json``; a copy of what the sensor knows, nothing depends on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, ValidationError

from lerobot_pipelines.datasets.options import work_folder
from lerobot_pipelines.pipeline.workspace import Workspace
from lerobot_pipelines.storage.base import ObjectNotFound


@dataclass(frozen=True, slots=True)
class LostRun:
    """``due_s``: when it is requested again, in seconds since 1970."""

    key: str
    due_s: float


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True)

    episodes: dict[str, float] = {}


def write_lost(workspace: Workspace, lost: Sequence[LostRun]) -> None:
    stored = _Stored(episodes={one.key: one.due_s for one in lost})
    workspace.storage.write(_place(workspace), stored.model_dump_json().encode())


def read_lost(workspace: Workspace) -> tuple[LostRun, ...]:
    """Empty where nothing was ever lost, or nothing readable is there."""
    try:
        stored = _Stored.model_validate_json(workspace.storage.read(_place(workspace)))
    except (ObjectNotFound, ValidationError):
        return ()
    return tuple(LostRun(key, due_s) for key, due_s in stored.episodes.items())


def _place(workspace: Workspace) -> str:
    return f"{work_folder(workspace.config)}/lost_runs.json"
