"""What stands in place of ``info.json`` while there is no dataset to be read.

A folder on a disk simply lacks the file. An object store deletes whatever lies under the name, also
what a faster writer has just put there; so nothing is deleted: the object is replaced by this one,
and only over the version that was seen. A reader fails clearly, with a message that says why:
lerobot takes the text for the dataset's version.
"""

from __future__ import annotations

import json
from typing import Any

from lerobot_pipelines.datasets.describing import json_bytes

MESSAGE = "no dataset at this moment: an update is under way, or was interrupted"


def placeholder(commit: int) -> bytes:
    """Another one for each commit."""
    return json_bytes({"codebase_version": MESSAGE, "features": {}, "commit": commit})


def is_placeholder(info: bytes | dict[str, Any]) -> bool:
    if isinstance(info, dict):
        return info.get("codebase_version") == MESSAGE
    if MESSAGE.encode() not in info:
        return False
    try:
        return is_placeholder(json.loads(info))
    except ValueError:
        return False
