"""A configuration on its way from YAML to the schema, which remembers where each value came from.

Steps move and add values; a fault found later at ``dataset.fps`` is still reported as line 40,
``video.fps`` if that is what the file says.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lerobot_pipelines.config.environment import without_contents
from lerobot_pipelines.config.faults import ConfigFault, KeyPath, dotted
from lerobot_pipelines.config.yaml_source import YamlDocument

OVERRIDE = "override"


@dataclass(slots=True)
class Draft:
    """``data`` is the tree as it stands; ``folder`` is what relative paths start from."""

    data: dict[str, Any]
    folder: Path
    document: YamlDocument = field(default_factory=YamlDocument)
    name: str | None = None  # the file's stem
    template: Path | None = None  # the strategy's file, see ``legacy_template``
    overrides: Mapping[str, object] = field(default_factory=dict)  # that will be applied
    written: Mapping[str, Any] = field(default_factory=dict)  # as in the file, variables by name
    bucket: str | None = None  # URL of the store named instead of the file's, e.g. by ``--input``
    faults: list[ConfigFault] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # nothing is wrong, yet it is said
    origins: dict[KeyPath, KeyPath] = field(default_factory=dict)  # new place -> place in the file
    overridden: set[KeyPath] = field(default_factory=set)
    secret: set[KeyPath] = field(default_factory=set)  # places in the file filled from variables
    contents: dict[str, str] = field(default_factory=dict)  # what they held -> their names
    unfilled: set[KeyPath] = field(default_factory=set)  # whose variable is not set: reported

    def get(self, *path: str | int) -> Any:
        """The value there, None where there is none."""
        node: Any = self.data
        for part in path:
            if not holds(node, part):
                return None
            node = node[part]
        return node

    def has(self, *path: str) -> bool:
        parent = self.get(*path[:-1])
        return isinstance(parent, Mapping) and path[-1] in parent

    def section(self, *path: str) -> MutableMapping[str, Any]:
        """The mapping there, as it is; an empty one that is not kept where there is none.

        Something else in its place is a fault, reported once and removed.
        """
        value = self.get(*path)
        if isinstance(value, MutableMapping):
            return value
        if self.has(*path):
            if value is not None:
                self.fault(path, f"must be a section of keys, not {described(value)}")
            self.pop(*path)
        return {}

    def put(self, path: tuple[str, ...], value: Any, origin: KeyPath | None = None) -> bool:
        """Set a value, making the sections around it. False if one of them is no section."""
        node: Any = self.data
        for part in path[:-1]:
            # An empty section reads as None.
            if isinstance(node, MutableMapping) and node.get(part) is None:
                node[part] = {}
            node = node.get(part) if isinstance(node, MutableMapping) else None
        if not isinstance(node, MutableMapping):
            return False
        node[path[-1]] = value
        if origin is not None:
            self.origins[path] = origin
        return True

    def pop(self, *path: str) -> Any:
        parent = self.get(*path[:-1])
        return parent.pop(path[-1], None) if isinstance(parent, MutableMapping) else None

    def move(self, old: tuple[str, ...], new: tuple[str, ...], value: Any = None) -> None:
        """The older key ``old`` is ``new`` (with ``value``, if it reads otherwise there).

        Where both are given they must agree.
        """
        if not self.has(*old):
            return
        given = self.pop(*old)
        if given is None:
            return
        given = given if value is None else value
        self.settle(new, given, old)

    def settle(self, new: tuple[str, ...], value: Any, old: KeyPath) -> None:
        """Put what ``old`` says at ``new``, unless something else is said there already."""
        if not self.has(*new):
            self.put(new, value, old)
        elif self.get(*new) != value:
            self.fault(
                old,
                f"contradicts {self.label(new)}{self._line_in_words(new)}, which is the same "
                "setting; keep one of them",
            )

    def origin(self, path: KeyPath) -> KeyPath:
        """The place in the file that the value at ``path`` came from, by however many moves."""
        seen = {path}
        while (earlier := self._moved_from(path)) not in seen:
            seen.add(earlier)
            path = earlier
        return path

    def _moved_from(self, path: KeyPath) -> KeyPath:
        for length in range(len(path), 0, -1):
            if path[:length] in self.origins:
                return (*self.origins[path[:length]], *path[length:])
        return path

    def label(self, path: KeyPath) -> str:
        return dotted(self.origin(path))

    def is_secret(self, path: KeyPath) -> bool:
        """Whether the value holds the content of a variable and must not be shown."""
        origin = self.origin(path)
        return any(
            secret[: len(origin)] == origin or origin[: len(secret)] == secret
            for secret in self.secret
        )

    def shown(self, path: KeyPath, value: Any) -> str:
        """The value for a message, unless it came from a variable."""
        return "the value of a variable" if self.is_secret(path) else described(value)

    def fault(self, path: KeyPath, message: str) -> None:
        """Note what is wrong at ``path``, given as it is now."""
        message = without_contents(message, self.contents)
        origin = self.origin(path)
        if self._from_override(path, origin):
            if path not in self.unfilled:
                self.faults.append(ConfigFault(dotted(path), message, source=OVERRIDE))
        elif origin not in self.unfilled:
            line, file = self.document.line(origin), self.document.file(origin)
            self.faults.append(ConfigFault(dotted(origin), message, line, file=file))

    def warn(self, path: KeyPath, message: str) -> None:
        """Note something that does not hinder: a key that has no effect here."""
        self.warnings.append(self._remark(path, message))

    def note(self, path: KeyPath, message: str) -> None:
        """Note something worth knowing that nobody need change."""
        self.notes.append(self._remark(path, message))

    def _remark(self, path: KeyPath, message: str) -> str:
        origin = self.origin(path)
        line, file = self.document.line(origin), self.document.file(origin)
        message = without_contents(message, self.contents)
        return str(ConfigFault(dotted(origin), message, line, file=file))

    def folders(self) -> tuple[Path, ...]:
        """The folders of the files that the configuration is made of, the strategy's first."""
        own = (self.folder,)
        return own if self.template is None else tuple(dict.fromkeys((self.template.parent, *own)))

    def _from_override(self, path: KeyPath, origin: KeyPath) -> bool:
        """Set by an override, or there only because of one inside."""
        return any(
            path[: len(given)] == given
            or (given[: len(path)] == path and origin not in self.document.lines)
            for given in self.overridden
        )

    def _line_in_words(self, path: KeyPath) -> str:
        line = self.document.line(self.origin(path))
        return f" (line {line})" if line is not None else ""


def holds(node: Any, part: str | int) -> bool:
    """Whether a section has that key, a list that entry."""
    if isinstance(node, Mapping):
        return part in node
    return isinstance(node, list) and isinstance(part, int) and part < len(node)


def described(value: Any) -> str:
    """A value in few words, as a person would write it."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case str():
            return f'"{value}"' if len(value) <= 80 else f'"{value[:80]}..."'
        case Mapping():
            return "a section of keys"
        case list() | tuple():
            return "a list"
    return str(value)


def number_of(value: object) -> float | None:
    """A number from 0, also as text (a variable's content is text); None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if 0 <= number < math.inf else None


def below(path: KeyPath, places: Iterable[KeyPath]) -> bool:
    """Whether ``path`` is one of ``places``, lies inside one or holds one."""
    return any(path[: len(place)] == place or place[: len(path)] == path for place in places)
