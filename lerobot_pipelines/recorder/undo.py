"""Makes a save into a lerobot dataset all or nothing, on disk.

With one file per episode (see ``lerobot_target``) a save creates new files and rewrites the small
ones in ``meta``. Before it these are copied and the names of all files noted; undoing puts the
copies back and deletes what is new. Pictures are the spool's, so ``images`` may go altogether.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from lerobot_pipelines.recorder.disk import sync_files, sync_folder, write_whole

_NOTE = "before.json"
_COMMITTED = "committed"
_SMALL = (".json", ".jsonl")
_TASKS = "tasks.parquet"
PICTURES = "images"


class DatasetUndo:
    """The undo note of the dataset at ``root``; it lies in ``folder``, outside of the dataset."""

    def __init__(self, root: Path, folder: Path) -> None:
        self._root = root
        self._folder = folder

    @property
    def is_pending(self) -> bool:
        """A save was begun and neither committed nor undone."""
        return (self._folder / _NOTE).exists() and self.committed is None

    @property
    def committed(self) -> int | None:
        """The take whose save was committed and not yet forgotten."""
        path = self._folder / _COMMITTED
        return int(path.read_bytes()) if path.exists() else None

    def begin(self) -> None:
        """Note the dataset as it is now."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        small = [path for path in sorted((self._root / "meta").iterdir()) if _is_small(path)]
        for path in small:
            shutil.copyfile(path, self._folder / path.name)
        sync_files(self._folder / path.name for path in small)
        files = [str(path.relative_to(self._root)) for path in self._files()]
        note = {"small": [path.name for path in small], "files": files}
        write_whole(self._folder / _NOTE, json.dumps(note).encode())

    def commit(self, take: int) -> None:
        """Keep what the save of ``take`` did; it outlives a power loss from here on.

        ``forget`` must follow once the take is gone from the spool, so that it is saved once.
        """
        known = set(json.loads((self._folder / _NOTE).read_bytes())["files"])
        files = list(self._files())
        new = [path for path in files if str(path.relative_to(self._root)) not in known]
        sync_files([*new, *(path for path in files if _is_small(path))])
        made = {parent for path in new for parent in path.parents if self._root in parent.parents}
        for folder in made:
            sync_folder(folder)
        write_whole(self._folder / _COMMITTED, str(take).encode())

    def undo(self) -> None:
        """Make the dataset what it was at ``begin``. Safe to repeat after a crash in here."""
        note = json.loads((self._folder / _NOTE).read_bytes())
        known = set(note["files"])
        for path in list(self._files()):
            if str(path.relative_to(self._root)) not in known:
                path.unlink()
        for path in self._root.glob("tmp*"):
            if path.is_dir():
                shutil.rmtree(path)
        shutil.rmtree(self._root / PICTURES, ignore_errors=True)
        for name in note["small"]:
            write_whole(self._root / "meta" / name, (self._folder / name).read_bytes())
        for folder in ("data", "videos", "meta/episodes"):
            _remove_empty(self._root / folder)
        self.forget()

    def forget(self) -> None:
        """Both files go, the note first: without it nothing is ever undone."""
        for name in (_NOTE, _COMMITTED):
            (self._folder / name).unlink(missing_ok=True)
            sync_folder(self._folder)
        shutil.rmtree(self._folder)

    def _files(self) -> list[Path]:
        pictures = self._root / PICTURES
        return [
            path
            for path in self._root.rglob("*")
            if path.is_file() and pictures not in path.parents
        ]


def _is_small(path: Path) -> bool:
    """A file in ``meta`` that a save rewrites or appends to."""
    return path.parent.name == "meta" and (path.suffix in _SMALL or path.name == _TASKS)


def _remove_empty(folder: Path) -> None:
    """Folders that a save made: lerobot counts files, but tools show the folders."""
    for path in [*sorted(folder.rglob("*"), reverse=True), folder]:
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
