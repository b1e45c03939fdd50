"""Slices as text: which elements of a vector ``"0:7"``, ``"-1"`` or ``"::2"`` stand for."""

from __future__ import annotations

import re

_SLICE = re.compile(r"\s*(-?\d+)?\s*:\s*(-?\d+)?\s*(?::\s*(-?\d+)?\s*)?")
_BRACKETS = re.compile(r"\[([^\[\]]*)\]")
_INDEX = re.compile(r"\s*-?\d+\s*")
_SUBSCRIPT = re.compile(r"(?P<name>.*?)\s*\[(?P<slice>[^\[\]]*)\]\s*", re.DOTALL)


def parse_slice(text: str) -> slice:
    """``"0:7"`` as ``slice(0, 7)``; a single index is the slice of that element.

    Raises ``ValueError`` with the rest of a sentence for anything else and for steps below 1.
    """
    if _INDEX.fullmatch(text):
        index = int(text)
        return slice(index, index + 1 if index != -1 else None)
    match = _SLICE.fullmatch(text)
    if match is None:
        raise ValueError(f'"{text}" is not a slice; write for example 0:7, -1 or ::2')
    start, stop, step = (None if part is None else int(part) for part in match.groups())
    if step is not None and step < 1:
        raise ValueError(f'"{text}" has the step {step}; it must be 1 or more')
    return slice(start, stop, step)


def element_indices(text: str | None, dimension: int) -> range:
    """The elements of a vector of that length which the slice takes; None takes all.

    Unlike Python's own slices, one that reaches beyond the vector or takes nothing raises
    ``ValueError``: a feature of the wrong width is worse than none.
    """
    if text is None:
        return range(dimension)
    chosen = parse_slice(text)
    for bound, lowest in ((chosen.start, -dimension), (chosen.stop, -dimension)):
        if bound is not None and not lowest <= bound <= dimension:
            raise ValueError(f'"{text}" reaches beyond the {dimension} elements there are')
    indices = range(*chosen.indices(dimension))
    if not indices:
        raise ValueError(f'"{text}" takes none of the {dimension} elements')
    return indices


def slice_length(text: str) -> int | None:
    """How many elements the slice takes of any vector that is long enough, if that is certain."""
    chosen = parse_slice(text)
    start, stop, step = chosen.start or 0, chosen.stop, chosen.step or 1
    if stop is None:
        # Only of a negative start is it known how much lies behind it.
        return len(range(start, 0, step)) if start < 0 else None
    if (start < 0) != (stop < 0):
        return None
    return len(range(start, stop, step))


def split_subscript(text: str) -> tuple[str, str | None]:
    """``"joint_q[12:26]"`` as ``("joint_q", "12:26")``, ``"joint_q"`` as ``("joint_q", None)``."""
    match = _SUBSCRIPT.fullmatch(text)
    if match is None:
        return text.strip(), None
    return match["name"].strip(), match["slice"].strip()


def subscripts(text: str) -> list[str]:
    """All of them: ``"12:26"`` and ``"0"`` of ``"legs[12:26], arms[0].q"``."""
    return [found.strip() for found in _BRACKETS.findall(text)]


def fields_length(text: str) -> int | None:
    """How many elements the comma-separated fields take together, if each says so by a slice."""
    lengths = []
    for field in text.split(","):
        taken = split_subscript(field)[1]
        try:
            lengths.append(slice_length(taken) if taken is not None and ":" in taken else None)
        except ValueError:
            return None
    return None if None in lengths else sum(filter(None, lengths))
