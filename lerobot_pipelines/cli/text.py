"""Names from a bucket are untrusted: here they become characters that a terminal only shows."""

from __future__ import annotations

import unicodedata

# Controls (escape sequences), surrogates, separators of lines, and format characters, among which
# are those that reverse the direction of the text around them.
_DANGEROUS = {"Cc", "Cf", "Cs", "Zl", "Zp"}

# Joins letters and emoji in several scripts; it moves nothing.
_HARMLESS = {"\u200c", "\u200d"}


def safe(text: str, *, lines: bool = False) -> str:
    r"""The text with every character that could steer a terminal written as ``\x1b`` or ``\u202e``.

    ``lines=True`` keeps line feeds, for messages of our own that list something.
    """
    if text.isprintable():
        return text
    return "".join(_shown(character, lines) for character in text)


def counted(count: int, noun: str) -> str:
    """``1 episode``, ``2 episodes``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _shown(character: str, lines: bool) -> str:
    if (lines and character == "\n") or character in _HARMLESS:
        return character
    if unicodedata.category(character) in _DANGEROUS:
        return ascii(character)[1:-1]
    return character
