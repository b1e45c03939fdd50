"""``output.dataset_name`` and ``output.pattern``: what a dataset is called and where it lies.

An older pattern begins with the folder of all results, ``./lerobot_datasets/``: that is the place
of the datasets, unless the file names one; the rest is ``dataset.pattern``. ``{episode_id}`` means
the same in both: each episode has a dataset of its own. Where no ``sources`` name robots,
``{source}`` was the kind of store an episode came from.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from lerobot_pipelines.config.draft import Draft

PATTERN = ("output", "pattern")
NAME = ("output", "dataset_name")
_OLDER_PLACEHOLDERS = (
    ("{dataset_name}", "{dataset}"),
    ("{robot_type}", "{robot}"),
    ("{episode}", "{episode_id}"),
)
_BOS = re.compile(r"https?://[^/]*\bbcebos\.com", re.IGNORECASE)


def translate_names(draft: Draft) -> str | None:
    """The dataset's name and pattern; returns the folder that the pattern begins with, if any."""
    given = draft.get(*NAME)
    if isinstance(given, str) and given.strip():
        _dataset_name(draft, given)
    else:
        draft.move(NAME, ("dataset", "name"))
    older = any(draft.has(section) for section in ("robot", "input", "output"))
    if older and not draft.has("dataset", "name"):
        stem = draft.template.stem if draft.template is not None else draft.name
        if name := identifier(stem or ""):
            draft.put(("dataset", "name"), name)
    _name_of_pair(draft)
    return _pattern(draft)


def _pattern(draft: Draft) -> str | None:
    """``output.pattern`` as ``dataset.pattern``; returns the folder that it begins with, if any."""
    given = draft.get(*PATTERN)
    if not isinstance(given, str):
        draft.move(PATTERN, ("dataset", "pattern"))
        return None
    base, pattern = split_pattern(given)
    for old, new in _OLDER_PLACEHOLDERS:
        pattern = pattern.replace(old, new)
    draft.move(PATTERN, ("dataset", "pattern"), _with_sources(draft, pattern))
    return base


def split_pattern(pattern: str) -> tuple[str | None, str]:
    """The folders before the first placeholder, and the rest: ``./sets/{a}/{b}`` is ``sets`` and
    ``{a}/{b}``. Of one without placeholders, or with none before the last part, the last is the
    rest."""
    path = PurePosixPath(pattern)
    parts = list(path.parts)
    fixed = next((index for index, part in enumerate(parts) if "{" in part), len(parts) - 1)
    if fixed <= 0:
        return None, "/".join(parts)
    return str(PurePosixPath(*parts[:fixed])), "/".join(parts[fixed:])


def identifier(text: str) -> str:
    """The text as a dataset's name: letters, digits and ``_``, a letter first; "" if none is."""
    words = re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_")
    if words and not words[0].isalpha():
        words = f"dataset_{words}"
    return words[:100]


def _dataset_name(draft: Draft, given: str) -> None:
    name = identifier(given)
    if name and name != given and not draft.has("dataset", "name"):
        draft.warn(
            NAME, "names in Dagster hold letters, digits and _ only: the dataset's follows from it"
        )
        if "/" not in given and not draft.has(*PATTERN):
            draft.settle(("dataset", "pattern"), given, NAME)
    draft.move(NAME, ("dataset", "name"), name or given)


def _name_of_pair(draft: Draft) -> None:
    """Strategy files that share a service's file are datasets of their own, also by name."""
    name = draft.get("dataset", "name")
    strategy = draft.overrides.get("alignment.strategy") or draft.get("alignment", "strategy")
    if draft.template is None or not isinstance(name, str) or not isinstance(strategy, str):
        return
    if strategy not in name and (longer := identifier(f"{name[:85]}_{strategy}")):
        draft.put(("dataset", "name"), longer, draft.origin(("dataset", "name")))


def _with_sources(draft: Draft, pattern: str) -> str:
    """``{source}`` stays where it can be filled in."""
    if "{source}" not in pattern:
        return pattern
    sources = draft.get("storage", "sources")
    count = len(sources) if isinstance(sources, list) else 0
    per_episode = "{episode_id}" in pattern
    if count == 0 and per_episode:
        return pattern.replace("{source}", _kind_of_store(draft))
    if count == 1 or per_episode:
        return pattern
    draft.warn(PATTERN, "one dataset holds the episodes of all sources: {source} is left out")
    parts = (re.sub(r"[_.-]?\{source\}", "", part).lstrip("_.-") for part in pattern.split("/"))
    return "/".join(part for part in parts if part) or "{dataset}"


def _kind_of_store(draft: Draft) -> str:
    """What older programs called the place that an episode came from."""
    url = draft.bucket or draft.overrides.get("storage.url") or draft.get("storage", "url")
    if not isinstance(url, str) or not url.lower().startswith("s3://"):
        return "local"
    endpoint = draft.get("storage", "endpoint")
    return "bos" if isinstance(endpoint, str) and _BOS.match(endpoint) else "s3"
