"""Episodes as people and programs name them: the whole key, or its end."""

from __future__ import annotations

from collections.abc import Collection

# Endings that a person leaves out.
_BAG_SUFFIXES = (".bag", ".mcap", ".db3")


def named_so(name: str, keys: Collection[str]) -> list[str]:
    """The key that ``name`` is, else every key that ends so, sorted.

    ``bottle/episode_0001`` is found as it stands, ``episode_0001`` in every task that has one.
    """
    wanted = name.strip("/")
    if wanted in keys:
        return [wanted]
    return sorted(key for key in keys if _ends_so(key, wanted))


def _ends_so(key: str, wanted: str) -> bool:
    ends = [key, *(key.removesuffix(suffix) for suffix in _BAG_SUFFIXES)]
    return any(end == wanted or end.endswith(f"/{wanted}") for end in ends)
