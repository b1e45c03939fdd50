"""Sensor and rescan may look at the same moment: what one is about to request the other leaves.

Between a decision and the run that comes of it lie seconds in which no run is seen yet. Claims are
kept in Dagster's own storage; a lost one costs nothing but that protection.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Collection

import dagster as dg

from lerobot_pipelines.defs import runs

# Submitting the most that a tick may request takes a minute or two.
CLAIM_S = 180.0
HASH_DIGITS = 12

_reading_and_writing = threading.Lock()


def claim(
    instance: dg.DagsterInstance,
    dataset: str,
    owner: str,
    partitions: Collection[str],
    now_s: float,
) -> set[str]:
    """Those of the partitions that nobody else has claimed; for ``CLAIM_S`` they are the owner's.

    One's own claims never stand in the way: the same request has the same run key.
    """
    if not partitions:
        return set()
    place = f"lerobot_pipelines/requested/{dataset}"
    storage = instance.daemon_cursor_storage
    with _reading_and_writing:
        claims = _parsed(storage.get_cursor_values({place}).get(place))
        valid = {
            name: (who, since_s)
            for name, (who, since_s) in claims.items()
            if 0 <= now_s - since_s < CLAIM_S
        }
        granted = {
            one
            for one in partitions
            if _is_free(instance, one, owner, *valid.get(_name(one), (owner, 0.0)))
        }
        valid |= {_name(one): (owner, now_s) for one in granted}
        storage.set_cursor_values({place: json.dumps(valid, separators=(",", ":"))})
    return granted


def _is_free(
    instance: dg.DagsterInstance, partition: str, owner: str, who: str, since_s: float
) -> bool:
    """A claim is settled by the run that came of it: whether that is under way can be seen."""
    return who == owner or runs.last_created_s(instance, partition) > since_s


def _name(partition: str) -> str:
    return hashlib.sha256(partition.encode()).hexdigest()[:HASH_DIGITS]


def _parsed(text: str | None) -> dict[str, tuple[str, float]]:
    try:
        data = json.loads(text or "{}")
        return {str(name): (str(who), float(since_s)) for name, (who, since_s) in data.items()}
    except (ValueError, TypeError, AttributeError):
        return {}
