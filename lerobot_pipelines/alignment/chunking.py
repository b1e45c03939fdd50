"""Strategy ``chunking``: the state nearest to the row, and the actions that follow it (``chunks``).

Every base frame is kept: the sample nearest to the row serves however far away it is, up to
``max_age_ms`` (beyond it the row is dropped and counted as ``max_age:<stream>``); holes are the gap
policy's business. Causal: the last sample at or before the row, with the same limit.
"""

from __future__ import annotations

from lerobot_pipelines.alignment.nearest import select_within
from lerobot_pipelines.alignment.sampling import Limits, Method, Selection, chosen_samples
from lerobot_pipelines.model import Stamps


def _select(stamps: Stamps, rows: Stamps, limits: Limits) -> Selection:
    age = limits.max_age_ns
    return select_within(stamps, rows, older_ns=age, newer_ns=age, causal=limits.causal)


CHUNKING = Method(
    select=_select,
    values=chosen_samples,
    drop_reason="max_age",
    reach_ns=lambda limits: limits.tolerance_ns,
)
