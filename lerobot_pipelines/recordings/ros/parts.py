"""A recording split over several files, read as one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lerobot_pipelines.model import Fault
from lerobot_pipelines.recordings.ros.blocks import Block
from lerobot_pipelines.recordings.ros.container import (
    BagFile,
    Connection,
    Message,
    MessageIndex,
    Rows,
)


class SplitFile:
    """Rows of the first file come first; connections are numbered anew."""

    def __init__(self, files: Sequence[BagFile]) -> None:
        """Takes the files over."""
        self._files = list(files)
        self.path = files[0].path
        self.connections: list[Connection] = []
        self.faults: list[Fault] = []
        self.details: dict[str, Any] = {**files[0].details, "files": len(files)}
        numbered: list[np.ndarray[Any, Any]] = []
        for file in self._files:
            new_ids = {}
            for connection in file.connections:
                new_ids[connection.id] = len(self.connections)
                self.connections.append(replace(connection, id=len(self.connections)))
            numbered.append(_renumbered(file.index.connections, new_ids))
            self.faults += [
                replace(fault, where=f"{file.path.name}, {fault.where}") for fault in file.faults
            ]
        indexes = [file.index for file in self._files]
        self._starts = np.cumsum([0, *(len(index) for index in indexes)])
        self.index = MessageIndex(
            np.concatenate(numbered),
            *(
                np.concatenate([getattr(index, column) for index in indexes])
                for column in ("stamps", "anchors", "offsets")
            ),
        )

    def message(self, row: int) -> Message:
        """See ``BagFile.message``."""
        part = int(np.searchsorted(self._starts, row, side="right")) - 1
        return self._files[part].message(row - int(self._starts[part]))

    def blocks(self, rows: Rows) -> Iterator[Block]:
        """See ``BagFile.blocks``."""
        bounds = np.searchsorted(rows, self._starts)
        for part, file in enumerate(self._files):
            chosen = rows[bounds[part] : bounds[part + 1]]
            if len(chosen):
                start = self._starts[part]
                for block in file.blocks(chosen - start):
                    yield replace(block, rows=block.rows + start)

    def close(self) -> None:
        for file in self._files:
            file.close()


def _renumbered(
    ids: np.ndarray[Any, np.dtype[np.int64]], new_ids: dict[int, int]
) -> np.ndarray[Any, np.dtype[np.int64]]:
    found, inverse = np.unique(ids, return_inverse=True)
    return np.array([new_ids[int(id)] for id in found], dtype=np.int64)[inverse]
