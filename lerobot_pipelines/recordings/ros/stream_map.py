"""The streams of a recording by name, each read when it is first looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from lerobot_pipelines.model import Stream


class LazyStreams(Mapping[str, Stream]):
    """``names`` lists them, which may read all; ``find`` reads one, or raises ``KeyError``."""

    def __init__(self, names: Callable[[], Sequence[str]], find: Callable[[str], Stream]) -> None:
        self._names = names
        self._find = find

    def __getitem__(self, name: str) -> Stream:
        return self._find(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())
