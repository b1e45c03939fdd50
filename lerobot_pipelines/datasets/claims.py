"""Paths that are not to be trusted: a writer that did not come to its end may still touch them.

It may have been stopped for a second or for a week, on a machine that nobody reaches. So the next
writer never relies on a path that such a one announced, unless both mean the same content.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from lerobot_pipelines.datasets.ledger import Intent

_NUMBERED = re.compile(r"chunk-(\d+)/file-(\d+)\.[a-z0-9]+")


@dataclass(frozen=True, slots=True)
class Claims:
    """``writes``: the identities that are meant for each path. ``deletes``: paths to be removed."""

    writes: Mapping[str, frozenset[str]] = field(default_factory=dict)
    deletes: frozenset[str] = frozenset()

    def hold(self, path: str) -> bool:
        return path in self.writes or path in self.deletes

    def allow(self, path: str, identity: str) -> bool:
        """Whether nothing but this content may still come to the path."""
        return path not in self.deletes and self.writes.get(path, {identity}) == {identity}

    def next_number(self, folder: str, files_per_chunk: int) -> int:
        """The lowest number above all files of v3.0 that are claimed below the folder."""
        claimed = numbers_in((*self.writes, *self.deletes), folder, files_per_chunk)
        return max(claimed, default=-1) + 1

    def and_deletes(self, paths: Iterable[str]) -> Claims:
        return Claims(self.writes, self.deletes | frozenset(paths))


def numbers_in(paths: Iterable[str], folder: str, files_per_chunk: int) -> list[int]:
    """The numbers of the files of v3.0 among the paths that lie below the folder, ascending."""
    return sorted(
        int(found[1]) * files_per_chunk + int(found[2])
        for path in paths
        if path.startswith(f"{folder}/") and (found := _NUMBERED.fullmatch(path[len(folder) + 1 :]))
    )


def claims_of(intents: Iterable[Intent]) -> Claims:
    writes: dict[str, frozenset[str]] = {}
    deletes: set[str] = set()
    for intent in intents:
        deletes.update(intent.deletes)
        for path, identity in intent.writes.items():
            writes[path] = writes.get(path, frozenset()) | {identity}
    return Claims(writes, frozenset(deletes))
