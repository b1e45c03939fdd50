"""ETags as checksums.

The ETag of an object put in one piece is the MD5 of its bytes, that of a multipart upload the MD5
of the parts' MD5s, a dash, and their number (as AWS, MinIO and Ceph do it). Objects encrypted with
a customer's or KMS key have other ETags of the same form: a difference alone proves nothing there.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer

_MD5 = re.compile(r"[0-9a-f]{32}(-[0-9]+)?")


class ContentHash:
    """The MD5 of bytes that come in pieces. Against accidents, not against attackers."""

    def __init__(self) -> None:
        self._digest = hashlib.md5(usedforsecurity=False)

    def update(self, data: Buffer) -> None:
        self._digest.update(data)

    @property
    def md5(self) -> str:
        return self._digest.hexdigest()


def plain_etag(etag: str | None) -> str | None:
    """Without the quotes of the HTTP header."""
    return etag.strip('"') if etag else None


def expected_etag(path: Path, part_bytes: int) -> str:
    """The ETag of a file put in one piece, or in parts of ``part_bytes`` if it is larger."""
    size = path.stat().st_size
    if size <= part_bytes:
        with path.open("rb") as file:
            return hashlib.file_digest(file, _md5).hexdigest()
    digests: list[bytes] = []
    with path.open("rb") as file:
        while block := file.read(part_bytes):
            digests.append(hashlib.md5(block, usedforsecurity=False).digest())
    return f"{hashlib.md5(b''.join(digests), usedforsecurity=False).hexdigest()}-{len(digests)}"


def comparable(stated: str, computed: str) -> bool:
    """Whether a store's ETag is of the same form as the computed one."""
    return bool(_MD5.fullmatch(stated)) and ("-" in stated) == ("-" in computed)


def _md5() -> hashlib._Hash:
    return hashlib.md5(usedforsecurity=False)
