"""Overrides of older keys, e.g. ``rosbag.rosbag_dir=/bags``: set before the keys are translated."""

from __future__ import annotations

import os

from lerobot_pipelines.config.draft import Draft
from lerobot_pipelines.config.legacy_keys import SECTIONS_OF_OLDER_KEYS
from lerobot_pipelines.config.legacy_rosbag import DATASET_KEYS
from lerobot_pipelines.config.legacy_template import TEMPLATE_KEY
from lerobot_pipelines.config.overrides import apply_overrides, substitute_overrides


def apply_older_overrides(draft: Draft) -> None:
    """Set the overrides of older keys as if they stood in the file."""
    older = {key: value for key, value in draft.overrides.items() if _is_older(key)}
    older.pop(TEMPLATE_KEY, None)
    if older:
        apply_overrides(draft, substitute_overrides(older, os.environ, draft))


def later_overrides(draft: Draft) -> dict[str, object]:
    """The overrides of the schema's own keys."""
    return {key: value for key, value in draft.overrides.items() if not _is_older(key)}


def _is_older(key: str) -> bool:
    section, _, rest = key.partition(".")
    if section == "dataset":
        return rest.partition(".")[0] in DATASET_KEYS
    return section in SECTIONS_OF_OLDER_KEYS or key in ("video.fps", "robot.type")
