"""``${NAME}`` and ``${NAME:-default}`` in the text values of a configuration.

Substitution happens after parsing, so a variable's content can never change the structure of the
file. ``$${`` stands for a literal ``${``. What a variable held is never repeated in a message.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from lerobot_pipelines.config.faults import KeyPath

LONGEST_SHOWN = 3

_REFERENCE = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}|\$\{")


class Substitution:
    """Replaces references in a tree of plain data, noting what could not be replaced.

    ``problems`` holds (path, message); ``replaced`` the paths whose text came from a variable;
    ``contents`` what variables held, with their names, for messages to leave it out.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.problems: list[tuple[KeyPath, str]] = []
        self.replaced: set[KeyPath] = set()
        self.contents: dict[str, str] = {}

    def apply(self, value: Any, path: KeyPath = ()) -> Any:
        if isinstance(value, dict):
            return {key: self.apply(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self.apply(item, (*path, index)) for index, item in enumerate(value)]
        if isinstance(value, str) and "${" in value:
            return _REFERENCE.sub(lambda match: self._replacement(match, path), value)
        return value

    def _replacement(self, match: re.Match[str], path: KeyPath) -> str:
        if match.group(0) == "$${":
            return "${"
        name, default = match.group(1), match.group(2)
        if name is None:
            self.problems.append((path, "a ${ that is not ${NAME} or ${NAME:-default}"))
            return ""
        self.replaced.add(path)
        found = self._environ.get(name)
        if found or (found is not None and default is None):
            self.contents[found] = name
            return found
        if default is None:
            self.problems.append(
                (
                    path,
                    f"the environment variable {name} is not set; set it or use ${{{name}:-...}}",
                )
            )
            return ""
        return default


def without_contents(message: str, contents: Mapping[str, str]) -> str:
    """The message with what variables held replaced by their references.

    Contents of three characters or fewer stay: they are no secrets, and stand in many words.
    """
    for content in sorted(contents, key=len, reverse=True):
        if len(content) > LONGEST_SHOWN:
            for spelled in (content, quote(content), content.strip()):
                message = message.replace(spelled, f"${{{contents[content]}}}")
    return message


def referenced_variable(text: str) -> str | None:
    """The variable's name if the whole text is one ``${NAME}``, else None."""
    match = re.fullmatch(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-)?\}", text)
    return match.group(1) if match else None


def escaped(value: Any) -> Any:
    """The tree with every ``${`` written so that ``Substitution`` gives the same text back."""
    if isinstance(value, dict):
        return {key: escaped(item) for key, item in value.items()}
    if isinstance(value, list):
        return [escaped(item) for item in value]
    return value.replace("${", "$${") if isinstance(value, str) else value
