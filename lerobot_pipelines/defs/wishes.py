"""An operator's wishes for another attempt (``lerobot-pipelines retry``) as run requests.

A wish is requested once, whatever was requested or failed before. They have turns: a bounded number
is looked at in each tick, however many there are.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection, Iterator

import dagster as dg

from lerobot_pipelines.defs import runs
from lerobot_pipelines.defs.cursor import BucketCursor, from_after
from lerobot_pipelines.defs.requests import episode_tags
from lerobot_pipelines.pipeline.keys import encode_key
from lerobot_pipelines.pipeline.retries import list_retries
from lerobot_pipelines.pipeline.sightings import Sighting, look_at_all
from lerobot_pipelines.pipeline.workspace import Workspace

WISHES_LOOKED_AT = 200
LOOKING_BUDGET_S = 0.7
# Looked at by one thread: few, so that the time can be kept.
RUN_LENGTH = 5


def wished(
    workspace: Workspace,
    instance: dg.DagsterInstance,
    cursor: BucketCursor,
    there: Collection[str],
    busy_among: Callable[[Collection[str]], set[str]],
) -> Iterator[tuple[Sighting, dg.RunRequest]]:
    """Each wish of this tick that can be fulfilled now; the cursor moves on as they are taken.

    ``there``: the episodes in the bucket; ``busy_among``: the partitions that runs are about.
    """
    wishes = {one.key: one.wish for one in list_retries(workspace) if one.key in there}
    turn = from_after(sorted(wishes), cursor.after_wish)[:WISHES_LOOKED_AT]
    if not turn:
        return
    run_keys = {key: _run_key(workspace.dataset, key, wishes[key]) for key in turn}
    requested = runs.requested_among(instance, list(run_keys.values()))
    open_ones = [key for key in turn if run_keys[key] not in requested]
    busy = busy_among([encode_key(key) for key in open_ones])
    free = [key for key in open_ones if encode_key(key) not in busy]
    if not free:
        cursor.after_wish = turn[-1]
    until_s = time.monotonic() + LOOKING_BUDGET_S
    for sighting in look_at_all(
        workspace, free, time.time_ns(), run_length=RUN_LENGTH, until_s=until_s
    ):
        cursor.after_wish = sighting.key
        if sighting.error is None and sighting.waiting is None:
            yield (
                sighting,
                dg.RunRequest(
                    run_key=run_keys[sighting.key],
                    partition_key=sighting.partition,
                    tags=episode_tags(workspace.config, sighting),
                ),
            )


def _run_key(dataset: str, key: str, wish: str) -> str:
    told = hashlib.sha256(wish.encode()).hexdigest()[:16]
    return f"retry:{dataset}:{encode_key(key)}:{told}"
