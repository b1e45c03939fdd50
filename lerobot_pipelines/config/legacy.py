"""The field's existing key names, translated into the schema's (tables in ``legacy_keys``).

``before_substitution`` handles what must not be filled in: credentials, and keys without effect
whose variables need not exist. ``translate`` does the rest. Where an older and a newer key say
the same thing they may both be there; where they disagree it is a fault.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from lerobot_pipelines.config import legacy_keys as keys
from lerobot_pipelines.config.draft import Draft, described
from lerobot_pipelines.config.environment import referenced_variable
from lerobot_pipelines.config.faults import suggestion
from lerobot_pipelines.config.legacy_places import translate_places

_BCE_HOST = re.compile(r"https?://(?:s3\.)?([a-z0-9-]+)\.bcebos\.com/?", re.IGNORECASE)
BOS_VARIABLES = ("BOS_ACCESS_KEY", "BOS_SECRET_KEY")


def before_substitution(draft: Draft) -> None:
    """Take out keys without effect and replace credentials by their variables' names."""
    for path, why in keys.IGNORED.items():
        if path == ("conversion", "config_template") and _lacks_robot(draft):
            _refuse_template(draft)
        else:
            _ignore(draft, path, why)
    for kind in keys.BUCKET_SECTIONS:
        draft.section(kind)
        for path, why in keys.BUCKET_IGNORED.items():
            _ignore(draft, (kind, *path), why)
        _credentials(draft, kind)


def translate(draft: Draft) -> None:
    """Bring every older key to its place in the schema. ``robot.arms`` stays for ``arms``."""
    _unknown_keys(draft, keys.SECTIONS)
    for old, new in keys.RENAMED.items():
        if old == ("sources",):
            _sources(draft)
        draft.move(old, new)
    _bucket(draft)
    _names(draft)
    _video(draft)
    translate_places(draft)
    for section in ("input", "output", "conversion"):
        draft.pop(section)


def _ignore(draft: Draft, path: tuple[str, ...], why: str) -> None:
    if draft.has(*path):
        draft.warn(path, f"has no effect here: {why}")
        draft.pop(*path)


def _lacks_robot(draft: Draft) -> bool:
    return not any(draft.has(key) for key in ("robot", "cameras", "streams"))


def _refuse_template(draft: Draft) -> None:
    path = ("conversion", "config_template")
    if draft.has(*path):
        draft.fault(
            path,
            "the robot and the cameras are in another file; put that file's keys into this one "
            "(one file describes one dataset) and remove config_template",
        )
        draft.pop(*path)


def _credentials(draft: Draft, kind: str) -> None:
    given = {}
    for names, target in (
        (keys.ACCESS_KEYS, "access_key_env"),
        (keys.SECRET_KEYS, "secret_key_env"),
    ):
        for name in names:
            path = (kind, name)
            if not draft.has(*path):
                continue
            value = draft.pop(*path)
            variable = referenced_variable(value) if isinstance(value, str) else None
            if variable is None and value is not None:
                draft.fault(
                    path,
                    "holds a credential; put it into an environment variable and write "
                    "${NAME} here",
                )
            elif variable is not None:
                draft.settle(("storage", target), variable, path)
                given[target] = variable
    if kind == "bos" and draft.has(kind) and not given:
        for target, variable in zip(
            ("access_key_env", "secret_key_env"), BOS_VARIABLES, strict=True
        ):
            if not draft.has("storage", target):
                draft.put(("storage", target), variable, (kind,))


def _bucket(draft: Draft) -> None:
    present = [kind for kind in keys.BUCKET_SECTIONS if draft.has(kind)]
    if len(present) > 1:
        draft.fault(("s3",), "there is a section bos as well; a dataset has one bucket, keep one")
    for kind in present:
        _unknown_keys(draft, keys.bucket_sections(kind))
        if kind == "bos" and not draft.has(kind, "region"):
            endpoint = draft.get(kind, "endpoint")
            match = _BCE_HOST.fullmatch(endpoint) if isinstance(endpoint, str) else None
            if match and not draft.has("storage", "region"):
                draft.put(("storage", "region"), match[1].lower(), (kind, "endpoint"))
        bucket = draft.get(kind, "bucket")
        if bucket is None:
            draft.fault((kind,), "has no bucket; add the key bucket with its name")
        elif not isinstance(bucket, str):
            draft.fault((kind, "bucket"), f"must be text, not {described(bucket)}; use quotes")
        else:
            name = bucket.partition("://")[2] or bucket
            draft.move((kind, "bucket"), ("storage", "url"), f"s3://{name.strip('/')}")
        for old, new in keys.BUCKET_RENAMED.items():
            draft.move((kind, *old), new)
        draft.pop(kind)


