"""The configuration reference, rendered from the schema so that it cannot fall behind it."""

from __future__ import annotations

import ast
import inspect
import types
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from lerobot_pipelines.config import legacy_keys, schema
from lerobot_pipelines.config.dump import plain_scalar
from lerobot_pipelines.config.schema import DatasetConfig

_BOUNDS = (
    (annotated_types.Ge, "ge", "from"),
    (annotated_types.Gt, "gt", "above"),
    (annotated_types.Le, "le", "to"),
    (annotated_types.Lt, "lt", "below"),
)
_SCALARS = {str: "text", int: "whole number", float: "number", bool: "true or false"}

# Defaults that follow from other keys.
_DERIVED = {
    ("CameraConfig", "feature"): "from the name",
}

# The section of the bucket, under either of its names.
_BUCKET = "(bos, s3)"

_SHORTHAND = """\
#### `robot`

Arms in short; every arm becomes an entry of `streams`.

| key | type | default | meaning |
|---|---|---|---|
| `robot.type` | text | | The same as `dataset.robot_type`. |
| `robot.arms[].name` | text | **required** | The arm and its stream. |
| `robot.arms[].file` | text | name + `.parquet` | The file below the joints folder. |
| `robot.arms[].role` | `slave` or `master` (also `follower`, `leader`) | from the name | \
Slave arms carry out and make `observation.state.slave` and `observation.state`; master arms \
command and make `observation.state.master` and `action`. |
| `robot.joints_per_arm` | whole number from 1 | any | Joints of each arm; names them too. |
"""


def reference_markdown() -> str:
    """Every key with its type, default and meaning, as Markdown; headings of level four."""
    parts = [_SHORTHAND]
    parts.extend(_section(path, model) for path, model in _sections("", DatasetConfig))
    parts.append(_legacy())
    return "\n".join(parts)


