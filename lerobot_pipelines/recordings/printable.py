"""Text of a recording as it may go on: into datasets, tables, web pages and terminals."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from typing import Any

from lerobot_pipelines.config.schema import DEFAULT_LIMITS

# Controls (NUL, escape sequences), surrogates, separators of lines, and format characters, among
# which are those that turn the direction of the text around them.
_LEFT_OUT = {"Cc", "Cf", "Cs", "Zl", "Zp"}
# Line feeds are part of what people write; joiners make letters and emoji in several scripts.
_KEPT = {"\n", "\t", "\u200c", "\u200d"}


@dataclass(slots=True)
class Cleaner:
    """Cleans texts and counts what it left out of them."""

    max_characters: int = DEFAULT_LIMITS.text_characters
    removed: int = 0  # characters that cannot be shown
    shortened: list[int] = field(default_factory=list)  # lengths of texts that were too long

    def text(self, text: str) -> str:
        """The text without what cannot be shown, at most ``max_characters`` long."""
        text = text.replace("\r\n", "\n")
        if len(text) > self.max_characters:
            self.shortened.append(len(text))
            text = text[: self.max_characters]
        if text.isprintable():
            return text
        kept = [c for c in text if c in _KEPT or unicodedata.category(c) not in _LEFT_OUT]
        self.removed += len(text) - len(kept)
        return "".join(kept)

    def value(self, value: Any) -> Any:
        """A JSON value with all its texts cleaned. Raises ``RecursionError`` for a deep one."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.value(one) for one in value]
        if isinstance(value, dict):
            return {self.text(key): self.value(one) for key, one in value.items()}
        return value
