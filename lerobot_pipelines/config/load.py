"""From a YAML file to a checked configuration, and back.

A file is read, filled in, translated, written out, checked key by key and then between keys. Every
step notes its faults and goes on as far as it can, so that a person sees all of them at once.
"""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lerobot_pipelines.config.arms import expand_arms
from lerobot_pipelines.config.draft import Draft, below
from lerobot_pipelines.config.environment import Substitution
from lerobot_pipelines.config.faults import (
    ConfigFault,
    KeyPath,
    config_error,
)
from lerobot_pipelines.config.legacy import before_substitution, translate
from lerobot_pipelines.config.legacy_overrides import apply_older_overrides, later_overrides
from lerobot_pipelines.config.legacy_template import include_template, template_files
from lerobot_pipelines.config.normalise import normalise
from lerobot_pipelines.config.overrides import apply_overrides, substitute_overrides
from lerobot_pipelines.config.read import read_document
from lerobot_pipelines.config.rules import findings
from lerobot_pipelines.config.rules_dataset import dataset_folder
from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.config.schema_faults import report
from lerobot_pipelines.errors import ConfigError, PipelineNote, PipelineWarning

SUFFIXES = (".yaml", ".yml")


# For keys that have no default: what the other keys are checked with while these are faulty.
_STAND_INS: dict[KeyPath, object] = {
    ("dataset", "name"): "dataset",
    ("dataset", "fps"): 30,
    ("storage", "url"): "file:///bucket",
}


def load_config(
    path: Path,
    overrides: Mapping[str, object] | None = None,
    *,
    text: str | None = None,
    bucket: str | None = None,
) -> DatasetConfig:
    """Read and check one dataset's YAML file; ``overrides`` are set as if they stood in it.

    ``text`` stands for what the file holds, which is then not opened. ``bucket`` is the URL of the
    store that the caller takes instead of the file's: the file then needs no ``storage.url``.

    ``overrides`` maps dotted keys to values: ``{"alignment.strategy": "window"}``; a relative
    ``storage.url`` among them starts at the current folder. Raises ``ConfigError`` naming every
    fault with line, key and remedy. Warns of older keys without effect (``PipelineWarning``), and
    says what older files give (``PipelineNote``).
    """
    path = Path(path)
    draft = translated(path, overrides, text=text, bucket=bucket)
    expand_arms(draft)
    config = _finish(draft, later_overrides(draft))
    if config is None or draft.faults:
        raise config_error(str(path), draft.faults)
    if draft.notes or draft.warnings:
        text = "; ".join([*draft.notes, *draft.warnings])
        category = PipelineWarning if draft.warnings else PipelineNote
        warnings.warn(f"{path}: {text}", category, stacklevel=2)
    return config


def translated(
    path: Path,
    overrides: Mapping[str, object] | None = None,
    *,
    text: str | None = None,
    bucket: str | None = None,
) -> Draft:
    """The file with every older key brought to its place, before shorthand is written out.

    Its faults are noted in it; raises ``ConfigError`` for a file that holds nothing to check.
    """
    draft = _read(path, text)
    draft.overrides = dict(overrides or {})
    draft.bucket = bucket
    include_template(draft)
    apply_older_overrides(draft)
    before_substitution(draft)
    draft.written = copy.deepcopy(draft.data)
    _substitute(draft)
    translate(draft)
    if bucket is not None and draft.get("storage", "url") is None:
        draft.put(("storage", "url"), bucket)
    return draft


