"""What the schema finds wrong, in words: place, fault, remedy.

Pydantic's own texts speak of types and never of remedies; and they repeat values, which may be
secrets here.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from lerobot_pipelines.config.draft import Draft, holds
from lerobot_pipelines.config.faults import KeyPath, nearest, suggestion
from lerobot_pipelines.config.legacy_keys import TOP_LEVEL
from lerobot_pipelines.config.schema import DatasetConfig

_REMEDIES: Mapping[KeyPath, str] = {
    ("dataset",): "describe the dataset: dataset: {name: my_dataset}",
    ("dataset", "name"): "give the dataset a name: letters, digits and _",
    ("storage",): "say where recordings lie: storage: {url: /my/bucket, raw_prefix: raw}, or give "
    "convert --input and --output",
    ("storage", "url"): "say where the bucket is: a folder, file:///folder or s3://bucket; or "
    "give convert --input and --output",
}
_NUMBERS = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a smaller whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "tuple_type": "a list: [a, b]",
    "dict_type": "a section of keys",
    "model_type": "a section of keys",
    "model_attributes_type": "a section of keys",
}
_BOUNDS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


def report(draft: Draft, error: ValidationError) -> list[KeyPath]:
    """Add a fault per finding; returns the places, in the draft's own terms."""
    places: list[KeyPath] = []
    for finding in error.errors(include_url=False):
        if finding["type"] == "too_short" and finding["input"]:
            continue  # pydantic counts sound entries only; the others have findings of their own
        location: KeyPath = finding["loc"]
        path = _in_tree(draft.data, location, missing=finding["type"] == "missing")
        if path in places:
            continue  # one per branch of a union
        places.append(path)
        draft.fault(path, _message(draft, path, dict(finding), branch=location[len(path) :]))
    return places


def _in_tree(data: Any, location: KeyPath, *, missing: bool) -> KeyPath:
    """The location without what pydantic appends for branches of unions."""
    path: KeyPath = ()
    node = data
    for part in location:
        if not holds(node, part):
            return (*path, part) if missing else path
        node = node[part]
        path = (*path, part)
    return path


def _message(draft: Draft, path: KeyPath, finding: dict[str, Any], branch: KeyPath) -> str:
    kind, context = str(finding["type"]), finding.get("ctx") or {}
    value = finding.get("input")
    if kind == "extra_forbidden":
        return f"there is no such key{suggestion(str(path[-1]), _keys_beside(path))}"
    if kind == "missing":
        remedy = _REMEDIES.get(path, f"add the key {path[-1]}")
        return f"is missing; {remedy}"
    shown = draft.shown(path, value)
    if kind == "boolean_value":
        return f"must not be {shown}; true and false have no meaning here"
    if branch and kind != "value_error":
        return f"must be a number or a list of numbers, not {shown}"
    if kind in _NUMBERS:
        return f"must be {_NUMBERS[kind]}, not {shown}"
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        return f"is {shown}; it must be {words} {context[name]:g}"
    if kind in ("enum", "literal_error"):
        known = _choices(path)
        listed = ", ".join(known)
        near = nearest(value, known) if isinstance(value, str) else ""
        return f"is {shown}{near}; known are {listed}"
    if kind == "string_type":
        return f"must be text, not {shown}; put it in quotes"
    if kind == "string_pattern_mismatch":
        return f"is {shown}; use letters, digits and _ only, a letter first"
    if kind in ("too_short", "string_too_short"):
        return "must not be empty"
    if kind == "missing_argument" or kind == "too_long":
        return f"has too many entries; {context.get('max_length', 'fewer')} are expected"
    if kind == "string_too_long":
        return f"is longer than {context['max_length']} characters"
    return f"is not valid: {finding['msg'][:1].lower()}{finding['msg'][1:]}"


def _keys_beside(path: KeyPath) -> list[str]:
    """The valid keys of the section that holds ``path``."""
    model = _type_at(path[:-1])
    is_model = isinstance(model, type) and issubclass(model, BaseModel)
    keys = list(model.model_fields) if is_model else []
    return keys if len(path) > 1 else [*keys, *TOP_LEVEL]


def _choices(path: KeyPath) -> list[str]:
    """The words that are valid at ``path``."""
    annotation = _type_at(path)
    if isinstance(annotation, type):
        return [str(member) for member in annotation]  # type: ignore[attr-defined]
    return [str(word) for word in get_args(annotation)]


def _type_at(path: KeyPath) -> Any:
    """The annotation of the schema at ``path``: a model, an enum, a Literal."""
    current: Any = DatasetConfig
    for part in path:
        if isinstance(current, type) and issubclass(current, BaseModel):
            field = current.model_fields.get(str(part))
            if field is None:
                return None
            current = _bare(field.annotation)
        elif get_origin(current) in (tuple, dict):
            current = _bare(get_args(current)[-1 if get_origin(current) is dict else 0])
        else:
            return None
    return current


def _bare(annotation: Any) -> Any:
    """Without ``| None`` and ``Annotated``."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif get_origin(annotation) in (Union, types.UnionType):
            annotation = next(item for item in get_args(annotation) if item is not type(None))
        else:
            return annotation