def _sources(draft: Draft) -> None:
    """Plain names, also from ``- name: robot_1``; ``local`` and ``bos`` are no robots."""
    sources = draft.get("sources")
    if not isinstance(sources, list):
        return
    named = [
        item["name"] if isinstance(item, Mapping) and set(item) == {"name"} else item
        for item in sources
    ]
    kept = [name for name in named if not (isinstance(name, str) and name in keys.STORE_KINDS)]
    if len(kept) < len(named):
        draft.warn(
            ("sources",),
            f"{', '.join(sorted(keys.STORE_KINDS))} name kinds of store, which storage.url says "
            "here; sources are folders below the raw prefix, one per robot",
        )
    draft.put(("sources",), kept)


def _names(draft: Draft) -> None:
    """``output.dataset_name`` and ``output.pattern``; a file of older keys may have neither."""
    older = any(draft.has(section) for section in ("robot", "input", "output"))
    given = draft.get("output", "dataset_name")
    if isinstance(given, str) and given.strip():
        name = identifier(given)
        if name and name != given and not draft.has("dataset", "name"):
            draft.warn(
                ("output", "dataset_name"),
                "names in Dagster hold letters, digits and _ only: the dataset's follows from it",
            )
            if "/" not in given and not draft.has("output", "pattern"):
                draft.settle(("dataset", "pattern"), given, ("output", "dataset_name"))
        draft.move(("output", "dataset_name"), ("dataset", "name"), name or given)
    else:
        draft.move(("output", "dataset_name"), ("dataset", "name"))
    if older and not draft.has("dataset", "name") and (name := identifier(draft.name or "")):
        draft.put(("dataset", "name"), name)
    _pattern(draft)


def _pattern(draft: Draft) -> None:
    given = draft.get("output", "pattern")
    if not isinstance(given, str):
        draft.move(("output", "pattern"), ("dataset", "pattern"))
        return
    path = ("output", "pattern")
    pattern = given.removeprefix("./").rstrip("/")
    for old, new in (("{dataset_name}", "{dataset}"), ("{robot_type}", "{robot}")):
        pattern = pattern.replace(old, new)
    whole = re.sub(r"\{episode(?:_id)?\}", "{dataset}", pattern)
    if whole != pattern:
        draft.warn(path, "one dataset holds every episode: its name stands for {episode_id}")
    sources = draft.get("storage", "sources")
    if "{source}" in whole and not (isinstance(sources, list) and len(sources) == 1):
        draft.warn(path, "one dataset holds the episodes of all sources: {source} is left out")
        parts = (re.sub(r"[_.-]?\{source\}", "", part).lstrip("_.-") for part in whole.split("/"))
        whole = "/".join(part for part in parts if part)
    draft.move(path, ("dataset", "pattern"), whole)


def _video(draft: Draft) -> None:
    """``video.fps`` labels the rows; where the base camera's rate is given, that is what they are.

    Older converters wrote 25 Hz rows into 30 fps videos when the two differed.
    """
    codec = draft.get("video", "codec")
    if isinstance(codec, str):
        draft.put(("video", "codec"), keys.CODECS.get(codec.lower(), codec.lower()))
    fps, base = _number(draft.get("video", "fps")), base_rate(draft)
    if fps is not None and base is not None and fps != base and not draft.has("dataset", "fps"):
        draft.warn(
            ("video", "fps"),
            f"is {fps:g}, but the base camera's target_fps is {base:g}: rows come at {base:g} per "
            "second and are labelled so",
        )
        draft.pop("video", "fps")
    draft.move(("video", "fps"), ("dataset", "fps"))


def base_rate(draft: Draft) -> float | None:
    """The ``target_fps`` of the base camera, as far as the file gives one that is a number."""
    cameras = draft.get("cameras")
    for camera in cameras if isinstance(cameras, list) else ():
        if isinstance(camera, Mapping) and camera.get("role") == "base":
            return _number(camera.get("target_fps"))
    return None


def _number(value: object) -> float | None:
    """A positive number, also as text: a variable's content is text."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if 0 < number < math.inf else None


def identifier(text: str) -> str:
    """The text as a dataset's name: letters, digits and ``_``, a letter first; "" if none is."""
    words = re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_")
    if words and not words[0].isalpha():
        words = f"dataset_{words}"
    return words[:100]


def _unknown_keys(draft: Draft, sections: Mapping[tuple[str, ...], frozenset[str]]) -> None:
    for path, known in sections.items():
        for key in list(draft.section(*path)):
            if key not in known:
                draft.fault((*path, key), f"there is no such key{suggestion(key, known)}")
                draft.pop(*path, key)
