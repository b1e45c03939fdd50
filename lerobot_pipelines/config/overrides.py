"""Single keys set from outside, by the command line or a run's configuration.

``alignment.strategy``, ``cameras[0].role``, the same by name ``cameras.cam_high.role``, and
features by their own names, dots included: ``features.observation.state.chunk``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from typing import Any

from lerobot_pipelines.config.draft import OVERRIDE, Draft
from lerobot_pipelines.config.environment import Substitution
from lerobot_pipelines.config.faults import ConfigFault, KeyPath, suggestion

_PART = re.compile(r"([^\[\]]*)((?:\[\d+\])*)")


def apply_overrides(draft: Draft, overrides: Mapping[str, object]) -> None:
    for key, value in overrides.items():
        path = _locate(draft, key)
        if path is None:
            continue
        parent: Any = _parent(draft, path)
        if parent is None:
            draft.faults.append(
                ConfigFault(key, "is no key: what lies before it holds no keys", source=OVERRIDE)
            )
            continue
        _forget_faults(draft, path)
        parent[path[-1]] = _plain(value)
        draft.overridden.add(path)


def substitute_overrides(
    overrides: Mapping[str, object], environ: Mapping[str, str], draft: Draft
) -> dict[str, object]:
    """The overrides with ``${ENV}`` filled in."""
    filled: dict[str, object] = {}
    for key, value in overrides.items():
        substitution = Substitution(environ)
        filled[key] = substitution.apply(_plain(value))
        draft.faults.extend(
            ConfigFault(key, message, source=OVERRIDE) for _, message in substitution.problems
        )
        draft.contents.update(substitution.contents)
        path = _locate(draft, key, quiet=True)
        if path is not None and substitution.replaced:
            draft.secret.add(path)
            if substitution.problems:
                draft.overridden.add(path)
                draft.unfilled.add(path)
    return filled


def _forget_faults(draft: Draft, path: KeyPath) -> None:
    """What was wrong with the value that is replaced, e.g. a variable that is not set."""
    if path in draft.overridden:
        return
    key = draft.label(path)
    draft.faults = [fault for fault in draft.faults if fault.key != key or fault.source is not None]
    draft.unfilled.discard(draft.origin(path))


def _plain(value: object) -> object:
    """Tuples as YAML has them."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _locate(draft: Draft, key: str, *, quiet: bool = False) -> KeyPath | None:
    """The place that a dotted key means; None, with a fault, where there is no such entry."""
    path: KeyPath = ()
    rest = key
    while rest:
        node = draft.get(*path)
        if path == ("features",) and isinstance(node, Mapping):
            name = _feature(node, rest)
            path, rest = (*path, name), rest[len(name) :].removeprefix(".")
            continue
        text, _, rest = rest.partition(".")
        match = _PART.fullmatch(text)
        if match is None or not text:
            _lost(draft, key, "is not a key, e.g. cameras[0].role", quiet=quiet)
            return None
        name, indices = match[1], [int(index) for index in re.findall(r"\d+", match[2])]
        if isinstance(node, list) and name:
            index = _named(node, name)
            if index is None:
                known = [str(item.get("name")) for item in node if isinstance(item, Mapping)]
                message = f'there is no "{name}" in {path[-1]}{suggestion(name, known)}'
                _lost(draft, key, message, quiet=quiet)
                return None
            path = (*path, index)
        elif name:
            path = (*path, name)
        for index in indices:
            items = draft.get(*path)
            if not isinstance(items, list) or index >= len(items):
                count = len(items) if isinstance(items, list) else 0
                message = f"there is no entry {index}, there are {count}"
                _lost(draft, key, message, quiet=quiet)
                return None
            path = (*path, index)
    if not path:
        _lost(draft, key, "is not a key, e.g. alignment.strategy", quiet=quiet)
        return None
    return path


def _lost(draft: Draft, key: str, message: str, *, quiet: bool) -> None:
    if not quiet:
        draft.faults.append(ConfigFault(key, message, source=OVERRIDE))


def _feature(features: Mapping[str, Any], rest: str) -> str:
    """The longest feature whose name the key begins with; the whole key for a new one."""
    fitting = [
        name for name in features if rest == name or rest.startswith((f"{name}.", f"{name}["))
    ]
    return max(fitting, key=len, default=rest)


def _named(items: list[Any], name: str) -> int | None:
    for index, item in enumerate(items):
        if isinstance(item, Mapping) and item.get("name") == name:
            return index
    return int(name) if name.isdecimal() and int(name) < len(items) else None


def _parent(draft: Draft, path: KeyPath) -> Any:
    """The section or list that holds ``path``; sections that are not there are made."""
    node: Any = draft.data
    for part in path[:-1]:
        if isinstance(node, MutableMapping) and node.get(str(part)) is None:
            node[str(part)] = {}
        try:
            node = node[part]
        except (KeyError, IndexError, TypeError):
            return None
    if isinstance(path[-1], int):
        return node if isinstance(node, list) and path[-1] < len(node) else None
    return node if isinstance(node, MutableMapping) else None
