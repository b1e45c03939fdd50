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
# Of uploads without a marker; another 10 kB or so. What does not fit waits for its turn.
MOST_UNSETTLED = 200
HASH_DIGITS = 10
FINGERPRINT_DIGITS = 16
VERSION = 1


@dataclass
class BucketCursor:
    """``seen``: episodes by hash and the content last requested or found settled, oldest first.

    ``after_new`` and ``after_known``: the key at which the next tick goes on; ``walked``: the
    folder at which its walk of a source does. ``unsettled``: episodes without a marker by partition
    key, the content they had, and since when (seconds since 1970).
    """

    seen: dict[str, str] = field(default_factory=dict)
    after_new: str = ""
    after_known: str = ""
    walked: dict[str, Position] = field(default_factory=dict)
    unsettled: dict[str, tuple[str, float]] = field(default_factory=dict)

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
        # A clock that was put back begins anew, else the wait could be as long as the jump.
        if before != content or now_s < since_s:
            since_s = now_s
        if partition in self.unsettled or len(self.unsettled) < MOST_UNSETTLED:
            self.unsettled[partition] = (content, since_s)
        return False

    def settle(self, partition: str) -> None:
        self.unsettled.pop(partition, None)


def _short(partition: str) -> str:
    return hashlib.sha256(partition.encode()).hexdigest()[:HASH_DIGITS]


def from_after(keys: list[str], after: str) -> list[str]:
    """The sorted keys, beginning behind ``after`` and round to it."""
    at = next((place for place, key in enumerate(keys) if key > after), 0)
    return keys[at:] + keys[:at]
