"""Where an MCAP file goes on after damaged bytes."""

from __future__ import annotations

import re

from lerobot_pipelines.recordings.ros.compression import COMPRESSIONS
from lerobot_pipelines.recordings.ros.filebytes import SEARCH_WINDOW_BYTES, FileBytes
from lerobot_pipelines.recordings.ros.mcap_records import (
    PREFIX_BYTES,
    BadRecord,
    parse_chunk,
    parse_prefix,
)

_CHUNK_HEAD_BYTES = 64
# Looking ahead, so that a match cannot hide another one that begins inside it.
_CHUNK_START = re.compile(rb"\x06(?=[\s\S]{4}\x00{4})")


def next_chunk(file: FileBytes, start: int) -> int | None:
    """Where the next chunk begins: its op, a length below 4 GiB, and lengths that agree.

    Messages outside chunks cannot be told from other bytes, and are not looked for.
    """
    position = start
    while position < file.size:
        window = memoryview(file.read_upto(position, SEARCH_WINDOW_BYTES + _CHUNK_HEAD_BYTES))
        for found in _CHUNK_START.finditer(window[: SEARCH_WINDOW_BYTES + PREFIX_BYTES]):
            if _is_chunk(window[found.start() : found.start() + _CHUNK_HEAD_BYTES]):
                return position + found.start()
        position += SEARCH_WINDOW_BYTES
    return None


def _is_chunk(head: memoryview) -> bool:
    try:
        chunk = parse_chunk(parse_prefix(head, 0), head[PREFIX_BYTES:])
    except BadRecord:
        return False
    return chunk.compression in COMPRESSIONS and chunk.data_length > 0
