"""Strategy ``nearest``: the sample nearest to the row, |dt| <= tolerance.

Ties go to the earlier sample. A row without such a sample is dropped and counted as
``tolerance:<stream>``. Causal: the last sample at or before the row, with the same tolerance.
"""

from __future__ import annotations

import numpy as np

from lerobot_pipelines.alignment.sampling import (
    Limits,
    Method,
    Selection,
    chosen_samples,
    selection_of,
)
from lerobot_pipelines.alignment.search import latest_index, nearest_index
from lerobot_pipelines.model import Stamps


def select_within(
    stamps: Stamps, rows: Stamps, *, older_ns: int, newer_ns: int, causal: bool
) -> Selection:
    """The nearest sample (causal: the latest), not older or newer than the row by more."""
    chosen = latest_index(stamps, rows) if causal else nearest_index(stamps, rows)
    ages = stamps[np.maximum(chosen, 0)] - rows
    valid = (chosen >= 0) & (ages >= -older_ns) & (ages <= newer_ns)
    return selection_of(stamps, rows, chosen, valid)


def _select(stamps: Stamps, rows: Stamps, limits: Limits) -> Selection:
    tolerance = limits.tolerance_ns
    return select_within(stamps, rows, older_ns=tolerance, newer_ns=tolerance, causal=limits.causal)


NEAREST = Method(
    select=_select,
    values=chosen_samples,
    drop_reason="tolerance",
    reach_ns=lambda limits: limits.tolerance_ns,
)
