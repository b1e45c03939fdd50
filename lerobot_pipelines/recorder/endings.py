"""lerobot's own ways to end a recording wait until the episodes handed over are saved.

``finalize`` and ``push_to_hub`` are called on the dataset. ``VideoEncodingManager`` asks for
``episodes_since_last_encoding`` first, then looks through the dataset's folder and empties it of
pictures, so what is under way has to be done by then.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

_log = logging.getLogger(__name__)

_CALLED = ("finalize", "push_to_hub")
_ASKED = "episodes_since_last_encoding"


def wait_before_endings(dataset: Any, wait: Callable[[], None]) -> Callable[[], None]:
    """Let ``dataset`` call ``wait`` before it ends in any of these ways; only those that it has.

    Returns what undoes it. ``dataset`` gets a class of the same name derived from its own, for one
    of the ways is an attribute that is read.
    """
    original = type(dataset)

    def waiting(name: str) -> Callable[..., Any]:
        def ending(*arguments: Any, **options: Any) -> Any:
            wait()
            return getattr(original, name)(dataset, *arguments, **options)

        return ending

    called = [name for name in _CALLED if hasattr(original, name)]
    for name in called:
        setattr(dataset, name, waiting(name))
    if _ASKED in vars(dataset):
        dataset.__class__ = _asking(original, wait)

    def undo() -> None:
        for name in called:
            vars(dataset).pop(name, None)
        dataset.__class__ = original

    return undo


def _asking(original: type, wait: Callable[[], None]) -> type:
    def read(dataset: Any) -> Any:
        wait()
        return vars(dataset)[_ASKED]

    def write(dataset: Any, value: Any) -> None:
        vars(dataset)[_ASKED] = value

    return type(original.__name__, (original,), {_ASKED: property(read, write)})
