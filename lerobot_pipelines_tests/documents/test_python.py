"""Python in the documents: it compiles, its names exist, and calls use keywords that exist."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest

import lerobot_pipelines
from lerobot_pipelines_tests.documents.texts import DOCUMENTS, Block, blocks, spans

PACKAGE = lerobot_pipelines.__name__
PYTHON = [block for document in DOCUMENTS for block in blocks(document, "python")]
PUBLIC = ("recorder", "loading", "config", "recordings")


def imported(tree: ast.AST) -> dict[str, Any]:
    """What the import statements of a block bind, by name. Raises where a name does not exist."""
    names: dict[str, Any] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                module = import_module(alias.name)
                names[alias.asname or alias.name.partition(".")[0]] = module
        elif isinstance(node, ast.ImportFrom):
            module = import_module(node.module or "")
            for alias in node.names:
                names[alias.asname or alias.name] = getattr(module, alias.name)
    return names


def assert_keywords_exist(tree: ast.AST, names: dict[str, Any]) -> None:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or any(word.arg is None for word in node.keywords):
            continue
        called = resolve(node.func, names)
        if called is None or not str(getattr(called, "__module__", "")).startswith(PACKAGE):
            continue
        keywords = {str(word.arg): None for word in node.keywords}
        inspect.signature(called).bind_partial(*node.args, **keywords)


def resolve(node: ast.expr, names: dict[str, Any]) -> Any:
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute):
        owner = resolve(node.value, names)
        return None if owner is None else getattr(owner, node.attr)
    return None


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_a_block_compiles_and_its_names_and_keywords_exist(block: Block) -> None:
    pytest.importorskip("torch") if "loading import" in block.text else None
    pytest.importorskip("dagster_aws") if "dagster_aws" in block.text else None
    tree = ast.parse(block.text)
    assert_keywords_exist(tree, imported(tree))


def calls(document: str) -> Iterator[str]:
    for span in spans(document):
        if re.match(r"[\w.]+\(.*\)$", span) or span.startswith(("from ", "import ")):
            yield span


def public_names() -> dict[str, Any]:
    names = {}
    for part in PUBLIC:
        try:
            module = import_module(f"{PACKAGE}.{part}")
            names |= {name: getattr(module, name) for name in module.__all__}
        except ModuleNotFoundError as error:
            if error.name != "torch":
                raise
    return names


@pytest.mark.parametrize("document", DOCUMENTS)
def test_calls_in_sentences_use_names_and_keywords_that_exist(document: str) -> None:
    known = public_names()
    for span in calls(document):
        tree = ast.parse(span)
        assert_keywords_exist(tree, known | imported(tree))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_names_of_the_package_exist(document: str) -> None:
    for span in spans(document):
        if re.fullmatch(rf"{PACKAGE}(\.\w+)+", span):
            module, _, name = span.rpartition(".")
            try:
                import_module(span)
            except ModuleNotFoundError:
                # What is imported when it is asked for may need an optional part.
                parent = import_module(module)
                assert name in getattr(parent, "__all__", ()) or hasattr(parent, name)


def test_calls_in_sentences_are_found() -> None:
    known = public_names()
    found = {span.partition("(")[0] for span in calls("README.md")}
    assert {"EpisodeRecorder", "enable_async_saving"} <= found & set(known)


def test_what_is_wrong_would_be_found() -> None:
    tree = ast.parse("from lerobot_pipelines.recorder import to_bucket\nto_bucket(place=1)")
    with pytest.raises(TypeError, match="place"):
        assert_keywords_exist(tree, imported(tree))
    with pytest.raises(AttributeError):
        imported(ast.parse("from lerobot_pipelines.recorder import to_bukket"))


def test_there_are_blocks() -> None:
    assert len(PYTHON) >= 4
