"""The names that streams get in a suggestion."""

from __future__ import annotations

import re
from collections.abc import Sequence

from lerobot_pipelines.suggestions.candidates import Candidate, Kind

# Parts of topics that say nothing of which camera it is.
_GENERIC = frozenset({"image", "image_raw", "compressed", "color", "rgb", "camera_info"})


def short_names(found: Sequence[Candidate]) -> dict[str, str]:
    """Stream name -> a short name fit for a LeRobot key; numbered where two would be equal."""
    names: dict[str, str] = {}
    for one in found:
        parts = [part for part in one.name.split("/") if part]
        useful = [part for part in parts if part.lower() not in _GENERIC] or parts
        joined = "_".join(useful[-2:])
        if one.kind is Kind.DEPTH:
            # lerobot takes a feature with "image" in its name for colours.
            joined = re.sub("image[_-]?", "", joined, flags=re.IGNORECASE) or "depth"
        short = re.sub(r"[^A-Za-z0-9_]+", "_", joined).strip("_")[:80] or "stream"
        name, number = short, 2
        while name in names.values():
            name, number = f"{short}_{number}", number + 1
        names[one.name] = name
    return names
