"""Where the relative paths of older files start: they were written for one working directory.

Looked at, in this order: the working directory, the folder of the file (of a pair: of both), and
the folders around those, so that a path from a repository's root is found from elsewhere too.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from lerobot_pipelines.config.draft import Draft

# ``config/strategies/chunking.yaml`` lies two folders below its root.
MAX_FOLDERS_AROUND = 3


class Found(NamedTuple):
    """``path`` is where the first match lies, else where the working directory would have it."""

    path: Path
    is_there: bool
    looked_at: tuple[Path, ...]

    def in_words(self) -> str:
        """``neither /a/x nor /b/x is there``."""
        first, *others = (str(path) for path in self.looked_at)
        if not others:
            return f"{first} is not there"
        return f"neither {first} (from the working directory) nor {', '.join(others)} is there"


def find(draft: Draft, given: str, is_there: Callable[[Path], bool]) -> Found:
    """Where ``given`` lies; an absolute one, and one with ``~``, is what it says."""
    places: list[Path] = []
    for folder in _folders(draft):
        place = Path(os.path.normpath(folder / os.path.expanduser(given)))
        if place not in places:
            places.append(place)
    for place in places:
        if is_there(place):
            return Found(place, True, tuple(places))
    return Found(places[0], False, tuple(places))


def _folders(draft: Draft) -> list[Path]:
    files = draft.folders()
    around = [
        folder
        for start in files
        for folder in list(start.parents)[:MAX_FOLDERS_AROUND]
        if folder != folder.parent
    ]
    return [Path.cwd(), *files, *around]
