"""Tables, keys and snippets of configuration in the documents are those of the schema."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
import yaml
from pydantic import BaseModel

from lerobot_pipelines.config import load_config, shipped_configs
from lerobot_pipelines.config.schema import DatasetConfig
from lerobot_pipelines.errors import Reason
from lerobot_pipelines_tests.config.loading import SOUND
from lerobot_pipelines_tests.documents.texts import (
    DOCUMENTS,
    Block,
    blocks,
    code_words,
    prose,
    spans,
    table,
)

SNIPPETS = [block for document in DOCUMENTS for block in blocks(document, "yaml")]


def test_every_shipped_configuration_is_listed() -> None:
    listed = [
        name.removesuffix(".yaml")
        for row in table("README.md", "file", "what it shows")
        for name in code_words(row[0])
    ]
    assert sorted(listed) == sorted(shipped_configs())
    assert len(listed) == len(set(listed))


def models(model: type[BaseModel] = DatasetConfig) -> Iterator[type[BaseModel]]:
    """A model and all below it, however they are contained."""
    yield model
    for field in model.model_fields.values():
        for inner in leaves(field.annotation):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                yield from models(inner)


def leaves(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) is None or get_origin(annotation) is Literal:
        yield annotation
    else:
        for argument in get_args(annotation):
            yield from leaves(argument)


def field(path: str) -> tuple[Any, Any]:
    """Annotation and default of a dotted key. Raises ``KeyError`` where there is none."""
    model: type[BaseModel] = DatasetConfig
    *sections, last = path.split(".")
    for section in sections:
        inside = leaves(model.model_fields[section].annotation)
        model = next(
            leaf for leaf in inside if isinstance(leaf, type) and issubclass(leaf, BaseModel)
        )
    found = model.model_fields[last]
    return found.annotation, found.get_default(call_default_factory=True)


def choices(annotation: Any) -> set[str]:
    """The words that an annotation allows."""
    words: set[str] = set()
    for leaf in leaves(annotation):
        if get_origin(leaf) is Literal:
            words |= set(get_args(leaf))
        elif isinstance(leaf, type) and issubclass(leaf, StrEnum):
            words |= {str(member) for member in leaf}
    return words


@pytest.mark.parametrize("row", table("README.md", "key", "choices"), ids=lambda row: row[0])
def test_the_choices_that_matter_are_the_choices(row: list[str]) -> None:
    (key,) = code_words(row[0])
    annotation, default = field(key)
    if re.fullmatch(r"[\d.]+", row[1]):
        assert float(row[1]) == default
    elif words := code_words(row[1]):
        assert sorted(words) == sorted(choices(annotation))
    else:
        assert choices(annotation) == set() and row[1] == "frames"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_dotted_keys_exist(document: str) -> None:
    sections = {
        name
        for name, info in DatasetConfig.model_fields.items()
        if any(isinstance(x, type) and issubclass(x, BaseModel) for x in leaves(info.annotation))
    }
    for span in spans(document):
        key = re.match(r"([a-z_]+(?:\.[a-z_]+|\.\*)+)(?=$|:|=)", span)
        if key and key[1].partition(".")[0] in sections - {"features", "limits"}:
            path = key[1].removesuffix(".*")
            if path.rpartition(".")[2] in ("yaml", "py", "md", "csv", "parquet", "json"):
                continue
            if path == "video.fps" or path.startswith(("storage.scanner.", "features.")):
                path = path if path != "video.fps" else "dataset.fps"
            field(path)


# Of a run in Dagster, not of a dataset's YAML.
RUN_CONFIGURATION = ("allow_removal",)


def test_keys_with_a_value_exist_and_allow_it() -> None:
    """``gap_policy: split`` and the like; of words also that some key of that name allows them."""
    pytest.importorskip("torch", reason="keys of training are explained there, too")
    from lerobot_pipelines.loading import config as loading

    every = [*models()]
    every += [
        value
        for value in vars(loading).values()
        if isinstance(value, type) and issubclass(value, BaseModel)
    ]
    checked = 0
    for span in spans("README.md"):
        match = re.fullmatch(r"(?:[a-z_]+\.)*([a-z_]+): ([\w.]+)", span)
        if match is None:
            continue
        key, value = match[1], match[2]
        fields = [model.model_fields[key] for model in every if key in model.model_fields]
        assert fields or key in RUN_CONFIGURATION, span
        words: set[str] = set().union(*(choices(info.annotation) for info in fields))
        if words and re.fullmatch(r"[a-z]\w*", value) and value not in ("true", "false", "null"):
            assert value in words, span
            checked += 1
    assert checked >= 10


@pytest.mark.parametrize("block", SNIPPETS, ids=str)
def test_a_snippet_loads_by_the_real_schema(block: Block, tmp_path: Path) -> None:
    given = yaml.safe_load(block.text)
    whole = yaml.safe_load(SOUND)
    if "robot" in given or "streams" in given:
        whole = {key: whole[key] for key in ("dataset", "storage") if key not in given}
    for section, values in given.items():
        whole[section] = values
    path = tmp_path / "example.yaml"
    path.write_text(yaml.safe_dump(whole), encoding="utf-8")
    load_config(path)


def test_streams_written_in_a_line_load(tmp_path: Path) -> None:
    found = [span for span in spans("README.md") if re.match(r"\{name: .*field: ", span)]
    assert found
    for span in found:
        stream = yaml.safe_load(span)
        whole = yaml.safe_load(SOUND)
        whole["streams"] = [stream]
        whole["features"] = {"observation.state": [stream["name"]]}
        whole["cameras"] = [{"name": "cam", "role": "base", "topic": "/cam"}]
        path = tmp_path / "example.yaml"
        path.write_text(yaml.safe_dump(whole), encoding="utf-8")
        load_config(path)


def test_every_reason_is_explained_and_exists() -> None:
    rows = table("README.md", "reason", "meaning")
    listed = [code for row in rows for code in code_words(row[0])]
    assert sorted(listed) == sorted(Reason)


def test_limits_are_keys_of_limits() -> None:
    (sentence,) = re.findall(r"section `limits` \(([^)]*)\)", prose("README.md"))
    annotation, _ = field("limits.rows")
    assert annotation is not None
    limits = DatasetConfig.model_fields["limits"].annotation
    assert isinstance(limits, type)
    assert set(code_words(sentence)) == set(limits.model_fields)


def test_types_are_taken_apart() -> None:
    assert choices(Literal["a", "b"] | None) == {"a", "b"}
    assert list(leaves(tuple[int, str | None])) == [int, str, type(None)]
