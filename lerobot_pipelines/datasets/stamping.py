"""Making each version of a file that lerobot finds by a fixed name unlike all others.

An object store tells versions apart by their content (its ETag is the MD5). A writer that comes
late could therefore take a file for the one that it saw, if the same content came back. Once a
commit was left unfinished, everything under a fixed name therefore carries the number of its
commit: in text as blanks behind the last character, which JSON and Markdown pass over, in Parquet
as a key of the schema's metadata.
"""

from __future__ import annotations

_BITS = 32
_BLANKS = {"0": " ", "1": "\t"}

PARQUET_KEY = b"lerobot_pipelines.commit"


def stamped(text: bytes, commit: int) -> bytes:
    """The text with the number behind it; 0: as it is."""
    if not commit:
        return text
    blanks = "".join(_BLANKS[bit] for bit in f"{commit:0{_BITS}b}").encode()
    if text.endswith(b"\n"):
        return text[:-1] + blanks + b"\n"
    return text + blanks


def parquet_stamp(commit: int) -> dict[bytes, bytes]:
    return {PARQUET_KEY: str(commit).encode()} if commit else {}
