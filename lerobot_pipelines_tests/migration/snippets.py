"""The Python of the migration page, run as it is printed there."""

from __future__ import annotations

from typing import Any

from lerobot_pipelines_tests.documents.texts import blocks

PAGE = "lerobot_pipelines/docs/migration.md"


def snippet(word: str) -> dict[str, Any]:
    """The names that the page's one block of Python with that word defines."""
    (block,) = (block for block in blocks(PAGE, "python") if word in block.text)
    names: dict[str, Any] = {}
    exec(compile(block.text, PAGE, "exec"), names)
    return names
