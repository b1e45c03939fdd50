"""Which members may leave a dataset: none by accident.

A member leaves when its episode was refused as it is now, was taken out on purpose, or no longer
suits the dataset. It does not leave because something is missing: a record, a listing, a recording.
And where much would leave at once, more likely a configuration is wrong than so many episodes are:
then all of them stay as they are until somebody says that they may go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

# A single episode may always leave, but for the last one.
MAX_REMOVED_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """Why an episode has no record any more; ``on_purpose``: a person named it."""

    reason: str
    on_purpose: bool = False


@dataclass(frozen=True, slots=True)
class RemovalRule:
    """``why_withdrawn``: by the key of a record that is missing; None if it is merely lost.

    ``is_allowed``: somebody has said that what would leave may leave.
    """

    why_withdrawn: Callable[[str], Withdrawal | None]
    is_allowed: bool = False
    max_share: float = MAX_REMOVED_SHARE

    def permits(self, removed: int, members: int) -> bool:
        if self.is_allowed or self.max_share >= 1:
            return True
        return removed < members and removed <= max(1, int(self.max_share * members))

    @property
    def may_switch(self) -> bool:
        """Whether a dataset may take another form while members of the old one are left."""
        return self.is_allowed or self.max_share >= 1


# A record that is not there any more takes its member along: for callers who decide themselves.
AS_RECORDED = RemovalRule(lambda record_key: Withdrawal("its record is gone"), max_share=1.0)


@dataclass(frozen=True, slots=True)
class Leaving:
    """Members that are to leave, by record key, with the reason; ``forced`` ones were named."""

    reasons: Mapping[str, str]
    forced: frozenset[str]

    @property
    def unforced(self) -> int:
        return len(self.reasons.keys() - self.forced)
