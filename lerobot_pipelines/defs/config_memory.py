"""Which file each dataset was last loaded from, and what it said then.

Files are edited while runs are queued: a misspelt key must not take a dataset's jobs away under
them, and a copy laid beside a file must not take its dataset over. So what was loaded is kept in
Dagster's home (``$DAGSTER_HOME``, else this machine's cache folder). Losing it loses only that.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lerobot_pipelines.storage.scratch import default_cache_dir

logger = logging.getLogger("lerobot_pipelines.definitions")

FILE_NAME = "lerobot_pipelines_configurations.json"
HOME_VARIABLE = "DAGSTER_HOME"
VERSION = 1
MAX_FILES = 1000


@dataclass(frozen=True, slots=True)
class Loaded:
    """A file as it was when it was last in use: the dataset that it described, and its text."""

    dataset: str
    text: str


@dataclass
class ConfigMemory:
    """``files`` by absolute path; only those whose dataset they were in use for."""

    place: Path
    files: dict[str, Loaded] = field(default_factory=dict)

    @classmethod
    def open(cls, place: Path | None = None) -> ConfigMemory:
        """Empty where there is none yet, or none that can be read."""
        place = place or default_place()
        try:
            data = json.loads(place.read_text(encoding="utf-8"))
            if data["version"] != VERSION:
                return cls(place)
            return cls(place, {str(path): _loaded(one) for path, one in data["files"].items()})
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return cls(place)

    def last_loaded(self, path: Path) -> Loaded | None:
        return self.files.get(os.path.abspath(path))

    def is_in_use(self, path: Path, dataset: str) -> bool:
        """Whether the dataset was last loaded from this file."""
        found = self.last_loaded(path)
        return found is not None and found.dataset == dataset

    def replace(self, loaded: Mapping[Path, Loaded]) -> None:
        """Remember these, and of the others those whose files are still there; stored at once."""
        kept = {path: one for path, one in self.files.items() if os.path.lexists(path)}
        files = {**kept, **{os.path.abspath(path): one for path, one in loaded.items()}}
        files = dict(list(files.items())[-MAX_FILES:])
        if files == self.files:
            return
        self.files = files
        try:
            self._store()
        except OSError as error:
            logger.warning("%s cannot be written: %s", self.place, error)

    def _store(self) -> None:
        files = {path: {"dataset": o.dataset, "text": o.text} for path, o in self.files.items()}
        self.place.parent.mkdir(parents=True, exist_ok=True)
        # Several processes load the same files at the same time.
        new = self.place.with_name(f".{self.place.name}.{secrets.token_hex(4)}")
        try:
            new.write_text(json.dumps({"version": VERSION, "files": files}), encoding="utf-8")
            new.replace(self.place)
        finally:
            new.unlink(missing_ok=True)


def default_place() -> Path:
    home = os.environ.get(HOME_VARIABLE)
    return (Path(home) if home else default_cache_dir()) / FILE_NAME


def _loaded(data: Any) -> Loaded:
    return Loaded(str(data["dataset"]), str(data["text"]))
