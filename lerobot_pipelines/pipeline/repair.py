"""Find what is missing or broken, and mend it at once, each part by the cheapest way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from lerobot_pipelines.datasets import DatasetUpdate
from lerobot_pipelines.errors import PipelineError
from lerobot_pipelines.pipeline.convert import bring_up_to_date
from lerobot_pipelines.pipeline.health import artifact_damages, file_damages
from lerobot_pipelines.pipeline.mending import mend_episode
from lerobot_pipelines.pipeline.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Repair:
    """``where`` is an episode's key, or the path of a dataset's file below the bucket.

    ``outcome`` says what was done, or why nothing could be.
    """

    kind: Literal["episode", "file", "dataset"]
    where: str
    fault: str
    is_mended: bool = False
    outcome: str = ""


@dataclass(frozen=True, slots=True)
class RepairSummary:
    repairs: tuple[Repair, ...]
    updates: tuple[DatasetUpdate, ...] = ()

    @property
    def ok(self) -> bool:
        return all(one.is_mended for one in self.repairs)


def find_damages(workspace: Workspace) -> tuple[Repair, ...]:
    """What a repair would mend; nothing is written."""
    episodes = [Repair("episode", key, why) for key, why in artifact_damages(workspace).items()]
    files = [Repair("file", f"{one.root}/{one.path}", one.fault) for one in file_damages(workspace)]
    return (*episodes, *files)


def repair(
    workspace: Workspace, on_repair: Callable[[Repair], None] = lambda repair: None
) -> RepairSummary:
    """Mend every episode, then the datasets. What cannot be mended stops nothing else."""
    done: list[Repair] = []

    def told(one: Repair) -> None:
        done.append(one)
        on_repair(one)

    files = [one for one in find_damages(workspace) if one.kind == "file"]
    for key, fault in artifact_damages(workspace).items():
        try:
            outcome = str(mend_episode(workspace, key))
        except (PipelineError, OSError) as error:
            told(Repair("episode", key, fault, outcome=str(error)))
            continue
        told(Repair("episode", key, fault, is_mended=True, outcome=outcome))
    updates: tuple[DatasetUpdate, ...] = ()
    try:
        updates = bring_up_to_date(workspace)
    except (PipelineError, OSError) as error:
        told(Repair("dataset", workspace.dataset, "it cannot be updated", outcome=str(error)))
    left = {f"{one.root}/{one.path}": one.fault for one in file_damages(workspace)}
    for one in files:
        if one.where in left:
            told(Repair("file", one.where, one.fault, outcome="as before"))
        else:
            told(Repair("file", one.where, one.fault, is_mended=True, outcome="written again"))
    return RepairSummary(tuple(done), updates)
