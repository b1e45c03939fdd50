"""``conversion.config_template``: a service's file and a strategy's file are one configuration.

The service's file says where recordings lie, the strategy's file what the robot is and how samples
become rows. Where both say the same key the service's file decides, except for the strategy:
that is the strategy file's own, as it always was; ``conversion.strategy`` only named folders.
Several strategy files against one service's file are several datasets: ``config_template`` may be
a list, or hold ``{strategy}``, and the strategy asked for chooses.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lerobot_pipelines.config.draft import Draft, described
from lerobot_pipelines.config.environment import Substitution
from lerobot_pipelines.config.faults import KeyPath
from lerobot_pipelines.config.legacy_search import find
from lerobot_pipelines.config.read import read_document
from lerobot_pipelines.config.schema import Strategy
from lerobot_pipelines.config.yaml_source import YamlDocument
from lerobot_pipelines.errors import ConfigError

TEMPLATE = ("conversion", "config_template")
TEMPLATE_KEY = ".".join(TEMPLATE)
STRATEGY = ("conversion", "strategy")
_ROBOT = ("robot", "cameras", "streams", "features")
PLACEHOLDER = "{strategy}"


def include_template(draft: Draft) -> None:
    """Merge the strategy's file into the draft, and take the key out."""
    given = _given(draft)
    if given is None:
        return
    chosen = TEMPLATE_KEY in draft.overrides
    if any(draft.has(key) for key in _ROBOT) and not chosen:
        draft.warn(TEMPLATE, "has no effect here: the robot and the cameras are in this file")
        draft.pop(*TEMPLATE)
        return
    names = given if isinstance(given, list) else [given]
    if not names or not all(isinstance(name, str) and name.strip() for name in names):
        draft.fault(TEMPLATE, f"must be the path of a strategy's file, not {described(given)}")
        draft.pop(*TEMPLATE)
        return
    documents = _read(draft, [name.strip() for name in names])
    draft.pop(*TEMPLATE)
    if documents and (found := _choose(draft, documents)) is not None:
        path, document = found
        draft.template = path
        draft.faults += document.faults
        _merge(draft, document)


def template_files(data: Any, folder: Path) -> tuple[Path, ...]:
    """The strategy files that a file's content names, as far as they are there."""
    draft = Draft(data=dict(data), folder=folder) if isinstance(data, Mapping) else None
    given = _given(draft) if draft is not None else None
    names = given if isinstance(given, list) else [given]
    found: list[Path] = []
    for name in names:
        if draft is None or not isinstance(name, str) or not name.strip():
            continue
        each = [name.replace(PLACEHOLDER, strategy) for strategy in Strategy]
        places = [find(draft, one.strip(), Path.is_file) for one in dict.fromkeys(each)]
        found += [place.path for place in places if place.is_there]
    return tuple(found)


def _given(draft: Draft) -> Any:
    value = draft.overrides.get(TEMPLATE_KEY, draft.get(*TEMPLATE))
    substitution = Substitution(os.environ)
    filled = substitution.apply(list(value) if isinstance(value, tuple) else value)
    for _, message in substitution.problems:
        draft.fault(TEMPLATE, message)
    return None if substitution.problems else filled


def _read(draft: Draft, names: list[str]) -> list[tuple[Path, YamlDocument]]:
    """Each file that is there, read; a fault for each that is not."""
    wanted = draft.overrides.get("alignment.strategy") or draft.get(*STRATEGY)
    documents: list[tuple[Path, YamlDocument]] = []
    for given in names:
        if PLACEHOLDER in given and not isinstance(wanted, str):
            draft.fault(TEMPLATE, "holds {strategy}, and there is none; give conversion.strategy")
            continue
        name = given.replace(PLACEHOLDER, str(wanted))
        found = find(draft, name, Path.is_file)
        if not found.is_there:
            draft.fault(
                TEMPLATE,
                f"names the file of the robot and the strategy, and {found.in_words()}; correct "
                "the path, or put that file's keys into this one",
            )
            continue
        try:
            document = read_document(found.path)
        except ConfigError as error:
            draft.fault(TEMPLATE, error.message.replace("\n", " "))
            continue
        document.name_file(found.path.name)
        if isinstance(document.data, dict) and "config_template" in (
            document.data.get("conversion") or {}
        ):
            draft.fault(TEMPLATE, f"{found.path} names a config_template of its own; remove it")
            continue
        documents.append((found.path, document))
    return documents


def _choose(
    draft: Draft, documents: list[tuple[Path, YamlDocument]]
) -> tuple[Path, YamlDocument] | None:
    """The only one, or that of the strategy that is asked for."""
    if len(documents) == 1:
        return documents[0]
    wanted = draft.overrides.get("alignment.strategy") or draft.get(*STRATEGY)
    fitting = [one for one in documents if _strategy_in(one[1]) == wanted]
    if len(fitting) != 1:
        listed = ", ".join(f"{path.name} ({_strategy_in(one)})" for path, one in documents)
        draft.fault(
            TEMPLATE,
            f"names several files, {listed}, and {len(fitting) or 'none'} of strategy {wanted}; "
            "say which with --strategy, or --set conversion.config_template=FILE",
        )
        return None
    return fitting[0]


def _strategy_in(document: YamlDocument) -> Any:
    data = document.data if isinstance(document.data, dict) else {}
    alignment = data.get("alignment")
    return alignment.get("strategy") if isinstance(alignment, Mapping) else None


def _merge(draft: Draft, document: YamlDocument) -> None:
    _strategy(draft, document)
    for path, line in document.lines.items():
        if path not in draft.document.lines:
            draft.document.lines[path] = line
            draft.document.files[path] = document.files[path]
    _merge_section(draft, draft.data, document.data, ())


def _strategy(draft: Draft, document: YamlDocument) -> None:
    """The strategy's file says how rows are made; the service's named folders after it."""
    own, named = _strategy_in(document), draft.get(*STRATEGY)
    if own is None:
        return
    if named is not None and named != own:
        draft.warn(
            STRATEGY,
            f'is "{named}", but {document.name} is of strategy "{own}", which makes the rows; '
            "folders are named after it too",
        )
    if isinstance(draft.get("conversion"), dict):
        draft.pop(*STRATEGY)


def _merge_section(draft: Draft, into: dict[str, Any], other: Any, above: KeyPath) -> None:
    for key, value in (other or {}).items() if isinstance(other, Mapping) else ():
        path = (*above, key)
        there = into.get(key)
        if there is None:
            into[key] = value
        elif isinstance(there, dict) and isinstance(value, Mapping):
            _merge_section(draft, there, value, path)
        elif there != value:
            draft.warn(path, "is another one in the strategy's file; the one of this file holds")
