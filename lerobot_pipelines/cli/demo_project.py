"""The folder that ``demo`` works in: a bucket with recordings, a configuration, a Dagster home."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lerobot_pipelines.config.schema import DatasetConfig
    from lerobot_pipelines.pipeline.workspace import Workspace

CONFIG_NAME = "demo"
TASK_FOLDER = "block"
SECONDS = 4.0


@dataclass(frozen=True, slots=True)
class DemoProject:
    folder: Path

    @property
    def raw(self) -> Path:
        return self.folder / "bucket" / "raw"

    @property
    def configs(self) -> Path:
        return self.folder / "configs"

    @property
    def config_file(self) -> Path:
        return self.configs / f"{CONFIG_NAME}.yaml"

    @property
    def home(self) -> Path:
        return self.folder / "dagster_home"

    def write_config(self) -> DatasetConfig:
        """Copy the shipped configuration unless one is there, which may have been edited."""
        from lerobot_pipelines.config import load_config, shipped_configs

        if not self.config_file.exists():
            self.configs.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(shipped_configs()[CONFIG_NAME], self.config_file)
        return load_config(self.config_file)

    def write_recordings(self, episodes: int) -> list[str]:
        """Write those of the first ``episodes`` recordings that are missing; returns their keys."""
        from lerobot_pipelines.recordings.synth import SynthSpec, write_recording

        written = []
        for number in range(1, episodes + 1):
            key = f"{TASK_FOLDER}/episode_{number:04d}"
            if not (self.raw / "joints" / key).exists():
                write_recording(self.raw, key, SynthSpec(seconds=SECONDS, seed=number))
                written.append(key)
        return written


@dataclass(frozen=True, slots=True)
class DemoState:
    """What the bucket says of the conversion; no process is asked."""

    episodes: int
    converted: int
    refused: int
    dataset_ready: bool

    @property
    def finished(self) -> bool:
        return self.converted + self.refused >= self.episodes and self.dataset_ready

    def sentence(self) -> str:
        refused = f", {self.refused} refused" if self.refused else ""
        dataset = "built" if self.dataset_ready else "not built yet"
        return f"{self.converted} of {self.episodes} episodes converted{refused}, dataset {dataset}"


def read_state(workspace: Workspace) -> DemoState:
    """Count the recordings, the verdicts on what they are now, and the refusals."""
    from lerobot_pipelines.pipeline.convert import current_record
    from lerobot_pipelines.pipeline.dataset import is_up_to_date
    from lerobot_pipelines.pipeline.discovery import list_episode_keys
    from lerobot_pipelines.pipeline.failures import list_failures

    keys = list(list_episode_keys(workspace.storage, workspace.config))
    verdicts = {key: current_record(workspace, key) for key in keys}
    judged = {key: record.passed for key, record in verdicts.items() if record is not None}
    failed = {failure.key for failure in list_failures(workspace)} & set(keys) - set(judged)
    return DemoState(
        episodes=len(keys),
        converted=sum(judged.values()),
        refused=len(failed) + len(judged) - sum(judged.values()),
        dataset_ready=is_up_to_date(workspace),
    )
