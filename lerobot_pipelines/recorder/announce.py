"""An episode that lies in the bucket already is handed over: with settings of its own, complete.

What programs did that put a message into a queue. There is no queue to put it into: the sensor
finds the episode by its content, which the settings beside it are a part of.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.pipeline.artifacts import episode_keys
from lerobot_pipelines.pipeline.discovery import list_members, upload_signs
from lerobot_pipelines.pipeline.episode_config import (
    overridden,
    parse_overrides,
    read_overrides,
    without_overrides,
)
from lerobot_pipelines.pipeline.retries import request_retry
from lerobot_pipelines.pipeline.workspace import open_workspace
from lerobot_pipelines.recordings.layout import (
    OVERRIDES_NAME,
    UPLOADING_NAME,
    beside,
)
from lerobot_pipelines.storage.names import join


@dataclass(frozen=True, slots=True)
class Announced:
    """``changed``: its settings are others now, so that it is converted again. ``retried``: it was
    refused or set aside, and is tried again."""

    key: str
    uri: str
    changed: bool
    retried: bool


def announce_episode(
    config: DatasetConfig, key: str, *, strategy: str | None = None, task: str | None = None
) -> Announced:
    """Have the episode ``key`` converted, with ``strategy`` and ``task`` for it alone.

    Settings that it has already are kept beside these. Raises ``Refused`` for an episode that is
    not in the bucket or whose upload is under way, and for settings that do not suit the dataset.
    """
    workspace = open_workspace(config)
    storage, raw = workspace.storage, config.storage.raw_prefix
    members = list_members(storage, config, key)
    uri = f"{storage.url.rstrip('/')}/{join(raw, key)}"
    if not members:
        raise Refused(Reason.INCOMPLETE_UPLOAD, f"there is no recording {uri} to convert")
    if any(place.endswith(UPLOADING_NAME) for place in upload_signs(storage, config, key)):
        raise Refused(
            Reason.INCOMPLETE_UPLOAD,
            f"the upload of {uri} is under way, or was broken off; publish its recording again",
        )
    before = read_overrides(workspace, key, members)
    alignment = dict(before.alignment) | ({} if strategy is None else {"strategy": strategy})
    if "strategy" not in before.alignment and strategy == str(config.alignment.strategy):
        alignment.pop("strategy", None)  # as every other episode: not content of its own
    wanted = {"task": task or before.task, "alignment": alignment}
    after = parse_overrides(json.dumps(wanted).encode(), "the episode's overrides")
    overridden(config, after, key)
    changed = after != before
    if changed:
        _, settings = without_overrides(config, key, members)
        place = settings[0].path if settings else beside(key, OVERRIDES_NAME)
        text = after.model_dump_json(exclude_defaults=True, indent=1)
        storage.write(join(raw, place), f"{text}\n".encode())
    if (marker := config.storage.scanner.marker) is not None:
        storage.write(join(raw, beside(key, marker)), b"{}\n")
    is_failed = storage.head(episode_keys(workspace, key).failure) is not None
    retried = not changed and is_failed and request_retry(workspace, key)
    return Announced(key, uri, changed, retried)
