"""Where an MCAP file goes on after damaged bytes."""

from __future__ import annotations

import re
from collections.abc import Collection

from lerobot_pipelines.recordings.ros.compression import COMPRESSIONS
from lerobot_pipelines.recordings.ros.filebytes import SEARCH_WINDOW_BYTES, FileBytes
from lerobot_pipelines.recordings.ros.mcap_records import (
    MAGIC,
    MESSAGE_HEAD,
    PREFIX_BYTES,
    BadRecord,
    Op,
    parse_chunk,
    parse_message_head,
    parse_prefix,
)

_HEAD_BYTES = 64
# Looking ahead, so that a match cannot hide another one that begins inside it.
_RECORD_START = re.compile(rb"[\x05\x06](?=[\s\S]{4}\x00{4})")

# A message has no mark of its own. But where one ends another record begins, and so on: by chance
# three in a row, with lengths that fit the file, do not come about.
_RECORDS_IN_A_ROW = 3


def next_record(file: FileBytes, start: int, channels: Collection[int]) -> int | None:
    """Where the next chunk or message begins.

    A chunk is known by lengths that agree. A message outside chunks, or in a chunk that is not
    compressed and whose head is lost, is known by the records that follow it; ``channels`` are
    those met so far, one of which it must be of (any, if none was met).
    """
    position = start
    while position < file.size:
        window = memoryview(file.read_upto(position, SEARCH_WINDOW_BYTES + _HEAD_BYTES))
        for found in _RECORD_START.finditer(window[: SEARCH_WINDOW_BYTES + PREFIX_BYTES]):
            head = window[found.start() : found.start() + _HEAD_BYTES]
            place = position + found.start()
            if head[0] == Op.CHUNK:
                if _is_chunk(head):
                    return place
            elif _is_message(head, channels) and _goes_on(file, place, channels):
                return place
        position += SEARCH_WINDOW_BYTES
    return None


def _is_chunk(head: memoryview) -> bool:
    try:
        chunk = parse_chunk(parse_prefix(head, 0), head[PREFIX_BYTES:])
    except BadRecord:
        return False
    return chunk.compression in COMPRESSIONS and chunk.data_length > 0


def _is_message(head: memoryview, channels: Collection[int]) -> bool:
    try:
        prefix = parse_prefix(head, 0)
        channel, _ = parse_message_head(head[PREFIX_BYTES:])
    except BadRecord:
        return False
    return prefix.length >= MESSAGE_HEAD.size and (not channels or channel in channels)


def _goes_on(file: FileBytes, place: int, channels: Collection[int]) -> bool:
    """Whether whole records follow one another from here, or up to the end of the file."""
    for _ in range(_RECORDS_IN_A_ROW):
        head = memoryview(file.read_upto(place, _HEAD_BYTES))
        if not head or (bytes(head) == MAGIC and place + len(MAGIC) == file.size):
            return True
        try:
            prefix = parse_prefix(head, 0, place)
        except BadRecord:
            return False
        if prefix.end > file.size:
            return False
        if prefix.op == Op.MESSAGE and not _is_message(head, channels):
            return False
        if prefix.op == Op.CHUNK and not _is_chunk(head):
            return False
        place = prefix.end
    return True
