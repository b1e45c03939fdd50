"""Tables and pictures as metadata of the UI."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg

from lerobot_pipelines.defs import plots

MOST_ROWS = 200  # a table in the UI is for looking, the whole is in the bucket


def table(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str]) -> dg.MetadataValue:
    """A table whose columns are known also when it has no rows. ``columns``: name -> type."""
    schema = dg.TableSchema([dg.TableColumn(name, kind) for name, kind in columns.items()])
    records = [dg.TableRecord(dict(row)) for row in rows]
    return dg.MetadataValue.table(records[:MOST_ROWS], schema=schema)


def picture(data: bytes, title: str) -> dg.MetadataValue:
    return dg.MetadataValue.md(plots.image_markdown(data, title))
