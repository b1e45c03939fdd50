"""Where the background saver puts episodes: any object with ``save_episode``, or lerobot's own."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any, Protocol


class Target(Protocol):
    """One writer of episodes. ``save`` is called by one thread at a time, in the order admitted."""

    def attach(self) -> list[tuple[int, Any]]:
        """Take the dataset over. Returns (index, payload) of episodes a dead process left."""
        ...

    def detach(self) -> None:
        """Leave the dataset as it was found, with everything that was saved."""
        ...

    def leave(self) -> None:
        """The process ends: close what is open. Nobody uses the dataset object any more."""
        ...

    def admit(self, buffer: Any, episode_index: int) -> Any:
        """Take the buffer from the recording thread; what is returned goes to ``save``."""
        ...

    def save(self, payload: Any) -> int:
        """Save whole, or raise and leave the dataset as it was. Returns the index it got."""
        ...

    def abandon(self, payload: Any, error: str) -> None:
        """The episode failed for good; keep its data for an operator where that is possible."""
        ...


class PlainTarget:
    """A dataset object whose ``save_episode(buffer)`` saves an episode whole or raises.

    The index is given when the episode is saved, so one that fails leaves no hole: the dataset's
    own count (``total_episodes``, ``num_episodes`` or ``meta.total_episodes``), else the first
    index submitted plus the number saved. A mapping with "episode_index" gets it written in.
    """

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset
        self._save = dataset.save_episode  # as it is now: it may be replaced by one that waits
        self._takes_argument = _takes_argument(self._save)
        self._next: int | None = None

    def attach(self) -> list[tuple[int, Any]]:
        return []

    def detach(self) -> None:
        # What is being recorded got its index while others waited, some of which failed.
        buffer = getattr(self._dataset, "episode_buffer", None)
        if isinstance(buffer, dict) and "episode_index" in buffer:
            buffer["episode_index"] = self._count()

    def leave(self) -> None:
        pass

    def admit(self, buffer: Any, episode_index: int) -> Any:
        if self._next is None:
            self._next = episode_index
        if getattr(self._dataset, "episode_buffer", None) is buffer and buffer is not None:
            # From here on the recording thread has a buffer of its own.
            create = getattr(self._dataset, "create_episode_buffer", dict)
            self._dataset.episode_buffer = create()
        return buffer

    def save(self, payload: Any) -> int:
        index = self._count()
        if isinstance(payload, dict) and "episode_index" in payload:
            payload["episode_index"] = index
        if self._takes_argument:
            self._save(payload)
        else:
            self._save()
        self._next = index + 1
        return index

    def abandon(self, payload: Any, error: str) -> None:
        pass

    def _count(self) -> int:
        for owner in (self._dataset, getattr(self._dataset, "meta", None)):
            for name in ("total_episodes", "num_episodes"):
                count = getattr(owner, name, None)
                if isinstance(count, int):
                    return count
        return self._next or 0


def target_of(dataset: Any) -> Target:
    """The target that suits a dataset. Raises ``TypeError`` for one without ``save_episode``."""
    if not callable(getattr(dataset, "save_episode", None)):
        raise TypeError(f"{type(dataset).__name__} has no save_episode, so it saves no episodes")
    if is_lerobot(dataset):
        from lerobot_pipelines.recorder.lerobot_target import LerobotTarget

        return LerobotTarget(dataset)
    return PlainTarget(dataset)


def is_lerobot(dataset: Any) -> bool:
    """A ``LeRobotDataset`` (or a subclass of it) that can record."""
    return any(
        cls.__name__ == "LeRobotDataset" and cls.__module__.startswith("lerobot.")
        for cls in type(dataset).__mro__
    )


def bytes_in(value: Any) -> int:
    """What a buffer holds in memory, roughly: arrays and bytes count, the rest does not."""
    if isinstance(value, bytes | bytearray | memoryview):
        return len(value)
    size = getattr(value, "nbytes", None)
    if isinstance(size, int):
        return size
    if isinstance(value, Mapping):
        return bytes_in(value.values())
    if isinstance(value, Iterable) and not isinstance(value, str):
        return sum(bytes_in(one) for one in value)
    return 0


def _takes_argument(save_episode: Any) -> bool:
    try:
        parameters = inspect.signature(save_episode).parameters.values()
    except (TypeError, ValueError):
        return True
    positional = (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        inspect.Parameter.VAR_POSITIONAL,
    )
    return any(parameter.kind in positional for parameter in parameters)
