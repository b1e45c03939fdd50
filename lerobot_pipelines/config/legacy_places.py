"""``input.*`` and ``output.base_path``: folders anywhere become one bucket with prefixes.

The older converters read joints and pictures from two folders and write to a third. Here there is
one bucket: its root is the nearest folder around them, its prefixes the way to them, and the names
in which the two inputs differ (``joints``, ``images``) are the layout.
"""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from lerobot_pipelines.config.draft import Draft, described

DATA = ("input", "data_path")
IMAGES = ("input", "images_path")
OUTPUT = ("output", "base_path")


class Inputs(NamedTuple):
    """Where recordings lie; ``joints`` and ``images`` are None where both paths are the same."""

    root: PurePosixPath
    joints: str | None
    images: str | None
    task: str  # what follows the layout's names in both paths


def translate_places(draft: Draft) -> None:
    data, images = _path(draft, DATA), _path(draft, IMAGES)
    output = _path(draft, OUTPUT)
    if data is None and images is None and output is None:
        return
    inputs = _inputs(draft, data, images)
    url = draft.get("storage", "url")
    if isinstance(url, str) and url.lower().startswith("s3://"):
        # They converted a local copy of what the bucket holds.
        for path in (DATA, IMAGES, OUTPUT):
            if draft.has(*path):
                draft.warn(path, "has no effect here: the bucket is read and written directly")
        if inputs is not None:
            _set_layout(draft, inputs)
    elif url is not None:
        _below_url(draft, inputs, output)
    elif inputs is not None:
        _around(draft, inputs, output)


def split_inputs(data: PurePosixPath, images: PurePosixPath) -> Inputs | None:
    """What two input folders have in common; None if one lies inside the other.

    ``data/joints/bottle`` and ``data/images/bottle`` are the root ``data``, ``joints``,
    ``images`` and the task ``bottle``.
    """
    if data == images:
        return Inputs(data, None, None, "")
    left, right = list(data.parts), list(images.parts)
    common: list[str] = []
    while left and right and left[0] == right[0]:
        common.append(left.pop(0))
        right.pop(0)
    task: list[str] = []
    while len(left) > 1 and len(right) > 1 and left[-1] == right[-1]:
        task.insert(0, left.pop())
        right.pop()
    if not left or not right:
        return None
    return Inputs(PurePosixPath(*common), "/".join(left), "/".join(right), "/".join(task))


def _inputs(
    draft: Draft, data: PurePosixPath | None, images: PurePosixPath | None
) -> Inputs | None:
    if data is None or images is None:
        only = data or images
        return None if only is None else Inputs(only, None, None, "")
    inputs = split_inputs(data, images)
    if inputs is None:
        draft.fault(
            IMAGES,
            "and input.data_path lie inside one another; give storage.url and storage.raw_prefix, "
            "and the names of the two folders as layout.joints and layout.images",
        )
    return inputs


def _path(draft: Draft, path: tuple[str, str]) -> PurePosixPath | None:
    """The path as given, without ``.`` and superfluous ``/``; ``~`` expanded."""
    value = draft.get(*path)
    if value is None:
        return None
    if not isinstance(value, str) or not value:
        draft.fault(path, f"must be the path of a folder, not {described(value)}")
        return None
    if "://" in value:
        draft.fault(path, "is a URL; give it as storage.url and storage.raw_prefix instead")
        return None
    return PurePosixPath(os.path.normpath(os.path.expanduser(value)))


def _set_layout(draft: Draft, inputs: Inputs) -> None:
    if inputs.joints is not None and inputs.images is not None:
        draft.settle(("layout", "joints"), inputs.joints, DATA)
        draft.settle(("layout", "images"), inputs.images, IMAGES)
    if inputs.task:
        draft.warn(
            DATA,
            f'ends in "{inputs.task}": the other tasks beside it are read as well; a dataset of '
            "one task needs a raw prefix of its own",
        )


def _below_url(draft: Draft, inputs: Inputs | None, output: PurePosixPath | None) -> None:
    """``storage.url`` is given: older paths lie below it, unless they are absolute."""
    for path, value, target in (
        (DATA, inputs.root if inputs else None, "raw_prefix"),
        (OUTPUT, output, "converted_prefix"),
    ):
        if value is None:
            continue
        if value.is_absolute() or ".." in value.parts:
            draft.fault(
                path,
                f"lies outside storage.url; remove it and give storage.{target}, a folder below "
                "storage.url",
            )
        else:
            draft.settle(("storage", target), _text(value), path)
    if inputs is not None:
        _set_layout(draft, inputs)


def _around(draft: Draft, inputs: Inputs, output: PurePosixPath | None) -> None:
    """No ``storage.url``: the nearest folder around input and output is the bucket."""
    raw = Path(os.path.normpath(draft.folder / inputs.root))
    if raw == raw.parent:
        draft.fault(DATA, "is the root of the disk; give the folder of the recordings")
        return
    places = [raw.parent]
    if output is not None:
        converted = Path(os.path.normpath(draft.folder / output))
        places.append(converted.parent)
    base = Path(os.path.commonpath(places))
    draft.put(("storage", "url"), base.as_uri(), DATA)
    draft.settle(("storage", "raw_prefix"), raw.relative_to(base).as_posix(), DATA)
    if output is not None:
        prefix = converted.relative_to(base).as_posix()
        draft.settle(("storage", "converted_prefix"), prefix, OUTPUT)
        if not draft.has("storage", "work_prefix"):
            # Beside the datasets: the folder around both may be anything, even the disk's root.
            draft.put(("storage", "work_prefix"), f"{prefix}_work", OUTPUT)
    _set_layout(draft, inputs)


def _text(path: PurePosixPath) -> str:
    return "" if path == PurePosixPath(".") else path.as_posix()
