"""Episode keys as partition keys.

An episode's key comes from the names people gave things in the bucket: it may hold anything. A
partition key must survive Dagster's ranges and selections (no comma, no ``...``, no brackets, no
line breaks), file names (no slash), URLs, shells and a database index (bounded). So letters,
digits, ``_``, ``-`` and ``.`` stay, ``/`` becomes ``~``, and every other byte of the UTF-8 becomes
``=`` and two hexadecimal digits: ``bottle/episode 1`` is ``bottle~episode=201``.

Each key has one partition key and the other way round. Keys that would be longer than
``MAX_PARTITION_KEY`` are refused rather than hashed: a partition key is enough to find its episode.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.storage.names import check_key, shown

# A file name holds 255 bytes, and artifacts add a suffix (".json").
MAX_PARTITION_KEY = 200

_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.")
# What needs an escape anywhere. A bucket of 100,000 is encoded at every tick: most names need none.
_ESCAPED = re.compile(r"[^A-Za-z0-9_./-]|(?:^|[./])[.-]")
_SLASH, _FOLDER, _ESCAPE, _DOT, _DASH = b"/~=.-"


def encode_key(key: str) -> str:
    """The partition key of an episode.

    Raises ``Refused`` (bad_name) for a key that no store accepts (empty, absolute, ``..``, control
    characters) and for one whose partition key would be too long.
    """
    check_key(key)
    if _ESCAPED.search(key) is None:
        encoded = key.replace("/", chr(_FOLDER))
    else:
        encoded = "".join(_encoded(byte, before) for before, byte in _pairs(key.encode()))
    if len(encoded) > MAX_PARTITION_KEY:
        raise Refused(
            Reason.BAD_NAME,
            f"the episode name {shown(key)} is too long: {len(encoded)} characters as a partition "
            f"key, {MAX_PARTITION_KEY} are possible; rename it in the bucket",
        )
    return encoded


def decode_key(partition_key: str) -> str:
    """The episode of a partition key. Raises ``Refused`` (bad_name) for any other text."""
    data = bytearray()
    at = 0
    try:
        if chr(_ESCAPE) not in partition_key:
            data += partition_key.replace(chr(_FOLDER), "/").encode("ascii")
            at = len(partition_key)
        while at < len(partition_key):
            character = partition_key[at]
            if character == chr(_ESCAPE):
                data.append(int(partition_key[at + 1 : at + 3], 16))
                at += 3
                continue
            data += b"/" if character == chr(_FOLDER) else character.encode("ascii")
            at += 1
        key = data.decode()
        # Only what encode_key itself writes: two partition keys never mean one episode.
        if encode_key(key) == partition_key:
            return key
    except (UnicodeError, ValueError, Refused) as error:
        raise _unknown(partition_key) from error
    raise _unknown(partition_key)


def decode_keys(partition_keys: Iterable[str]) -> frozenset[str]:
    """The episodes of many partition keys; texts that are none are left out."""
    return frozenset(key for key in map(_decoded, partition_keys) if key is not None)


def _decoded(partition_key: str) -> str | None:
    try:
        return decode_key(partition_key)
    except Refused:
        return None


def _pairs(data: bytes) -> zip[tuple[int, int]]:
    """Each byte with the one before it; the first follows a dot, see ``_encoded``."""
    return zip(bytes([_DOT]) + data, data, strict=False)


def _encoded(byte: int, before: int) -> str:
    if byte == _SLASH:
        return chr(_FOLDER)
    # A dot after a dot could become "...". Dots and dashes do not lead: hidden files, options.
    leads = before in (_DOT, _SLASH) and byte in (_DOT, _DASH)
    return chr(byte) if byte in _PLAIN and not leads else f"{chr(_ESCAPE)}{byte:02X}"


def _unknown(partition_key: str) -> Refused:
    return Refused(
        Reason.BAD_NAME, f"{shown(partition_key)} is not the partition key of an episode"
    )
