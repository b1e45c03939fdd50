"""The task's text in the JSON file beside a recording.

Files of the Kuavo tool chain (scene and task fields, ``marks`` of skills over time), and any other
object with a task text, are understood.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Where the text that tells a policy what to do is found, best first.
_TASK_KEYS = (
    *("task", "taskPrompt", "task_prompt", "enTaskPrompt", "language_instruction", "instruction"),
    *("prompt", "taskName", "task_name", "enTaskName", "taskDescription", "task_description"),
    *("thirdPartyTaskDescription", "taskCode"),
)


def task_text(content: Mapping[str, Any]) -> str | None:
    """The task in a sidecar's content, also one level below (``metadata``, ``task_info``, ...)."""
    for key in _TASK_KEYS:
        value = content.get(key)
        if isinstance(value, str) and value.strip():
            return value.strip()
    for value in content.values():
        if isinstance(value, dict):
            inner = task_text({k: v for k, v in value.items() if not isinstance(v, dict)})
            if inner:
                return inner
    return None