def _sections(path: str, model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    """Every model of the schema with the key it stands at, parents before children."""
    yield path, model
    for name, field in model.model_fields.items():
        child, suffix = _model_in(field.annotation)
        if child is not None:
            yield from _sections(f"{path}.{name}{suffix}" if path else f"{name}{suffix}", child)


def _model_in(annotation: Any) -> tuple[type[BaseModel] | None, str]:
    """The model an annotation speaks of, and how its key goes on: ``[]`` or ``.<key>``."""
    origin = get_origin(annotation)
    if origin in (tuple, dict):
        inner = get_args(annotation)[0 if origin is tuple else 1]
        model = inner if _is_model(inner) else None
        return model, "[]" if origin is tuple else ".<key>"
    return (annotation if _is_model(annotation) else None), ""


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _section(path: str, model: type[BaseModel]) -> str:
    title = f"`{path}`" if path else "At the top"
    lines = [f"#### {title}", "", _one_line(inspect.getdoc(model) or ""), ""]
    rows = [
        _row(f"{path}.{name}" if path else name, model, name, field)
        for name, field in model.model_fields.items()
        if _model_in(field.annotation)[0] is None
    ]
    if rows:
        lines += ["| key | type | default | meaning |", "|---|---|---|---|", *rows, ""]
    return "\n".join(lines)


def _row(key: str, model: type[BaseModel], name: str, field: FieldInfo) -> str:
    meaning = _descriptions().get((model.__name__, name), "")
    cells = (
        f"`{key}`",
        _type_words(field.annotation, field.metadata),
        _default(model, name, field),
        meaning,
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _default(model: type[BaseModel], name: str, field: FieldInfo) -> str:
    if derived := _DERIVED.get((model.__name__, name)):
        return derived
    if field.is_required():
        return "**required**"
    return f"`{plain_scalar(field.get_default(call_default_factory=True))}`"


def _type_words(annotation: Any, metadata: list[Any]) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        inner = [
            item
            for entry in arguments[1:]
            for item in (entry.metadata if isinstance(entry, FieldInfo) else [entry])
        ]
        return _type_words(arguments[0], [*metadata, *inner])
    if origin in (Union, types.UnionType):
        words = [
            _type_words(argument, metadata) for argument in arguments if argument is not type(None)
        ]
        return " or ".join(words)
    if origin is Literal:
        return ", ".join(f"`{word}`" for word in arguments)
    if origin is tuple:
        inner_words = _type_words(arguments[0], [])
        length = "list" if arguments[-1] is Ellipsis else f"list of {len(arguments)}"
        return f"{length}: {inner_words}"
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return ", ".join(f"`{member}`" for member in annotation)
    return _SCALARS[annotation] + _bounds(metadata)


def _bounds(metadata: list[Any]) -> str:
    words = ""
    for kind, attribute, word in _BOUNDS:
        for item in metadata:
            if isinstance(item, kind):
                words += f" {word} {getattr(item, attribute):g}"
    return words


@cache
def _descriptions() -> Mapping[tuple[str, str], str]:
    """The text below each field, by class and field, read from the schema's source."""
    found = {}
    for node in ast.parse(inspect.getsource(schema)).body:
        if not isinstance(node, ast.ClassDef):
            continue
        for field, text in zip(node.body, node.body[1:], strict=False):
            match field, text:
                case (
                    ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str(words))),
                ):
                    found[node.name, name] = _one_line(words)
    return found


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _legacy() -> str:
    """Older keys: what they are here, and which have no effect."""
    lines = [
        "#### Older key names",
        "",
        "Files of existing converters load unchanged, and give LeRobot v2.1 where they name no "
        "formats (bag scripts: v3.0). Relative paths in them start at the working directory, else "
        "at the file. `lerobot-pipelines config migrate` writes them in today's keys. "
        "Where an older and a newer key say the same they may stand side by side; where "
        "they disagree it is a fault.",
        "",
        "| older key | here |",
        "|---|---|",
        "| `video.fps` | `dataset.fps`; the base camera's `target_fps` where that differs |",
        "| `output.dataset_name` | `dataset.name` |",
        "| `output.pattern` | `dataset.pattern`; the folders it begins with are the place of the "
        "datasets, as `output.base_path` |",
        "| `conversion.config_template` | the strategy's file, read as part of this one: a path "
        "from the working directory or the file's, a list of them, or one with `{strategy}` |",
        "| `output.base_path` | `storage.converted_prefix` |",
        "| `input.data_path`, `images_path` | `storage.url`, `storage.raw_prefix`, `layout` |",
        f"| `{_BUCKET}.bucket` | `storage.url: s3://...` |",
        f"| `{_BUCKET}.access_key: ${{NAME}}`, so `secret_key` | `storage.access_key_env: NAME` |",
    ]
    renamed: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
    for old, new in (legacy_keys.RENAMED | legacy_keys.RENAMED_BEFORE).items():
        renamed.setdefault(new, []).append(old)
    for old, new in legacy_keys.BUCKET_RENAMED.items():
        renamed.setdefault(new, []).append((_BUCKET, *old))
    lines += [f"| {_keys(olds)} | `{'.'.join(new)}` |" for new, olds in renamed.items()]
    batch = ".".join((_BUCKET, *legacy_keys.BATCH_SIZE))
    lines += [
        f"| `{batch}` | `storage.transfer_threads`, unless that is given as well |",
        "| `rosbag.*`, `dataset.eef_type`, `which_arm`, `train_hz`, ... of the Kuavo bag scripts | "
        "a shipped configuration, changed: `kuavo_4pro_claw`, `kuavo_4pro_hand`, "
        "`kuavo_simulator` |",
    ]
    codecs = ", ".join(f"`{old}` = `{new}`" for old, new in legacy_keys.CODECS.items())
    ignored = [*legacy_keys.IGNORED, *((_BUCKET, *path) for path in legacy_keys.BUCKET_IGNORED)]
    lines += [
        "",
        f"Codec names: {codecs}.",
        "",
        f"Accepted without effect, with a warning that says why: {_keys(ignored)}.",
        "",
    ]
    return "\n".join(lines)


def _keys(paths: Iterable[tuple[str, ...]]) -> str:
    """Dotted keys; those of one section together."""
    sections: dict[tuple[str, ...], list[str]] = {}
    for path in paths:
        sections.setdefault(path[:-1], []).append(path[-1])
    return ", ".join(
        f"`{'.'.join((*section, names[0]))}`" + "".join(f", `{name}`" for name in names[1:])
        for section, names in sections.items()
    )