def load_configs(folder: Path) -> dict[str, DatasetConfig]:
    """Every ``*.yaml`` of a folder by dataset name, sorted.

    Raises ``ConfigError`` with the faults of all files at once, and for two files whose datasets
    have one name or one folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ConfigError(
            f"there is no folder {folder} of dataset configurations", file=str(folder)
        )
    names: dict[str, Path] = {}
    places: dict[tuple[str, ...], Path] = {}
    configs: dict[str, DatasetConfig] = {}
    problems: list[str] = []
    faults: list[ConfigFault] = []
    for path in without_templates(sorted(_yaml_files(folder))):
        try:
            config = load_config(path)
        except ConfigError as error:
            problems.append(error.message)
            faults.extend(error.details.get("faults", ()))
            continue
        name, place = config.dataset.name, dataset_place(config)
        fault = None
        if name in names:
            other = names[name].name
            fault = ("dataset.name", f'{other} describes a dataset "{name}" as well; rename one')
        elif place in places:
            other = places[place].name
            fault = ("dataset.pattern", f"is the folder of the dataset of {other} as well")
        if fault is not None:
            faults.append(ConfigFault(*fault))
            problems.append(config_error(str(path), faults[-1:]).message)
            continue
        names[name], places[place], configs[name] = path, path, config
    if problems:
        raise ConfigError("\n".join(problems), file=str(folder), faults=tuple(faults))
    return dict(sorted(configs.items()))


def override(config: DatasetConfig, overrides: Mapping[str, object]) -> DatasetConfig:
    """The configuration with single keys changed, checked again. Raises ``ConfigError``."""
    draft = Draft(data=config.model_dump(mode="json"), folder=Path.cwd())
    resolved = _finish(draft, overrides)
    if resolved is None or draft.faults:
        raise config_error(f"the configuration of {config.dataset.name}", draft.faults)
    return resolved


def shipped_configs() -> dict[str, Path]:
    """The example configurations that come with the package, by file stem."""
    folder = Path(__file__).parent.parent / "configs"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def without_templates(files: Sequence[Path]) -> list[Path]:
    """The files short of those that another one names as its ``config_template``."""
    templates: set[Path] = set()
    for path in files:
        try:
            data = read_document(path).data
        except ConfigError:
            continue  # said when it is loaded
        templates.update(template_files(data, Path(os.path.abspath(path)).parent))
    return [path for path in files if Path(os.path.abspath(path)) not in templates]


def dataset_place(config: DatasetConfig) -> tuple[str, ...]:
    """Where the dataset is written.

    With datasets of single episodes, named after the strategy, it is the strategy's as well.
    """
    storage, folder = config.storage, dataset_folder(config)
    place = (storage.endpoint or "", storage.url, storage.converted_prefix, folder)
    return (*place, config.alignment.strategy) if "{strategy}" in folder else place


def _yaml_files(folder: Path) -> list[Path]:
    return [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    ]


def _read(path: Path, text: str | None) -> Draft:
    """Parse the file. Raises ``ConfigError`` for one that holds nothing to check."""
    document = read_document(path, text)
    return Draft(
        data=document.data,
        folder=Path(os.path.abspath(path)).parent,
        document=document,
        name=path.stem,
        faults=list(document.faults),
    )


def _substitute(draft: Draft) -> None:
    substitution = Substitution(os.environ)
    draft.data = substitution.apply(draft.data)
    draft.secret = substitution.replaced
    draft.contents = substitution.contents
    for path, message in substitution.problems:
        draft.fault(path, message)
        draft.unfilled.add(path)


def _finish(draft: Draft, overrides: Mapping[str, object]) -> DatasetConfig | None:
    """Overrides, written-out shorthand, schema, rules. None where the schema fails."""
    before = draft.get("alignment", "strategy")
    apply_overrides(draft, substitute_overrides(overrides, os.environ, draft))
    _set_on_request(draft, before, overrides)
    normalise(draft)
    places: list[KeyPath] = []
    config: DatasetConfig | None
    try:
        config = DatasetConfig.model_validate(draft.data)
    except ValidationError as error:
        places = report(draft, error)
        config = _without(draft, places)
    if config is not None:
        if ("video", "codec") in places:
            places.append(("video",))  # what fits depends on it
        for path, message in findings(config):
            if not below(path, places):
                draft.fault(path, message)
    return config


# Settings that belong to one strategy: see ``StrategySettings``.
_ON_REQUEST = {"window_ms": "window", "chunk_size": "chunking"}


def _set_on_request(draft: Draft, before: object, overrides: Mapping[str, object]) -> None:
    """The settings for a strategy that is asked for and was not the configuration's."""
    asked = draft.get("alignment", "strategy")
    for key, strategy in _ON_REQUEST.items():
        value = draft.get("alignment", "on_request", key)
        if (
            value is not None
            and asked == strategy
            and before != strategy
            and f"alignment.{key}" not in overrides
        ):
            draft.put(("alignment", key), value)


def _without(draft: Draft, places: list[KeyPath]) -> DatasetConfig | None:
    """The configuration with the faulty values left out, if it makes sense without them.

    So that one misspelt key does not hide what the rules between keys would have found.
    """
    rest = Draft(data=copy.deepcopy(draft.data), folder=draft.folder)
    for path in places:
        parent: Any = rest.get(*path[:-1])
        if not isinstance(parent, dict):
            return None
        parent.pop(path[-1], None)
        if path in _STAND_INS:
            parent[path[-1]] = _STAND_INS[path]
    normalise(rest)
    try:
        return DatasetConfig.model_validate(rest.data)
    except ValidationError:
        return None
