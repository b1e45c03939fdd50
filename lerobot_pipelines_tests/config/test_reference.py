"""The reference is rendered from the schema and leaves nothing out."""

from __future__ import annotations

import re

from pydantic import BaseModel

from lerobot_pipelines.config import schema
from lerobot_pipelines.config.reference import reference_markdown

REFERENCE = reference_markdown()
ROWS = {
    match[1]: match[2]
    for match in re.finditer(r"^\| `([^`]+)` \| (.*) \|$", REFERENCE, re.MULTILINE)
}


def models() -> list[type[BaseModel]]:
    return [
        item
        for item in vars(schema).values()
        if isinstance(item, type)
        and issubclass(item, schema.Section)
        and item not in (schema.Section, schema.DatasetConfig)
    ]


def test_every_key_has_a_row_with_type_default_and_meaning() -> None:
    documented = {key.rpartition(".")[2] for key in ROWS}
    sections = {"scanner", "lifecycle", "parts", "on_request"}
    for model in models():
        assert set(model.model_fields) - documented - sections == set(), model.__name__
    for key, cells in ROWS.items():
        if "." in key and not key.startswith(("robot.", "(bos", "video.fps", "output", "input")):
            assert all(cell.strip() for cell in re.split(r"(?<!\\) \| ", cells)), key


def test_rows_tell_bounds_choices_and_defaults() -> None:
    assert ROWS["video.crf"].startswith("whole number from 0 to 63 | `23` | Quality")
    assert ROWS["video.codec"].startswith("`h264`, `hevc`, `av1`, `copy` | `h264` | ")
    assert ROWS["alignment.rate_tolerance"].startswith("number above 0 below 1 | `0.02` | ")
    assert ROWS["dataset.name"].startswith("text | **required** | ")
    assert ROWS["cameras[].feature"].startswith("text | from the name | ")
    assert ROWS["streams[].scale"].startswith("number or list: number | `1.0` | ")
    assert ROWS["features.<key>.parts[].slice"].startswith("text | `null` | ")


def test_the_older_keys_are_listed() -> None:
    for key in ("bos", "input.data_path", "output.base_path", "redis", "libx264"):
        assert key in REFERENCE


def test_tables_are_whole() -> None:
    for line in REFERENCE.splitlines():
        if line.startswith("|"):
            columns = len(re.findall(r"(?<!\\)\|", line)) - 1
            assert columns in (2, 4), line
