"""The field's existing key names, translated into the schema's (tables in ``legacy_keys``).

``before_substitution`` handles what must not be filled in: credentials, and keys without effect
whose variables need not exist. ``translate`` does the rest. Where an older and a newer key say
the same thing they may both be there; where they disagree it is a fault.
"""

from __future__ import annotations

from collections.abc import Mapping

from lerobot_pipelines.config import legacy_keys as keys
from lerobot_pipelines.config.draft import Draft, described, number_of
from lerobot_pipelines.config.environment import referenced_variable
from lerobot_pipelines.config.faults import suggestion
from lerobot_pipelines.config.legacy_defaults import older_defaults
from lerobot_pipelines.config.legacy_names import translate_names
from lerobot_pipelines.config.legacy_places import translate_places
from lerobot_pipelines.config.legacy_rosbag import translate_rosbag

BOS_VARIABLES = ("BOS_ACCESS_KEY", "BOS_SECRET_KEY")


def before_substitution(draft: Draft) -> None:
    """Take out keys without effect and replace credentials by their variables' names."""
    for old, new in keys.RENAMED_BEFORE.items():
        draft.section(old[0])
        draft.move(old, new)
    for path, why in keys.IGNORED.items():
        if draft.get(*path) == {}:
            draft.pop(*path)  # all of it is something else now
        _ignore(draft, path, why)
    for kind in keys.BUCKET_SECTIONS:
        draft.section(kind)
        for path, why in keys.BUCKET_IGNORED.items():
            _ignore(draft, (kind, *path), why)
        _optional_variable(draft, (kind, "download", "temp_dir"))
        _credentials(draft, kind)


def translate(draft: Draft) -> None:
    """Bring every older key to its place in the schema. ``robot.arms`` stays for ``arms``."""
    older = is_older(draft)
    is_of_bags = translate_rosbag(draft)
    _unknown_keys(draft, keys.SECTIONS)
    for old, new in keys.RENAMED.items():
        if old == ("sources",):
            _sources(draft)
        draft.move(old, new)
    _bucket(draft)
    _video(draft)
    translate_places(draft, translate_names(draft))
    for section in ("input", "output", "conversion"):
        draft.pop(section)
    if older and not is_of_bags:
        older_defaults(draft)


def is_older(draft: Draft) -> bool:
    """Whether the file was written for another program: ours name a dataset in every file."""
    return not draft.has("dataset", "name") and any(draft.has(key) for key in keys.TOP_LEVEL)


def _ignore(draft: Draft, path: tuple[str, ...], why: str) -> None:
    if draft.has(*path):
        draft.warn(path, f"has no effect here: {why}")
        draft.pop(*path)


def _optional_variable(draft: Draft, path: tuple[str, ...]) -> None:
    """A variable that older programs did without when it was not set."""
    value = draft.get(*path)
    name = referenced_variable(value) if isinstance(value, str) else None
    if name is not None:
        draft.put(path, f"${{{name}:-}}")


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
        _batch_size(draft, kind)
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


def _batch_size(draft: Draft, kind: str) -> None:
    """How many files are fetched in one go, which the number of threads says here."""
    path = (kind, *keys.BATCH_SIZE)
    if not draft.has(*path):
        return
    if any(draft.has(kind, "download", key) for key in keys.DOWNLOAD_THREAD_KEYS):
        _ignore(draft, path, "the number of files on their way at once is given beside it")
        return
    number = _positive(draft.get(*path))
    if number is not None and number > keys.MAX_THREADS:
        draft.warn(path, f"at most {keys.MAX_THREADS} files are on their way at once")
        draft.pop(*path)
        draft.settle(("storage", "transfer_threads"), keys.MAX_THREADS, path)
    else:
        draft.move(path, ("storage", "transfer_threads"))


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
            "here (for recordings on this machine: convert CONFIG --input FOLDER --output FOLDER); "
            "sources are folders below the raw prefix, one per robot",
        )
    draft.put(("sources",), kept)


def _video(draft: Draft) -> None:
    """``video.fps`` labels the rows; where the base camera's rate is given, that is what they are.

    Older converters wrote 25 Hz rows into 30 fps videos when the two differed.
    """
    codec = draft.get("video", "codec")
    if isinstance(codec, str):
        draft.put(("video", "codec"), keys.CODECS.get(codec.lower(), codec.lower()))
    fps, base = _positive(draft.get("video", "fps")), base_rate(draft)
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
            return _positive(camera.get("target_fps"))
    return None


def _positive(value: object) -> float | None:
    return number_of(value) or None


def _unknown_keys(draft: Draft, sections: Mapping[tuple[str, ...], frozenset[str]]) -> None:
    for path, known in sections.items():
        for key in list(draft.section(*path)):
            if key not in known:
                draft.fault((*path, key), f"there is no such key{suggestion(key, known)}")
                draft.pop(*path, key)
