"""Shorthand written out and defaults that depend on other keys, before the schema looks.

Everything here leaves what it does not understand as it is: the schema says what is wrong with it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from lerobot_pipelines.config.bos_endpoint import rewrite_endpoint
from lerobot_pipelines.config.draft import Draft
from lerobot_pipelines.config.legacy import base_rate
from lerobot_pipelines.config.slices import split_subscript

IMAGE_FEATURE = "observation.images."
# lerobot up to 0.5 takes what has "image" in its name for three channels of colour.
DEPTH_FEATURE = "observation.depth."

# Lists that may be written as one plain value.
_LISTS = (
    ("dataset", "formats"),
    ("dataset", "tags"),
    ("dataset", "owners"),
    ("storage", "sources"),
)
PREFIXES = ("raw_prefix", "converted_prefix", "work_prefix")


def normalise(draft: Draft) -> None:
    for path in _LISTS:
        if isinstance(value := draft.get(*path), str):
            draft.put(path, [value])
    _null_sections(draft)
    _features(draft)
    _cameras(draft)
    _fps(draft)
    _url(draft)
    _own_files(draft)
    rewrite_endpoint(draft)
    for name in PREFIXES:
        if isinstance(prefix := draft.get("storage", name), str):
            draft.put(("storage", name), clean_prefix(prefix))
    for name in ("joints", "images"):
        if isinstance(folder := draft.get("layout", name), str):
            draft.put(("layout", name), clean_prefix(folder))


def clean_prefix(prefix: str) -> str:
    """Without ``/`` at its ends, ``//`` and ``.``; ``..`` stays, for the rules to refuse."""
    return "/".join(part for part in prefix.split("/") if part not in ("", "."))


def resolve_url(url: str, folder: Path) -> str:
    """A path, also a relative one or one with ``~``, as ``file:///...``; other URLs as given."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        path = os.path.expanduser(url)
    elif scheme.lower() == "file":
        path = unquote(rest.removeprefix("localhost") if rest.startswith("localhost/") else rest)
    else:
        return f"{scheme.lower()}://{rest.rstrip('/')}"
    return Path(os.path.normpath(folder / path)).as_uri()


def _null_sections(draft: Draft) -> None:
    """A section whose keys are all commented out reads as nothing: the defaults."""
    for key in (
        *("layout", "streams", "cameras", "features", "alignment", "filtering", "video"),
        *("dataset", "storage", "limits", "logging"),
    ):
        if draft.has(key) and draft.get(key) is None:
            draft.pop(key)
    for section in ("scanner", "lifecycle"):
        if draft.has("storage", section) and draft.get("storage", section) is None:
            draft.pop("storage", section)


def _features(draft: Draft) -> None:
    features = draft.get("features")
    if not isinstance(features, Mapping):
        return
    written = {}
    for key, value in features.items():
        if value is None:
            continue
        feature = {"parts": value} if isinstance(value, list | str) else value
        if isinstance(feature, Mapping) and "parts" in feature:
            parts = feature["parts"]
            parts = [parts] if isinstance(parts, str) else parts
            if isinstance(parts, list):
                parts = [_part(part) for part in parts]
            feature = {**feature, "parts": parts}
        if isinstance(value, list):
            for index in range(len(value)):
                draft.origins.setdefault(
                    ("features", key, "parts", index),
                    draft.origin(("features", key, index)),
                )
        written[key] = feature
    draft.data["features"] = dict(sorted(written.items(), key=lambda item: _rank(str(item[0]))))


def _rank(key: str) -> tuple[int, str]:
    """State first, action last: the columns' order must not follow from the file's."""
    if key == "observation.state":
        return 0, key
    if key.startswith("observation."):
        return 1, key
    return (3 if key == "action" or key.startswith("action.") else 2), key


def _part(part: Any) -> Any:
    """``"joints[0:7]"`` and ``{stream: joints}``."""
    if not isinstance(part, str):
        return part
    stream, taken = split_subscript(part)
    return {"stream": stream} if taken is None else {"stream": stream, "slice": taken}


def _cameras(draft: Draft) -> None:
    cameras = draft.get("cameras")
    for camera in cameras if isinstance(cameras, list) else ():
        # Without a name that alone is the fault.
        if isinstance(camera, dict) and camera.get("feature") is None:
            beginning = DEPTH_FEATURE if camera.get("depth") is True else IMAGE_FEATURE
            camera["feature"] = f"{beginning}{camera.get('name')}"


def _fps(draft: Draft) -> None:
    rate = base_rate(draft)
    if rate is None or draft.has("dataset", "fps"):
        return
    # 29.97 is labelled 30; the rule on rates says whether that is near enough.
    draft.put(("dataset", "fps"), max(1, math.floor(rate + 0.5)))


def _url(draft: Draft) -> None:
    if isinstance(url := draft.get("storage", "url"), str) and url.strip():
        folder = Path.cwd() if ("storage", "url") in draft.overridden else draft.folder
        draft.put(("storage", "url"), resolve_url(url.strip(), folder))


def _own_files(draft: Draft) -> None:
    """Files of this machine start where the program did, as everywhere; never beside the YAML."""
    for path in (("logging", "file"), ("storage", "cache_dir")):
        if isinstance(file := draft.get(*path), str):
            own = str(Path.cwd() / os.path.expanduser(file.strip())) if file.strip() else None
            draft.put(path, own)
