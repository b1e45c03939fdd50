"""Faults of a configuration: collected while loading, raised together as one ``ConfigError``."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lerobot_pipelines.errors import ConfigError

KeyPath = tuple[str | int, ...]

# Where the nearest key is far off, a list of all of them helps more, as long as it can be read.
MOST_KEYS_LISTED = 40


@dataclass(frozen=True, slots=True)
class ConfigFault:
    """One thing wrong with a configuration, in words that let a person repair it.

    ``line`` is None for a value that is not in the file: an override, a default.
    """

    key: str
    message: str
    line: int | None = None
    source: str | None = None  # "override" where it came from one
    file: str | None = None  # the other file that it is in, where a configuration has two

    def __str__(self) -> str:
        where = f"{self.file} " if self.file is not None else ""
        where += f"line {self.line}, " if self.line is not None else ""
        if self.source is not None:
            where = f"{self.source} "
        return f"{where}{self.key}: {self.message}" if self.key else f"{where}{self.message}"


def dotted(path: KeyPath) -> str:
    """``("cameras", 0, "name")`` as ``cameras[0].name``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def nearest(given: str, valid: Iterable[str]) -> str:
    """``; did you mean "x"?``, or nothing where no valid word is near."""
    words = {word.lower(): word for word in valid}
    near = difflib.get_close_matches(given.lower(), words, n=1)
    return f'; did you mean "{words[near[0]]}"?' if near else ""


def suggestion(given: str, valid: Iterable[str]) -> str:
    """The nearest valid word, else all of them where they are few, else nothing."""
    known = list(valid)
    if near := nearest(given, known):
        return near
    if known and len(known) <= MOST_KEYS_LISTED:
        return f"; known are {', '.join(sorted(known))}"
    return ""


def config_error(file: str, faults: Sequence[ConfigFault]) -> ConfigError:
    """The error that names the file and lists every fault in the order of the file's lines."""
    ordered = sorted(
        dict.fromkeys(faults), key=lambda fault: (fault.file or "", fault.line or 0, fault.key)
    )
    count = "1 fault" if len(ordered) == 1 else f"{len(ordered)} faults"
    lines = "\n".join(f"  {fault}" for fault in ordered)
    return ConfigError(f"{file} has {count}:\n{lines}", file=file, faults=tuple(ordered))
