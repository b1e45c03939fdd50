"""``metadata.json`` beside a recording: the task's text, the operator, anything else."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lerobot_pipelines.config.schema import DEFAULT_LIMITS, LimitsConfig
from lerobot_pipelines.errors import ContentChanged
from lerobot_pipelines.intake import Intake, IntakeCode, IntakeEntry
from lerobot_pipelines.model import Fault
from lerobot_pipelines.recordings import lfs
from lerobot_pipelines.recordings.printable import Cleaner
from lerobot_pipelines.recordings.task_text import task_texts
from lerobot_pipelines.recordings.text_decoding import decode

_MAX_BYTES = 16 << 20
# What is taken over of it: it is kept with the episode and shown.
_MAX_KEPT_BYTES = 1 << 20

_REMEDY = "save it as UTF-8, or set dataset.task"


class Sidecar(NamedTuple):
    """``metadata`` has the task as "task" and, where there are several, all of them as "tasks"."""

    metadata: dict[str, Any]
    faults: list[Fault]
    intake: tuple[IntakeEntry, ...]


def read_metadata(
    root: Path, paths: Iterable[str], limits: LimitsConfig = DEFAULT_LIMITS
) -> Sidecar:
    """The content of the files together, earlier ones first; files that hold no object are faults.

    A task is found under any of its usual names. Texts are cleaned of what cannot be shown.
    """
    metadata: dict[str, Any] = {}
    faults = []
    intake = Intake()
    for path in paths:
        try:
            content = _read(root / path, path, intake, limits)
        except FileNotFoundError as error:
            raise ContentChanged(f"{path} disappeared while the episode was read") from error
        except (ValueError, RecursionError) as error:
            content = error
        if isinstance(content, dict):
            metadata = {**content, **metadata}
            continue
        faults.append(Fault("", path, "bad_metadata"))
        cause = content if isinstance(content, ValueError) else "it holds no object"
        intake.warn(
            IntakeCode.LABEL_FALLBACK,
            "",
            f"{path} cannot be read ({cause}), so no task is taken from it; {_REMEDY}",
            details={"file": path},
        )
    _add_task(metadata, intake)
    return Sidecar(metadata, faults, intake.entries)


def _add_task(metadata: dict[str, Any], intake: Intake) -> None:
    tasks = task_texts(metadata)
    given = metadata.pop("task", None)
    if tasks:
        metadata["task"] = tasks[0]
    elif given not in (None, "", []):
        metadata["task_given"] = given
        intake.warn(
            IntakeCode.LABEL_FALLBACK,
            "",
            f"the task in the recording's metadata is no text but {_shown(given)}, so it is not "
            "used; write a text, or set dataset.task",
        )
    if len(tasks) > 1:
        metadata["tasks"] = list(tasks)
        intake.warn(
            IntakeCode.TEXT,
            "",
            f"the recording's metadata lists {len(tasks)} tasks; every row carries the first, "
            f"{_shown(tasks[0])}; if that is not right, set dataset.task, or the task of this "
            "episode in overrides.json",
            count=len(tasks),
            details={"tasks": list(tasks)},
        )


def _read(path: Path, shown: str, intake: Intake, limits: LimitsConfig) -> Any:
    """Raises ``ValueError`` for what is no JSON, or too large for a description."""
    with path.open("rb") as stream:
        data = stream.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise ValueError(f"it is larger than {_MAX_BYTES >> 20} MiB")
    if lfs.is_pointer(data):
        raise ValueError(f"it is a git-lfs pointer; {lfs.REMEDY}")
    decoded = decode(data)
    try:
        # NaN is no JSON, and would be none in what is made of it.
        content = json.loads(decoded.text.removeprefix("\ufeff"), parse_constant=str)
    except ValueError as error:
        raise ValueError(f"it is no JSON: {' '.join(str(error).split())[:100]}") from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if decoded.is_certain and decoded.encoding not in ("utf-8", "utf-8-sig"):
        intake.note(IntakeCode.TEXT, "", f"{shown} is {decoded.encoding}, not UTF-8, and was read")
    elif not decoded.is_certain:
        intake.warn(
            IntakeCode.TEXT,
            "",
            f"{shown} is not UTF-8; it was read as {decoded.encoding}, as which it reads like "
            f"text; if the task reads wrong, {_REMEDY}",
            details={"file": shown, "encoding": decoded.encoding},
        )
    return _cleaned(content, shown, intake, limits.text_characters)


def _cleaned(content: Any, shown: str, intake: Intake, max_characters: int) -> Any:
    cleaner = Cleaner(max_characters)
    content = cleaner.value(content)
    if cleaner.removed:
        intake.warn(
            IntakeCode.TEXT,
            "",
            f"{shown} holds characters that cannot be shown (controls, surrogates, directions of "
            "text); they are left out",
            count=cleaner.removed,
        )
    if cleaner.shortened:
        intake.warn(
            IntakeCode.TEXT,
            "",
            f"{shown} holds texts of more than {max_characters} characters "
            f"(limits.text_characters; the longest has "
            f"{max(cleaner.shortened)}); they are cut there",
            count=len(cleaner.shortened),
        )
    if isinstance(content, dict):
        content, left_out = _bounded(content)
        if left_out:
            intake.warn(
                IntakeCode.LIMIT,
                "",
                f"{shown} holds more than {_MAX_KEPT_BYTES >> 20} MiB; left out are its largest "
                f"values: {', '.join(_shown(key) for key in left_out[:8])}",
                count=len(left_out),
            )
    return content


def _bounded(content: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The content without its largest values, and their keys, so that the rest is small."""
    sizes = {key: len(json.dumps([key, value])) for key, value in content.items()}
    kept, total = set(sizes), sum(sizes.values())
    for key in sorted(sizes, key=lambda key: sizes[key], reverse=True):
        if total <= _MAX_KEPT_BYTES:
            break
        kept.discard(key)
        total -= sizes[key]
    left_out = [key for key in content if key not in kept]
    return {key: value for key, value in content.items() if key in kept}, left_out


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:60]}..."
