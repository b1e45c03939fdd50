"""Which keys a store accepts. Names in a bucket are untrusted: anybody may have chosen them.

Refused is what would leave the folder it is put in, what one of the stores cannot hold, and what
cannot be shown on one line. Spaces, quotes, commas and every script are accepted.
"""

from __future__ import annotations

import unicodedata

from lerobot_pipelines.errors import Reason, Refused

MAX_NAME_BYTES = 255  # of one part: ext4, XFS, APFS and NTFS hold no more
MAX_KEY_BYTES = 1024  # S3's limit

# Stands for bytes that are not UTF-8 (a listing of a local folder shows them so).
UNREADABLE = "\ufffd"

# Control characters, surrogates, line and paragraph separators.
_UNPRINTABLE = {"Cc", "Cs", "Zl", "Zp"}
_SHOWN_CHARACTERS = 80


def key_fault(key: str) -> str | None:
    """What is wrong with an object key, as the rest of a sentence, or None."""
    if not key:
        return "is empty"
    if UNREADABLE in key:
        return "holds bytes that are not UTF-8"
    # ASCII letters are by far the most common: one pass without looking each character up.
    if not key.isprintable() and any(unicodedata.category(c) in _UNPRINTABLE for c in key):
        return "holds a control character"
    if len(key.encode()) > MAX_KEY_BYTES:
        return f"is longer than {MAX_KEY_BYTES} bytes"
    for part in key.split("/"):
        if not part:
            return 'holds an empty part (it begins or ends with "/", or holds "//")'
        if part in (".", ".."):
            return f'holds the part "{part}"'
        if len(part.encode()) > MAX_NAME_BYTES:
            return f"holds a part longer than {MAX_NAME_BYTES} bytes"
    return None


def check_key(key: str) -> str:
    """The key itself. Raises ``Refused`` (bad_name) that says what is wrong and what to do."""
    if fault := key_fault(key):
        raise Refused(Reason.BAD_NAME, f"the name {shown(key)} {fault}; rename it in the bucket")
    return key


def shown(key: str) -> str:
    """A name as one short line of plain characters, for messages."""
    text = ascii(key) if not key.isprintable() else f'"{key}"'
    if len(text) <= _SHOWN_CHARACTERS:
        return text
    return f"{text[:_SHOWN_CHARACTERS]}... ({len(key)} characters)"


def join(*parts: str) -> str:
    """Prefixes and names as one key; empty parts and outer slashes vanish."""
    return "/".join(part.strip("/") for part in parts if part.strip("/"))
