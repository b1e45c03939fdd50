"""A draft as the text of a YAML file, each choice with its reason beside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from lerobot_pipelines.model import Clock, StreamReport
from lerobot_pipelines.suggestions.candidates import Kind
from lerobot_pipelines.suggestions.draft import DEFAULT_TOLERANCE_MS, Chosen, Draft, LeftOut
from lerobot_pipelines.suggestions.subject import Subject

# Not tied to this machine: the bucket is where the file is kept, or what the variable names.
BUCKET = "${LEROBOT_PIPELINES_BUCKET:-.}"
_MAX_COMMENTS = 40
_MAX_CHARACTERS = 300


def document(draft: Draft, subject: Subject, *, head: Iterable[str], remarks: Iterable[str]) -> str:
    """The whole file. ``head`` comes first; ``remarks`` are what the readers had to say."""
    cameras = [(_camera(one, one.name == draft.base), one.notes) for one in draft.cameras]
    streams = [
        *((_stream(one, "state"), one.notes) for one in draft.states),
        *((_stream(one, "command"), one.notes) for one in draft.commands),
    ]
    parts = [
        comments(head),
        comments(draft.notes),
        *_dataset(draft, subject),
        *_storage(subject),
        *_listed("cameras", cameras),
        *_listed("streams", streams),
        _yaml({"features": _features(draft)}) if draft.streams else "",
        _yaml({"alignment": _alignment(draft)}),
        _filtering(draft),
        comments(_left_out(draft.left_out)),
        comments(remarks),
    ]
    return "\n".join(part.rstrip("\n") for part in parts if part) + "\n"


def comments(lines: Iterable[str], indent: str = "") -> str:
    """Comment lines, whatever characters a recording put into them."""
    shown = [_plain(line) for line in lines]
    more = len(shown) - _MAX_COMMENTS
    kept = shown[:_MAX_COMMENTS] + ([f"... and {more} more (see inspect --json)"] * (more > 0))
    return "\n".join(f"{indent}# {line}" for line in kept)


def _dataset(draft: Draft, subject: Subject) -> list[str]:
    lines = [
        ("name", subject.dataset, ""),
        ("robot_type", subject.robot_type, subject.robot_note),
        ("fps", draft.fps, ""),
        ("formats", ["v2.1", "v3.0"], ""),
        ("task", subject.task, subject.task_note),
    ]
    return ["dataset:", *(_line(*line) for line in lines)]


def _storage(subject: Subject) -> list[str]:
    note = "the folder of this file, unless the variable names another or an s3://bucket"
    return ["storage:", f"  url: {BUCKET}  # {note}", _line("raw_prefix", subject.raw_prefix, "")]


def _line(key: str, value: object, note: str) -> str:
    return f"  {key}: {inline(value)}" + (f"  # {_plain(note)}" if note else "")


def _listed(key: str, entries: Sequence[tuple[dict[str, Any], tuple[str, ...]]]) -> list[str]:
    if not entries:
        return []
    lines = [f"{key}:"]
    for entry, notes in entries:
        if notes:
            lines.append(comments(notes, "  "))
        text = _yaml([entry])
        lines += [f"  {line}" for line in text.rstrip("\n").split("\n")]
    return lines


def _camera(one: Chosen, is_base: bool) -> dict[str, Any]:
    feature: dict[str, Any] = {"feature": f"observation.images.{one.name}"}
    if one.candidate.kind is Kind.DEPTH:
        feature = {"feature": f"observation.depth.{one.name}", "depth": True}
    return {
        "name": one.name,
        "role": "base" if is_base else "sync",
        **_origin(one, "folder"),
        **feature,
        **_tolerances(one),
    }


def _stream(one: Chosen, kind: str) -> dict[str, Any]:
    asked: dict[str, Any] = {}
    if one.candidate.field is not None:
        asked["field"] = one.candidate.field
    if columns := one.candidate.report.details.get("columns"):
        asked["columns"] = list(columns)
    if one.candidate.joint_names is not None:
        asked["joint_names"] = list(one.candidate.joint_names)
    return {"name": one.name, **_origin(one, "file"), **asked, "kind": kind, **_tolerances(one)}


def _origin(one: Chosen, of_folders: str) -> dict[str, Any]:
    report = one.candidate.report
    if report.clock is Clock.FILE:
        return {of_folders: _file(report) if of_folders == "file" else report.name}
    clock = {"clock": "header"} if one.clock is Clock.HEADER else {}
    return {"topic": report.origin, **clock}


def _file(report: StreamReport) -> str:
    """The file below the joints folder, which may hold several streams."""
    return str(report.details["file"])


def _tolerances(one: Chosen) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if one.tolerance_ms is not None:
        found["tolerance_ms"] = one.tolerance_ms
    if one.hold_ms is not None:
        found |= {"strategy": "hold", "max_age_ms": one.hold_ms}
    return found if one.is_required else found | {"required": False}


def _features(draft: Draft) -> dict[str, Any]:
    chosen = {
        "observation.state": draft.states or draft.commands,
        "action": draft.commands or draft.states,
    }
    return {
        feature: {"parts": [_part(one) for one in streams]} for feature, streams in chosen.items()
    }


def _part(one: Chosen) -> dict[str, Any]:
    return {"stream": one.name} | ({"fallback": one.fallback} if one.fallback else {})


def _alignment(draft: Draft) -> dict[str, Any]:
    return {
        "strategy": "nearest",
        "timeline": draft.timeline,
        "tolerance_ms": DEFAULT_TOLERANCE_MS,
    }


def _filtering(draft: Draft) -> str:
    return "" if draft.gap_policy == "fail" else _yaml({"filtering": {"gap_policy": "split"}})


def _left_out(found: Iterable[LeftOut]) -> list[str]:
    lines = [f"  {one.name}: {one.why}" for one in found]
    return ["Left out:", *lines] if lines else []


def _yaml(value: object) -> str:
    import yaml

    return str(
        yaml.safe_dump(
            value, sort_keys=False, allow_unicode=True, width=100, default_flow_style=None
        )
    )


def inline(value: object) -> str:
    """A value as it stands behind its key, in one line."""
    import yaml

    listed = yaml.safe_dump([value], allow_unicode=True, width=10**6, default_flow_style=True)
    return str(listed).strip()[1:-1]


def _plain(text: str) -> str:
    text = text if len(text) <= _MAX_CHARACTERS else f"{text[:_MAX_CHARACTERS]}..."
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)
