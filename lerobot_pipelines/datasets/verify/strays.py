"""Parquet files that no episode refers to, in folders that loaders read whatever is named.

A file without rows is none: the updates of a dataset leave some, to take places where a writer that
was overtaken would otherwise add rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from lerobot_pipelines.datasets.verify.report import Findings


def check_strays(
    root: Path, names: Iterable[str], findings: Findings, last: str | None = None
) -> None:
    """``names``: files below ``root`` that are not named by the metadata.

    ``last``: the file behind which one without rows does no harm; None: it does none anywhere.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    for name in sorted(names):
        try:
            if not pq.read_metadata(root / name).num_rows:
                if last is not None and name < last:
                    # `datasets` 4 counts the tables of each file and stumbles over none.
                    findings.error("empty_file", name, "it has no rows, and files come after it")
                continue
        except (OSError, pa.ArrowException) as error:
            findings.error("unreadable", name, str(error))
            continue
        # Loaders read every file they find, so its rows would shift all that follow.
        findings.error("stray_file", name, "no episode refers to it, but loaders read it")
