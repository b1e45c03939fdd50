"""The task's text in the JSON file beside a recording.

Files of the Kuavo tool chain (scene and task fields, ``marks`` of skills over time), and any other
object with a task text, are understood.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Where the text that tells a policy what to do is found, best first.
_TASK_KEYS = (
    *("task", "tasks", "taskPrompt", "task_prompt", "enTaskPrompt", "language_instruction"),
    *("instruction", "prompt", "taskName", "task_name", "enTaskName"),
    *("taskDescription", "task_description", "thirdPartyTaskDescription", "taskCode"),
)


def task_texts(content: Mapping[str, Any]) -> tuple[str, ...]:
    """The tasks in a sidecar's content, also one level below (``metadata``, ``task_info``, ...).

    Several where it gives a list of texts; none where it gives no text.
    """
    for key in _TASK_KEYS:
        if found := _texts(content.get(key)):
            return found
    for value in content.values():
        if isinstance(value, dict):
            inner = {key: one for key, one in value.items() if not isinstance(one, dict)}
            if found := task_texts(inner):
                return found
    return ()


def _texts(value: Any) -> tuple[str, ...]:
    """A text, or the texts of a list of nothing else."""
    values = value if isinstance(value, list) else [value]
    if not all(isinstance(one, str) for one in values):
        return ()
    return tuple(dict.fromkeys(text for one in values if (text := one.strip())))
