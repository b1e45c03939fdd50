"""Strategy ``hold``: the last sample at or before the row, at most ``max_age_ms`` old.

For event-like streams (a claw command, a mode) whose value stays in force until the next one. Such
a stream covers the time up to ``max_age_ms`` after its last sample, and its silence is not a hole;
rows later than that are dropped and counted as ``max_age:<stream>``. It is causal by nature.
"""

from __future__ import annotations

from lerobot_pipelines.alignment.nearest import select_within
from lerobot_pipelines.alignment.sampling import Limits, Method, Selection, chosen_samples
from lerobot_pipelines.model import Stamps


def _select(stamps: Stamps, rows: Stamps, limits: Limits) -> Selection:
    return select_within(stamps, rows, older_ns=limits.max_age_ns, newer_ns=0, causal=True)


HOLD = Method(
    select=_select,
    values=chosen_samples,
    drop_reason="max_age",
    reach_ns=lambda limits: limits.max_age_ns,
    holds=True,
)
