"""Faults, counted.

What is found wrong is counted per stream and reason, so that a rotten bag of ten thousand messages
gives a few lines, not ten thousand.
"""

from __future__ import annotations

from collections import Counter

from lerobot_pipelines.model import Fault


class Faults:
    """Counts faults by stream and reason; the first place of each is kept."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._first: dict[tuple[str, str], str] = {}

    def add(self, stream: str, where: str, reason: str, count: int = 1) -> None:
        if count:
            self._counts[stream, reason] += count
            self._first.setdefault((stream, reason), where)

    def list(self) -> list[Fault]:
        return [
            Fault(stream, self._first[stream, reason], reason, count)
            for (stream, reason), count in self._counts.items()
        ]
