"""How much of a stream cannot be used, and when that is too much."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from lerobot_pipelines.errors import Reason, Refused
from lerobot_pipelines.model import StreamKind
from lerobot_pipelines.recordings.ros.plan import StreamPlan

# Faults that say more than that the bag is damaged.
_REASONS = {
    "non_finite": Reason.NON_FINITE,
    "missing_field": Reason.MISSING_FIELD,
    "empty": Reason.MISSING_FIELD,
    "dimension_changed": Reason.MISSING_FIELD,
    "too_large": Reason.TOO_LARGE,
    **dict.fromkeys(("unsupported_encoding", "unsupported_depth"), Reason.UNSUPPORTED),
    "bad_depth_header": Reason.UNSUPPORTED,
}
_PICTURE_REASONS = {**_REASONS, "empty": Reason.CORRUPT_PICTURE}


@dataclass(slots=True)
class Damage:
    """Messages seen, and those of them that hold nothing usable, by reason code."""

    seen: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    def refuse_above(self, limit: float, plan: StreamPlan, last_error: str) -> None:
        """Raises ``Refused`` if more than that share of the stream is not usable."""
        damaged = self.reasons.total()
        if damaged <= limit * self.seen:
            return
        worst = self.reasons.most_common(1)[0][0]
        is_picture = plan.kind is StreamKind.PICTURE
        usual = Reason.CORRUPT_PICTURE if is_picture else Reason.CORRUPT_CONTAINER
        reasons = ", ".join(f"{count} {reason}" for reason, count in self.reasons.most_common())
        hint = f"; the last fault: {last_error}" if last_error else ""
        raise Refused(
            (_PICTURE_REASONS if is_picture else _REASONS).get(worst, usual),
            f"{'camera' if is_picture else 'stream'} {plan.name}: {damaged} of {self.seen} "
            f"messages of {plan.topic.name} cannot be used ({reasons}); at most {limit:.0%} "
            f"may be (filtering.max_corrupt_fraction){hint}",
        )
