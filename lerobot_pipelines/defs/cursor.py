"""What the bucket sensor carries from tick to tick: a resume point and a cheap cache.

Losing it loses nothing and converts nothing twice; it only costs the reading of verdicts. It is
stored with every tick, so it is small and of bounded size.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field

from lerobot_pipelines.pipeline.tree import Position

MOST_SEEN = 500  # about 13 kB; more episodes than these are judged by their verdicts
# Of uploads without a marker; another 20 kB or so. What does not fit waits for its turn.
MOST_UNSETTLED = 400
# Episodes whose runs were lost; 10 kB. What does not fit is read from the runs again later.
MOST_LOST = 200
HASH_DIGITS = 10
FINGERPRINT_DIGITS = 16
VERSION = 1


@dataclass
class BucketCursor:
    """``seen``: episodes by hash and the content last requested or found settled, oldest first.

    ``after_new`` and ``after_known``: the key at which the next tick goes on; ``walked``: the
    folder at which its walk of a source does. ``unsettled``: episodes without a marker by partition
    key, the content they had, and since when (seconds since 1970). ``lost``: episodes whose runs
    ended without a verdict, and when to ask again; ``ended_s``: the end of the newest such run that
    was looked at. ``after_wish``: the wish behind which the next tick goes on. ``bad_names``: a
    digest of those that were reported last; ``shown_lost``: of those that ``monitor`` shows.
    """

    seen: dict[str, str] = field(default_factory=dict)
    after_new: str = ""
    after_known: str = ""
    walked: dict[str, Position] = field(default_factory=dict)
    unsettled: dict[str, tuple[str, float]] = field(default_factory=dict)
    lost: dict[str, float] = field(default_factory=dict)
    ended_s: float = 0.0
    after_wish: str = ""
    bad_names: str = ""
    shown_lost: str = ""

    @classmethod
    def parse(cls, text: str | None) -> BucketCursor:
        """An empty one for no text, text of another version, or anything unreadable."""
        try:
            data = json.loads(text or "{}")
            if data.get("version") != VERSION:
                return cls()
            return cls(
                dict(data["seen"]),
                str(data["after_new"]),
                str(data["after_known"]),
                {
                    str(source): (int(part), tuple(str(name) for name in names))
                    for source, (part, names) in data.get("walked", {}).items()
                },
                {
                    str(partition): (str(content), float(since_s))
                    for partition, (content, since_s) in data.get("unsettled", {}).items()
                },
                {str(key): float(due_s) for key, due_s in data.get("lost", {}).items()},
                float(data.get("ended_s", 0.0)),
                str(data.get("after_wish", "")),
                str(data.get("bad_names", "")),
                str(data.get("shown_lost", "")),
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            return cls()

    def dump(self) -> str:
        newest = dict(list(self.seen.items())[-MOST_SEEN:])
        return json.dumps(
            {
                "version": VERSION,
                "seen": newest,
                "after_new": self.after_new,
                "after_known": self.after_known,
                "walked": self.walked,
                "unsettled": self.unsettled,
                "lost": self.lost,
                "ended_s": self.ended_s,
                "after_wish": self.after_wish,
                "bad_names": self.bad_names,
                "shown_lost": self.shown_lost,
            },
            separators=(",", ":"),
        )

    def content_of(self, partition: str) -> str | None:
        return self.seen.get(_short(partition))

    def remember(self, partition: str, fingerprint: str) -> None:
        name, content = _short(partition), fingerprint[:FINGERPRINT_DIGITS]
        if self.seen.get(name) != content:
            self.seen.pop(name, None)
            self.seen[name] = content

    def forget(self, partition: str) -> None:
        """Its content is to be looked at again."""
        self.seen.pop(_short(partition), None)

    def is_settled(
        self, partition: str, fingerprint: str, now_s: float, quiet_period_s: float
    ) -> bool:
        """Whether the content was seen unchanged for the quiet period; remembers it meanwhile.

        Two looks, because one alone has only the times that the store gives, and a store's clock,
        or this machine's, may be wrong by any amount.
        """
        content = fingerprint[:FINGERPRINT_DIGITS]
        before, since_s = self.unsettled.get(partition, ("", now_s))
        if before == content and now_s - since_s >= quiet_period_s:
            return True
        if before not in ("", content) and not self.has_room:
            # It is still moving: its place is another one's until its turn comes again, else what
            # never settles would keep all places for ever.
            self.settle(partition)
            return False
        # A clock that was put back begins anew, else the wait could be as long as the jump.
        if before != content or now_s < since_s:
            since_s = now_s
        if partition in self.unsettled or self.has_room:
            self.unsettled[partition] = (content, since_s)
        return False

    @property
    def has_room(self) -> bool:
        """Whether another upload without a marker can be remembered."""
        return len(self.unsettled) < MOST_UNSETTLED

    def due(self, now_s: float, quiet_period_s: float) -> list[str]:
        """The uploads whose second look may settle them now, those that wait longest first."""
        waiting = sorted(self.unsettled.items(), key=lambda item: item[1][1])
        return [
            partition
            for partition, (_, since_s) in waiting
            if not 0 <= now_s - since_s < quiet_period_s
        ]

    def lose(self, partition: str, due_s: float) -> bool:
        """Remember an episode whose run was lost; False if there is no room."""
        if partition not in self.lost and len(self.lost) >= MOST_LOST:
            return False
        self.lost[partition] = due_s
        return True

    def settle(self, partition: str) -> None:
        self.unsettled.pop(partition, None)


def _short(partition: str) -> str:
    return hashlib.sha256(partition.encode()).hexdigest()[:HASH_DIGITS]


def from_after(keys: list[str], after: str) -> list[str]:
    """The sorted keys, beginning behind ``after`` and round to it."""
    at = next((place for place, key in enumerate(keys) if key > after), 0)
    return keys[at:] + keys[:at]
