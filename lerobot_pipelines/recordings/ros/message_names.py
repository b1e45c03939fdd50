"""Lists of names in messages: which numbers of a message they belong to."""

from __future__ import annotations

from typing import Any, TypeGuard

from lerobot_pipelines.recordings.ros.fields import Path, Values, flatten, is_message, value_fields

# What messages call the list of their joints' names.
NAME_FIELDS = ("name", "names", "joint_names", "joint_name")


def names_for(path: Path, message: Any) -> tuple[str, tuple[str, ...]] | None:
    """The names nearest to a field, with their own path; None where there are none."""
    for prefix, owner in path.owners(message):
        for field in NAME_FIELDS:
            names = getattr(owner, field, None)
            if field != path.name and _are_names(names) and names:
                return (f"{prefix}.{field}" if prefix else field), tuple(names)
    return None


def _are_names(names: Any) -> TypeGuard[list[str]]:
    return isinstance(names, list) and all(isinstance(name, str) for name in names)


def joined(
    lists: dict[str, tuple[str, ...]],
) -> tuple[tuple[str, ...], dict[str, int]]:
    """All names, and where each list begins; with their list's path where one is in two lists."""
    starts: dict[str, int] = {}
    plain: list[str] = []
    told: list[str] = []
    for at, names in lists.items():
        starts[at] = len(plain)
        plain.extend(names)
        owner = at.rpartition(".")[0]
        told.extend(f"{owner}.{name}" if owner else name for name in names)
    overlap = sum(len(set(names)) for names in lists.values()) > len(set(plain))
    return tuple(told if overlap else plain), starts


def all_of(path: Path, message: Any, names: int) -> Values | None:
    """All of a field if it has a number, or a message, for each name."""
    whole = path.read_base(message)
    numbers = flatten(whole)
    fits = len(numbers) in (0, names) or (
        isinstance(whole, list) and len(whole) == names and len(numbers) % names == 0
    )
    return numbers if fits else None


def expanded(path: Path, value: Any) -> list[Path]:
    """The paths of the values in a message, if names come with some of them."""
    if not is_message(value) or not _has_names(value):
        return []
    found: list[Path] = []
    for field in value_fields(value):
        inner = Path(f"{path.text}.{field}")
        found.extend(expanded(inner, getattr(value, field)) or [inner])
    return found


def _has_names(message: Any) -> bool:
    return any(_are_names(getattr(message, field, None)) for field in NAME_FIELDS) or any(
        _has_names(getattr(message, field))
        for field in value_fields(message)
        if is_message(getattr(message, field))
    )
