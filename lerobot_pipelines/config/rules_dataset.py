"""Rules on the dataset: its name, its folder, what it says of itself, what it takes."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator

from lerobot_pipelines.config.faults import KeyPath, suggestion
from lerobot_pipelines.config.rules_names import name_fault, path_fault
from lerobot_pipelines.config.schema import DatasetConfig

Finding = tuple[KeyPath, str]

PLACEHOLDERS = ("dataset", "robot", "strategy", "source", "episode_id")
# Those that only an episode fills in, where each has a dataset of its own.
_OF_EPISODES = ("strategy", "source", "episode_id")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_OWNER = re.compile(r"team:[A-Za-z0-9._-]+|[^@\s]+@[^@\s]+\.[^@\s]+")

# Names that Dagster refuses besides Python's own words.
_RESERVED = frozenset(
    {"context", "conf", "config", "meta", "arg_dict", "dict", "input_arg_dict"}
    | {"output_arg_dict", "int", "str", "float", "bool", "input", "output", "type"}
)


def dataset_folder(config: DatasetConfig) -> str:
    """The dataset's folder below the converted prefix: ``dataset.pattern`` filled in.

    Where each episode has a dataset of its own, what the episode decides stays a placeholder.
    Raises ``KeyError`` for a placeholder that is not known; a loaded configuration has none.
    """
    values = _values(config)
    return _PLACEHOLDER.sub(lambda match: values[match[1]], config.dataset.pattern)


def episode_folder(config: DatasetConfig, source: str, episode_id: str, strategy: str) -> str:
    """The folder of one episode's own dataset."""
    values = _values(config) | {"source": source, "episode_id": episode_id, "strategy": strategy}
    return _PLACEHOLDER.sub(lambda match: values[match[1]], config.dataset.pattern)


def name(config: DatasetConfig) -> Iterator[Finding]:
    given = config.dataset.name
    if given in _RESERVED or keyword.iskeyword(given):
        yield ("dataset", "name"), f'"{given}" is a word of Dagster or Python; rename the dataset'


def pattern(config: DatasetConfig) -> Iterator[Finding]:
    path = ("dataset", "pattern")
    given = config.dataset.pattern
    words = _PLACEHOLDER.findall(given)
    unknown = [word for word in words if word not in PLACEHOLDERS]
    for word in unknown:
        known = [f"{{{placeholder}}}" for placeholder in PLACEHOLDERS]
        near = suggestion(f"{{{word}}}", known)
        yield path, f"holds {{{word}}}{near}"
    if set("{}") & set(_PLACEHOLDER.sub("", given)):
        yield path, "holds a { or } without its other half"
        return
    if unknown:
        return
    if "source" in words and config.has_dataset_per_episode and not config.storage.sources:
        yield path, "holds {source}, but there are no storage.sources; name them or remove it"
        return
    if (
        "source" in words
        and not config.has_dataset_per_episode
        and len(config.storage.sources) != 1
    ):
        count = len(config.storage.sources) or "no"
        yield (
            path,
            f"holds {{source}}, but there are {count} storage.sources: the dataset holds the "
            "episodes of all; remove {source} or make one file per source",
        )
        return
    if "robot" in words and (fault := name_fault(config.dataset.robot_type)):
        yield ("dataset", "robot_type"), f"stands in dataset.pattern as a folder, but {fault}"
    elif fault := path_fault(dataset_folder(config)):
        yield path, f"{fault}; give a folder below the converted prefix, e.g. {{dataset}}"
    elif any(part.startswith(".") for part in dataset_folder(config).split("/")):
        yield path, 'must not begin with "."; such folders are hidden'


def texts(config: DatasetConfig) -> Iterator[Finding]:
    dataset = config.dataset
    for key, value in (
        ("task", dataset.task),
        ("robot_type", dataset.robot_type),
        ("license", dataset.license),
    ):
        if value is not None and not value.strip():
            yield ("dataset", key), "is empty; remove the key or say what it is"
    for key, values in (("formats", dataset.formats), ("tags", dataset.tags)):
        if len(set(values)) < len(values):
            yield ("dataset", key), "holds an entry twice; remove one"
    for index, owner in enumerate(dataset.owners):
        if not _OWNER.fullmatch(owner):
            yield ("dataset", "owners", index), "must be an e-mail address or team:name"


def durations(config: DatasetConfig) -> Iterator[Finding]:
    filtering = config.filtering
    longest = filtering.max_duration_sec
    if longest is not None and longest < filtering.min_duration_sec:
        yield (
            ("filtering", "max_duration_sec"),
            f"{longest:g} is less than min_duration_sec {filtering.min_duration_sec:g}: no "
            "recording would pass",
        )


def _values(config: DatasetConfig) -> dict[str, str]:
    values = {
        "dataset": config.dataset.name,
        "robot": config.dataset.robot_type,
        "strategy": str(config.alignment.strategy),
    }
    if config.has_dataset_per_episode:
        return values | {name: f"{{{name}}}" for name in _OF_EPISODES}
    if len(config.storage.sources) == 1:
        values["source"] = config.storage.sources[0]
    return values


RULES = (name, pattern, texts, durations)
