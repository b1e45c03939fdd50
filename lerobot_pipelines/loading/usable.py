"""Which rows of a source are items: all, less what the verdict excludes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lerobot_pipelines.errors import ConfigError, Reason, Refused
from lerobot_pipelines.loading.deltas import Rows
from lerobot_pipelines.loading.plan import KeyPlan
from lerobot_pipelines.loading.source import Source, starts_of
from lerobot_pipelines.loading.verdict import Fault, Verdict


def usable_rows(
    source: Source,
    verdict: Verdict,
    plans: Mapping[str, KeyPlan],
    episodes: Sequence[int] | None = None,
    *,
    by_frame: bool = False,
) -> Rows:
    """Row numbers of the source, rising, int64.

    Faults of features that no key reads do not matter. With ``by_frame`` only items go whose window
    touches a fault, else the whole episode. Raises ``Refused`` if nothing is left.
    """
    starts = starts_of(source.lengths)
    kept = np.ones(int(starts[-1]), dtype=np.bool_)
    for fault in verdict.faults:
        for plan in _readers(fault, plans):
            episode = slice(int(starts[fault.episode]), int(starts[fault.episode + 1]))
            if fault.whole or not by_frame:
                kept[episode] = False
            else:
                kept[episode] &= ~_touched(fault, plan, int(source.lengths[fault.episode]))
    if episodes is not None:
        kept &= _within(source, starts, episodes)
    rows = np.flatnonzero(kept)
    if not len(rows):
        told = f": {verdict.faults[0].message}" if verdict.faults else ""
        raise Refused(Reason.CORRUPT_ARTIFACT, f"{source.name} has no usable row{told}")
    return rows


def _readers(fault: Fault, plans: Mapping[str, KeyPlan]) -> list[KeyPlan | None]:
    """The keys that read what is at fault; None stands for the row itself."""
    if not fault.excludes:
        return []
    reading: list[KeyPlan | None] = [
        plan
        for plan in plans.values()
        if plan.feature is not None and fault.feature in (None, plan.feature)
    ]
    return [*reading, None] if fault.feature is None else reading


def _touched(fault: Fault, plan: KeyPlan | None, length: int) -> NDArray[np.bool_]:
    """Which rows of the episode show the fault in their window."""
    rows = np.arange(length)
    offsets = [0] if plan is None or plan.offsets is None else plan.offsets.tolist()
    touched = np.zeros(length, dtype=np.bool_)
    for offset in offsets:
        shown = np.clip(rows + offset, 0, length - 1)
        touched |= (shown >= fault.first) & (shown < fault.end)
    return touched


def _within(source: Source, starts: Rows, episodes: Sequence[int]) -> NDArray[np.bool_]:
    kept = np.zeros(int(starts[-1]), dtype=np.bool_)
    for episode in episodes:
        if not 0 <= episode < len(source.lengths):
            raise ConfigError(
                f"{source.name} has episodes 0 to {len(source.lengths) - 1}, not {episode}"
            )
        kept[starts[episode] : starts[episode + 1]] = True
    return kept
