"""YAML text as plain data plus the line of every key. Safe: no tags run code.

Scalars follow YAML 1.2: ``12:26`` is text (YAML 1.1 reads the number 746, which ruins slices),
``yes`` and ``on`` are text, ``1e-3`` is a number.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any

import yaml

from lerobot_pipelines.config.faults import ConfigFault, KeyPath, dotted

# Aliases may refer to aliases: a file of a kilobyte can stand for gigabytes.
MOST_NODES = 50_000

COLLECTION_TAGS = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")
MERGE_TAG = "tag:yaml.org,2002:merge"


class _Yaml12Loader(yaml.SafeLoader):
    """SafeLoader whose plain scalars are resolved as YAML 1.2's core schema says."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  # PyYAML's own class attribute


# Tag, pattern, and the characters such a scalar may begin with.
YAML_12_SCALARS: tuple[tuple[str, re.Pattern[str], tuple[str, ...]], ...] = (
    ("bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), tuple("tTfF")),
    ("null", re.compile(r"^(?:~|null|Null|NULL|)$"), ("~", "n", "N", "")),
    (
        "int",
        re.compile(r"^(?:[-+]?(?:0|[1-9][0-9]*)|0x[0-9a-fA-F]+)$"),
        tuple("-+0123456789"),
    ),
    (
        "float",
        re.compile(
            r"^[-+]?(?:(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+"
            r"|\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
        ),
        tuple("-+.0123456789"),
    ),
    ("merge", re.compile(r"^<<$"), ("<",)),
)
for _tag, _pattern, _first in YAML_12_SCALARS:
    _Yaml12Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", _pattern, list(_first))


@dataclass(slots=True)
class YamlDocument:
    """``data`` is what the text says; ``lines`` the line (from 1) of each key and list item.

    ``files`` names the file of keys that come from another one than the document's own.
    """

    data: Any = None
    lines: dict[KeyPath, int] = field(default_factory=dict)
    faults: list[ConfigFault] = field(default_factory=list)
    files: dict[KeyPath, str] = field(default_factory=dict)
    name: str | None = None

    def line(self, path: KeyPath) -> int | None:
        """The line of that key, or of the nearest one around it."""
        known = self._known(path)
        return None if known is None else self.lines[known]

    def file(self, path: KeyPath) -> str | None:
        """The name of the file that the line is in; None for the document's own."""
        known = self._known(path)
        return None if known is None else self.files.get(known)

    def name_file(self, name: str) -> None:
        """Say which file every key and fault is of: it becomes part of another document."""
        self.name = name
        self.files = dict.fromkeys(self.lines, name)
        self.faults = [replace(fault, file=name) for fault in self.faults]

    def _known(self, path: KeyPath) -> KeyPath | None:
        for length in range(len(path), 0, -1):
            if path[:length] in self.lines:
                return path[:length]
        return None


def parse_yaml(text: str) -> YamlDocument:
    """Parse one document. Syntax errors, duplicate keys and unsafe tags become faults."""
    document = YamlDocument()
    try:
        loader = _Yaml12Loader(text)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        message = f"not valid YAML: the character {error.character!r} is not allowed"
        document.faults.append(ConfigFault("", message, line))
        return document
    try:
        node = loader.get_single_node()
        if node is not None:
            document.data = _Builder(loader, document).build(node, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        document.faults.append(
            ConfigFault(
                "", f"not valid YAML: {error.problem}", None if mark is None else mark.line + 1
            )
        )
    except yaml.YAMLError as error:
        document.faults.append(ConfigFault("", f"not valid YAML: {error}"))
    except RecursionError:
        document.faults.append(ConfigFault("", "not valid YAML: nested too deeply"))
    finally:
        loader.dispose()
    return document


def parse_scalar(text: str) -> Any:
    """The value that ``text`` has in YAML: for ``--set key=value``. Raises ``ValueError``."""
    document = parse_yaml(text)
    if document.faults:
        raise ValueError(document.faults[0].message)
    return document.data


class _Builder:
    """Builds plain data from nodes, remembering lines."""

    def __init__(self, loader: _Yaml12Loader, document: YamlDocument) -> None:
        self.loader = loader
        self.document = document
        self.nodes = 0

    def build(self, node: yaml.Node, path: KeyPath) -> Any:
        self.nodes += 1
        if self.nodes > MOST_NODES:
            raise yaml.composer.ComposerError(
                None, None, f"more than {MOST_NODES} values (aliases included)", node.start_mark
            )
        if isinstance(node, yaml.CollectionNode) and node.tag not in COLLECTION_TAGS:
            raise yaml.constructor.ConstructorError(
                None, None, "tags have no meaning here; remove what begins with !", node.start_mark
            )
        if isinstance(node, yaml.SequenceNode):
            items = []
            for index, item in enumerate(node.value):
                self.document.lines[(*path, index)] = item.start_mark.line + 1
                items.append(self.build(item, (*path, index)))
            return items
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        return self.loader.construct_object(node, deep=True)

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        result: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == MERGE_TAG:
                for key, value in self._merge(value_node, path):
                    merged.setdefault(key, value)
                continue
            key = self.loader.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                fault = f"the key {key!r} is not text; put it in quotes"
                self.document.faults.append(ConfigFault(dotted(path), fault, line))
                continue
            if key in result:
                first = self.document.lines[(*path, key)]
                fault = f"given twice, first on line {first}; remove one of them"
                self.document.faults.append(ConfigFault(dotted((*path, key)), fault, line))
                continue
            self.document.lines[(*path, key)] = line
            result[key] = self.build(value_node, (*path, key))
        return merged | result

    def _merge(self, node: yaml.Node, path: KeyPath) -> list[tuple[str, Any]]:
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        pairs: list[tuple[str, Any]] = []
        for source in sources:
            value = self.build(source, path)
            if isinstance(value, dict):
                pairs.extend(value.items())
        return pairs
