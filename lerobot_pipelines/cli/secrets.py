"""Secrets never reach a log: what looks like one, or is one of this process's, becomes ``***``."""

from __future__ import annotations

import os
import re

HIDDEN = "***"
# A shorter value is more likely a word of the text around it than a key.
MIN_SECRET_CHARACTERS = 8

_NAMES = re.compile(r"SECRET|PASSWORD|PASSWD|TOKEN|ACCESS_KEY|CREDENTIAL|API_KEY", re.IGNORECASE)
_NAME = (
    r"\b[\w-]*(?:secret|password|passwd|token|signature|access[-_]?key|api[-_]?key|credential)"
    r"[\w-]*"
)
# A name that says it is a secret, and what follows: JSON, query strings, assignments. Behind a
# colon alone stand sentences too ("bos.secret_key: holds a credential"): only what is no word.
_NAMED = re.compile(
    rf"""(?ix)
    ( {_NAME}(?<!_env) (?: \s*=\s*["']? | ["']\s*:\s*["'] ) (?:bearer\s+|basic\s+)? )
    ( [^\s"'&,;}}]{{4,}} )
    """
)
_AFTER_COLON = re.compile(
    rf"(?i:({_NAME}(?<!_env)\s*:\s*))"
    r"((?=[^\s,;]*\d|[^\s,;]*[a-z][^\s,;]*[A-Z]|[^\s,;]*[/+=])[^\s\"',;]{8,})"
)
_AUTHORIZATION = re.compile(r"(?i)(\bauthorization[\"']?\s*[=:]\s*)([^\n\"'}]+)")
_IN_URL = re.compile(r"(?i)(\b[a-z][a-z0-9+.-]*://[^\s/:@]*):[^\s/@]+@")


def redacted(text: str) -> str:
    """The text without passwords in URLs, values behind names that say they are secret, and the
    values of this process's own secret variables."""
    for value in _own_secrets():
        text = text.replace(value, HIDDEN)
    text = _IN_URL.sub(rf"\1:{HIDDEN}@", text)
    text = _AUTHORIZATION.sub(rf"\1{HIDDEN}", text)
    text = _AFTER_COLON.sub(rf"\1{HIDDEN}", text)
    return _NAMED.sub(rf"\1{HIDDEN}", text)


def _own_secrets() -> list[str]:
    """Longest first: one may hold another."""
    values = {
        value
        for name, value in os.environ.items()
        if _NAMES.search(name) and len(value) >= MIN_SECRET_CHARACTERS and not _is_file(value)
    }
    return sorted(values, key=len, reverse=True)


def _is_file(value: str) -> bool:
    """A variable may name the file that holds a token; a key may begin with a slash as well."""
    return value.startswith("/") and os.path.exists(value)
