"""Which joints a topic is about, judged by the names in all of its messages.

Drivers start with a part of their joints, two nodes share a topic, a tool is added half way: the
first message tells nothing. Messages with the same names, in any order, make a set. A set *recurs*
unless it is an exception beside another one: a single message, or at most ``MAX_ASIDE`` as many
messages as a set of which it has a part of the joints, or all and more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

MAX_ASIDE = 0.1

# Sets told in full in one message, and names of each.
_MAX_SETS_TOLD = 6
_MAX_NAMES_TOLD = 12


@dataclass(frozen=True, slots=True)
class NamedMessages:
    """Messages that list the same names in the same order.

    ``key`` is equal for those that may be read as one another. ``joints`` is None where the names
    do not tell which number is which: there are none, one twice, or not one for each number.
    ``first`` and ``last`` are places in the file's order.
    """

    key: Hashable
    names: tuple[str, ...]
    joints: frozenset[str] | None
    count: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class JointSet:
    """Messages about the same joints. ``names`` are in the order of the first of them."""

    key: Hashable
    names: tuple[str, ...]
    joints: frozenset[str] | None
    count: int
    first: int
    last: int

    @property
    def told(self) -> str:
        if self.joints is None:
            known = f"unnamed numbers (names: {told(self.names)})" if self.names else None
            return known or "numbers without names"
        return told(self.names)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The sets that recur, in the order in which they appear, and those set aside."""

    recurring: tuple[JointSet, ...]
    aside: tuple[JointSet, ...]


def joint_sets(messages: Iterable[NamedMessages]) -> list[JointSet]:
    """One set for each key, the most frequent first."""
    found: dict[Hashable, JointSet] = {}
    for one in sorted(messages, key=lambda one: one.first):
        known = found.get(one.key)
        found[one.key] = JointSet(
            one.key,
            one.names if known is None else known.names,
            one.joints,
            one.count + (known.count if known else 0),
            known.first if known else one.first,
            max(one.last, known.last) if known else one.last,
        )
    return sorted(found.values(), key=lambda one: (-one.count, one.first))


def judge(sets: Sequence[JointSet]) -> Verdict:
    """Which of a topic's sets, the most frequent first, are streams of their own."""
    recurring: list[JointSet] = []
    aside: list[JointSet] = []
    for one in sets:
        (aside if any(_beside(one, main) for main in recurring) else recurring).append(one)
    return Verdict(tuple(sorted(recurring, key=lambda one: one.first)), tuple(aside))


def _beside(one: JointSet, main: JointSet) -> bool:
    if one.count == 1 and main.count > 1:
        return True
    if one.joints is None or main.joints is None:
        related = True
    else:
        related = one.joints < main.joints or one.joints > main.joints
    return related and one.count <= MAX_ASIDE * main.count


def is_beginning(one: JointSet, main: JointSet) -> bool:
    """Whether it is what a driver sends before it knows all of its joints."""
    if one.joints is None or main.joints is None:
        return one.last < main.first
    return one.joints < main.joints and one.last < main.first


def told(names: Sequence[str]) -> str:
    """``[a, b, c]``, shortened where there are many."""
    return f"[{shortened(names)}]"


def shortened(names: Sequence[str]) -> str:
    """``a, b, c``; only some where there are many."""
    if len(names) <= _MAX_NAMES_TOLD:
        return ", ".join(names)
    return f"{', '.join(names[:_MAX_NAMES_TOLD])}, ... ({len(names)} in all)"


def told_sets(sets: Sequence[JointSet]) -> str:
    """All of them with their counts, in one clause."""
    parts = [f"{one.told} in {_messages(one.count)}" for one in sets[:_MAX_SETS_TOLD]]
    if len(sets) > _MAX_SETS_TOLD:
        parts.append(f"{len(sets) - _MAX_SETS_TOLD} other sets")
    return "; ".join(parts)


def _messages(count: int) -> str:
    return f"{count} message" + ("" if count == 1 else "s")


def suffixes(sets: Sequence[JointSet]) -> list[str]:
    """A short text for each set that tells its joints, whatever their order; no two are equal."""
    found = []
    for one in sets:
        names = sorted(one.joints or one.names)
        if not names:
            found.append("unnamed")
        elif len(names) <= 2:
            found.append("+".join(names))
        else:
            found.append(f"{names[0]}..{names[-1]}({len(names)})")
    if len(set(found)) < len(found):
        # Deterministic, though no person can read it.
        found = [f"{text}-{_digest(one)}" for text, one in zip(found, sets, strict=True)]
    return found


def _digest(one: JointSet) -> str:
    known = sorted(one.joints) if one.joints is not None else [str(one.key), *one.names]
    return hashlib.sha256("\n".join(known).encode("utf-8", "replace")).hexdigest()[:6]
