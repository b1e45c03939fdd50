"""Refusals read many at a time, each once by a process, and a bounded number of them at a time.

A fleet with a broken camera has tens of thousands. One that cannot be read is one more line of the
list, never the end of it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.pipeline.artifacts import FailureRecord, read_artifact
from lerobot_pipelines.pipeline.keys import decode_key
from lerobot_pipelines.pipeline.workspace import Workspace
from lerobot_pipelines.storage.base import ObjectInfo, ObjectNotFound

READ_THREADS = 16
READ_AT_ONCE = 64
MAX_REMEMBERED = 50_000

# By store, object and version. Sensors of one process share it; a new process reads anew.
_known: dict[tuple[str, str, str], FailureRecord] = {}
_reading = threading.Lock()


def failures_among(
    workspace: Workspace, infos: Sequence[ObjectInfo], seconds: float
) -> list[FailureRecord] | None:
    """The refusals that these objects hold, in their order; those that went meanwhile are missing.

    None if ``seconds`` were too few to read those that this process does not know yet: another call
    goes on. Raises what the store raises.
    """
    until_s = time.monotonic() + seconds
    names = {info.key: (workspace.storage.url, info.key, info.etag) for info in infos}
    with _reading:
        unread = [info for info in infos if names[info.key] not in _known]
        gone: set[str] = set()
        with ThreadPoolExecutor(READ_THREADS) as pool:
            for start in range(0, len(unread), READ_AT_ONCE):
                if start and time.monotonic() > until_s:
                    return None
                some = unread[start : start + READ_AT_ONCE]
                for info, failure in zip(
                    some, pool.map(lambda info: _read(workspace, info), some), strict=True
                ):
                    if failure is None:
                        gone.add(info.key)
                    else:
                        _known[names[info.key]] = failure
        found = [_known[names[info.key]] for info in infos if info.key not in gone]
        for name in list(_known)[: max(0, len(_known) - MAX_REMEMBERED)]:
            del _known[name]
    return found


def _read(workspace: Workspace, info: ObjectInfo) -> FailureRecord | None:
    try:
        return read_artifact(workspace, info.key, FailureRecord)
    except ObjectNotFound:
        return None
    except Refused as refusal:
        return FailureRecord(
            key=_key_of(info),
            stage="",
            reason=str(Reason.CORRUPT_ARTIFACT),
            message=refusal.message,
        )


def _key_of(info: ObjectInfo) -> str:
    partition = info.key.rpartition("/")[2].removesuffix(".json")
    try:
        return decode_key(partition)
    except Refused:
        return info.key
