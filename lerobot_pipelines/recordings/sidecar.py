"""``metadata.json`` beside a folder recording: the task's text, the operator, anything else."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lerobot_pipelines.errors import ContentChanged
from lerobot_pipelines.model import Fault
from lerobot_pipelines.recordings.task_text import task_text

_LARGEST_BYTES = 16 << 20


def read_metadata(root: Path, paths: Iterable[str]) -> tuple[dict[str, Any], list[Fault]]:
    """The content of the files together, earlier ones first; files that hold no object are faults.

    "task" is filled in where a task's text is found under another of its usual names.
    """
    metadata: dict[str, Any] = {}
    faults = []
    for path in paths:
        try:
            content = _read(root / path)
        except FileNotFoundError as error:
            raise ContentChanged(f"{path} disappeared while the episode was read") from error
        except (ValueError, RecursionError):
            content = None
        if isinstance(content, dict):
            metadata = {**content, **metadata}
        else:
            faults.append(Fault("", path, "bad_metadata"))
    if task := task_text(metadata):
        metadata["task"] = task
    return metadata, faults


def _read(path: Path) -> Any:
    with path.open("rb") as stream:
        data = stream.read(_LARGEST_BYTES + 1)
    if len(data) > _LARGEST_BYTES:
        raise ValueError("too large for a description")
    return json.loads(data.decode("utf-8-sig"))
