"""Settings for one episode alone: ``overrides.json`` beside the recording.

It is part of the recording: its content is in the fingerprint, so changed settings are changed
content, and an episode is stale by the same rules as any other. Whoever can write to the bucket can
write one, so it may hold a few settings of the alignment and the task, and nothing else::

    {"task": "pick up the cup", "alignment": {"strategy": "window", "window_ms": 30}}
"""

from __future__ import annotations

from typing import Any

from pydantic import Field, ValidationError, field_validator, model_validator

from lerobot_pipelines.config import override
from lerobot_pipelines.config.schema import (
    AlignmentConfig,
    DatasetConfig,
    Section,
    Strategy,
)
from lerobot_pipelines.errors import ConfigError, Reason, Refused
from lerobot_pipelines.model import Manifest, Member
from lerobot_pipelines.pipeline.workspace import Workspace
from lerobot_pipelines.recordings.layout import EpisodeLayout
from lerobot_pipelines.storage.names import join, shown

# Each changes which samples a row shows, never what the dataset's features mean.
ALLOWED = (
    *("strategy", "tolerance_ms", "picture_tolerance_ms", "max_age_ms", "causal", "chunk_size"),
    *("padding_mode", "padding_value", "window_ms", "aggregation", "min_samples"),
    *("trim_start_frames", "trim_end_frames"),
)
MAX_BYTES = 64 * 1024
MAX_TASK_CHARACTERS = 1000


class EpisodeOverrides(Section):
    """The content of ``overrides.json``. ``alignment`` holds only the keys that are given."""

    task: str | None = None
    alignment: dict[str, Any] = Field(default_factory=dict)

    @field_validator("task")
    @classmethod
    def _task_says_something(cls, task: str | None) -> str | None:
        if task is not None and not (task.strip() and task.isprintable()):
            raise ValueError("must be one line of text")
        if task is not None and len(task) > MAX_TASK_CHARACTERS:
            raise ValueError(f"is longer than {MAX_TASK_CHARACTERS} characters")
        return task

    @model_validator(mode="after")
    def _alignment_is_one(self) -> EpisodeOverrides:
        if unknown := sorted(set(self.alignment) - set(ALLOWED)):
            raise ValueError(f"alignment: {unknown[0]} cannot be set; only {', '.join(ALLOWED)}")
        try:
            AlignmentConfig.model_validate(self.alignment)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            key = ".".join(str(part) for part in first["loc"])
            raise ValueError(f"alignment.{key}: {first['msg']}") from None
        return self

    @property
    def is_empty(self) -> bool:
        return self.task is None and not self.alignment


def parse_overrides(data: bytes, name: str) -> EpisodeOverrides:
    """Raises ``Refused`` (bad_config) that names the file and its first fault."""
    try:
        return EpisodeOverrides.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        fault = first["msg"].removeprefix("Value error, ")
        raise Refused(
            Reason.BAD_CONFIG,
            f"{shown(name)}: {f'{place}: ' if place else ''}{fault}; correct it or remove "
            "it, and the episode is converted again",
        ) from error


def without_overrides(config: DatasetConfig, key: str, members: tuple[Member, ...]) -> Members:
    """The members that are the robot's, and those that are settings."""
    layout = EpisodeLayout(key, config.layout)
    settings = tuple(member for member in members if layout.is_overrides(member.path))
    return tuple(member for member in members if member not in settings), settings


Members = tuple[tuple[Member, ...], tuple[Member, ...]]


def read_overrides(workspace: Workspace, key: str, members: tuple[Member, ...]) -> EpisodeOverrides:
    """The episode's settings, empty if it has none. Raises ``Refused`` (bad_config).

    Whether they suit the dataset is ``episode_config``'s to say: that depends on its configuration.
    """
    _, settings = without_overrides(workspace.config, key, members)
    if not settings:
        return EpisodeOverrides()
    if len(settings) > 1:
        raise Refused(
            Reason.BAD_CONFIG,
            f"both {shown(settings[0].path)} and {shown(settings[1].path)} set the same episode; "
            "remove one",
        )
    (member,) = settings
    if member.size > MAX_BYTES:
        raise Refused(
            Reason.BAD_CONFIG, f"{shown(member.path)} is larger than {MAX_BYTES >> 10} KiB"
        )
    data = workspace.storage.read(join(workspace.config.storage.raw_prefix, member.path))
    return parse_overrides(data, member.path)


def episode_config(config: DatasetConfig, manifest: Manifest) -> DatasetConfig:
    """The dataset's configuration as it holds for this episode.

    Raises ``Refused`` (bad_config) for settings that are sound but do not suit the dataset: that
    break a rule of the configuration, or give rows of another form than its other episodes have.
    """
    return overridden(config, EpisodeOverrides.model_validate(manifest.overrides), manifest.key)


def overridden(config: DatasetConfig, overrides: EpisodeOverrides, key: str) -> DatasetConfig:
    """See ``episode_config``."""
    changed = config
    if overrides.alignment:
        keys = {f"alignment.{name}": value for name, value in overrides.alignment.items()}
        try:
            changed = override(config, keys)
        except ConfigError as error:
            raise Refused(
                Reason.BAD_CONFIG, f"the overrides of episode {key}: {error.message}"
            ) from error
        _refuse_other_rows(config, changed, key)
    if overrides.task is None:
        return changed
    # Not through ``override``, which would fill in ${VARIABLES}.
    dataset = changed.dataset.model_copy(update={"task": overrides.task})
    return changed.model_copy(update={"dataset": dataset})


def _refuse_other_rows(config: DatasetConfig, changed: DatasetConfig, key: str) -> None:
    if config.has_dataset_per_episode:
        return
    if _chunk_size(config) != _chunk_size(changed):
        raise Refused(
            Reason.BAD_CONFIG,
            f"the overrides of episode {key} give its action other dimensions (strategy "
            f"{changed.alignment.strategy}) than the dataset's other episodes have (strategy "
            f"{config.alignment.strategy}); leave strategy and chunk_size, or give each episode a "
            "dataset of its own: dataset.pattern with {episode_id}",
        )


def _chunk_size(config: DatasetConfig) -> int | None:
    """How long the action chunks in a row are; None where rows hold none."""
    is_chunked = config.alignment.strategy is Strategy.CHUNKING
    chunked = is_chunked and any(feature.chunk for feature in config.features.values())
    return config.alignment.chunk_size if chunked else None
