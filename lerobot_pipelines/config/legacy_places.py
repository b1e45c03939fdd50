"""``input.*`` and ``output.base_path``: folders anywhere become one bucket with prefixes.

The older converters read joints and pictures from two folders and write to a third, all meant from
the working directory (``legacy_search``). Here there is
one bucket: its root is the nearest folder around them, its prefixes the way to them, and the names
in which the two inputs differ (``joints``, ``images``) are the layout.
"""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from lerobot_pipelines.config.draft import Draft, described
from lerobot_pipelines.config.legacy_names import PATTERN
from lerobot_pipelines.config.legacy_search import find

DATA = ("input", "data_path")
IMAGES = ("input", "images_path")
OUTPUT = ("output", "base_path")


class Inputs(NamedTuple):
    """Where recordings lie; ``joints`` and ``images`` are None where both paths are the same."""

    root: PurePosixPath
    joints: str | None
    images: str | None
    task: str  # what follows the layout's names in both paths


def translate_places(draft: Draft, base: str | None = None) -> None:
    """``base`` is the folder that ``output.pattern`` begins with; it goes before ``base_path``."""
    data, images = _path(draft, DATA), _path(draft, IMAGES)
    output = _path(draft, OUTPUT)
    origin: tuple[str, str] = OUTPUT
    if base is not None:
        if output is not None:
            draft.warn(OUTPUT, "has no effect here: output.pattern names the folder of all results")
        output, origin = PurePosixPath(os.path.normpath(os.path.expanduser(base))), PATTERN
    if data is None and images is None and output is None:
        return
    inputs = _inputs(draft, data, images)
    url = draft.get("storage", "url")
    if isinstance(url, str) and url.lower().startswith("s3://"):
        # They converted a local copy of what the bucket holds.
        for path in (DATA, IMAGES, OUTPUT):
            if draft.has(*path) and not (path == OUTPUT and base is not None):
                draft.warn(path, "has no effect here: the bucket is read and written directly")
        if base is not None:
            prefix = draft.get("storage", "converted_prefix") or "converted"
            draft.warn(
                PATTERN, f'"{base}" is left out: datasets lie below "{prefix}" in the bucket'
            )
        if inputs is not None:
            _set_layout(draft, inputs)
    elif url is not None:
        _below_url(draft, inputs, output, origin)
    elif draft.bucket is not None and inputs is not None:
        _set_layout(draft, inputs)  # where they lie is said outside the file
        if output is not None:
            _datasets_alone(draft, output, origin)
    elif inputs is not None:
        _around(draft, inputs, output, origin)
    elif output is not None and draft.bucket is not None:
        _datasets_alone(draft, output, origin)
    elif output is not None and "storage.url" in draft.overrides and not output.is_absolute():
        draft.settle(("storage", "converted_prefix"), _text(output), origin)


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


def _below_url(
    draft: Draft, inputs: Inputs | None, output: PurePosixPath | None, origin: tuple[str, str]
) -> None:
    """``storage.url`` is given: older paths lie below it, unless they are absolute."""
    for path, value, target in (
        (DATA, inputs.root if inputs else None, "raw_prefix"),
        (origin, output, "converted_prefix"),
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


def _around(
    draft: Draft, inputs: Inputs, output: PurePosixPath | None, origin: tuple[str, str]
) -> None:
    """No ``storage.url``: the nearest folder around input and output is the bucket."""
    raw = _input_folder(draft, inputs.root)
    if raw == raw.parent:
        draft.fault(DATA, "is the root of the disk; give the folder of the recordings")
        return
    places = [raw.parent]
    if output is not None:
        converted = _output_folder(draft, output, origin)
        places.append(converted.parent)
    base = Path(os.path.commonpath(places))
    draft.put(("storage", "url"), base.as_uri(), DATA)
    draft.settle(("storage", "raw_prefix"), raw.relative_to(base).as_posix(), DATA)
    if output is not None:
        _set_output(draft, converted.relative_to(base).as_posix(), origin)
    _set_layout(draft, inputs)


def _datasets_alone(draft: Draft, output: PurePosixPath, origin: tuple[str, str]) -> None:
    """Where recordings lie is said outside the file; where datasets lie the file says."""
    converted = _output_folder(draft, output, origin)
    if converted != converted.parent:
        draft.put(("storage", "url"), converted.parent.as_uri(), origin)
        _set_output(draft, converted.name, origin)


def _set_output(draft: Draft, prefix: str, origin: tuple[str, str]) -> None:
    draft.settle(("storage", "converted_prefix"), prefix, origin)
    if not draft.has("storage", "work_prefix"):
        # Beside the datasets: the folder around both may be anything, even the disk's root.
        draft.put(("storage", "work_prefix"), f"{prefix}_work", origin)


def _input_folder(draft: Draft, given: PurePosixPath) -> Path:
    """Where the recordings lie, said if that is not where the program was started."""
    found = find(draft, str(given), Path.is_dir)
    path = DATA if draft.has(*DATA) else IMAGES
    if not found.is_there and len(found.looked_at) > 1:
        draft.note(path, f"{found.in_words()}: the first is meant; create it, or give --input")
    elif found.path != found.looked_at[0]:
        draft.note(path, f"{found.looked_at[0]} is not there, {found.path} is meant")
    return found.path


def _output_folder(draft: Draft, given: PurePosixPath, origin: tuple[str, str]) -> Path:
    """Where datasets go: below the working directory, or where there are some already."""
    found = find(draft, str(given), Path.is_dir)
    if found.is_there and found.path != found.looked_at[0]:
        draft.note(origin, f"goes on in {found.path}, which is there; {found.looked_at[0]} is not")
    return found.path


def _text(path: PurePosixPath) -> str:
    return "" if path == PurePosixPath(".") else path.as_posix()
