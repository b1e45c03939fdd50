"""Why rows were dropped: the first reason found for each is the one that counts."""

from __future__ import annotations

from collections import Counter

import numpy as np

from lerobot_pipelines.alignment.search import Indices, Mask


class Verdicts:
    """One verdict per candidate row; rows are kept until something drops them."""

    def __init__(self, rows: int) -> None:
        self._reasons: list[str] = []
        self._codes = np.full(rows, -1, dtype=np.int64)

    def drop(self, rows: Mask, reason: str) -> None:
        """Drop these rows, unless they already were for another reason."""
        if reason not in self._reasons:
            self._reasons.append(reason)
        self._codes[rows & (self._codes < 0)] = self._reasons.index(reason)

    @property
    def kept(self) -> Indices:
        """Positions of the rows that are still kept."""
        return np.flatnonzero(self._codes < 0)

    def dropped(self) -> dict[str, int]:
        """Rows by reason, reasons in the order they were first tried."""
        return self._count(0, len(self._codes))

    def main_reason(self, first: int, stop: int) -> str | None:
        """What dropped most of the rows from ``first`` up to ``stop``; None if nothing did."""
        counts = self._count(first, stop)
        return max(counts, key=lambda reason: counts[reason]) if counts else None

    def _count(self, first: int, stop: int) -> dict[str, int]:
        codes = self._codes[first:stop]
        counts = Counter(codes[codes >= 0].tolist())
        return {self._reasons[code]: count for code, count in sorted(counts.items())}
